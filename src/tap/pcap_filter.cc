// SPDX-License-Identifier: Apache-2.0
#include "tap/pcap_filter.h"

#include <pcap/pcap.h>

#include <vector>

#include "skb/skb.h"

namespace txp {

struct PcapFilter::Program {
  bpf_program code{};
  ~Program() { pcap_freecode(&code); }
};

Result<PcapFilter> PcapFilter::compile(const std::string& expression) {
  constexpr int kSnapLen = 262144;  // MAXIMUM_SNAPLEN
  struct Closer {
    void operator()(pcap_t* p) const { pcap_close(p); }
  };
  const std::unique_ptr<pcap_t, Closer> ethernet(pcap_open_dead(DLT_EN10MB, kSnapLen));
  if (!ethernet) return fail("filter: out of memory");
  auto program = std::make_shared<Program>();
  if (pcap_compile(ethernet.get(), &program->code, expression.c_str(), 1, PCAP_NETMASK_UNKNOWN) !=
      0)
    return fail("filter \"" + expression + "\": " + pcap_geterr(ethernet.get()));
  return PcapFilter(std::move(program));
}

bool PcapFilter::matches(std::span<const std::uint8_t> bytes, std::size_t len) const {
  return bpf_filter(program_->code.bf_insns, bytes.data(), static_cast<unsigned>(len),
                    static_cast<unsigned>(bytes.size())) != 0;
}

void FilteredTap::packet(const Net& net, const NetDevice& dev, const Skb& skb, bool outgoing) {
  if (skb.frag_list == nullptr) {
    if (filter_.matches(skb.bytes(), skb.len)) inner_->packet(net, dev, skb, outgoing);
    return;
  }
  std::vector<std::uint8_t> whole(skb.data, skb.tail);
  for (const Skb* f = skb.frag_list; f != nullptr; f = f->next)
    whole.insert(whole.end(), f->data, f->tail);
  if (filter_.matches(whole, whole.size())) inner_->packet(net, dev, skb, outgoing);
}

}  // namespace txp
