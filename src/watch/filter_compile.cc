// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <pcap/pcap.h>

#include <memory>

#include "watch/filter.h"

namespace txp {

Result<std::vector<ClassicInsn>> compile_classic(const std::string& expression) {
  const std::unique_ptr<pcap_t, decltype(&pcap_close)> link(pcap_open_dead(DLT_EN10MB, 65535),
                                                            &pcap_close);
  if (!link) return fail("libpcap: no memory");
  ::bpf_program program{};
  if (pcap_compile(link.get(), &program, expression.c_str(), 1, PCAP_NETMASK_UNKNOWN) != 0)
    return fail(fmt::format("filter \"{}\": {}", expression, pcap_geterr(link.get())));
  std::vector<ClassicInsn> out;
  for (unsigned i = 0; i < program.bf_len; ++i) {
    const ::bpf_insn& in = program.bf_insns[i];
    out.push_back({in.code, in.jt, in.jf, in.k});
  }
  pcap_freecode(&program);
  return out;
}

bool classic_match(std::span<const ClassicInsn> program, std::span<const std::uint8_t> packet,
                   std::uint32_t wirelen) {
  std::vector<::bpf_insn> in;
  for (const ClassicInsn& c : program) in.push_back({c.code, c.jt, c.jf, c.k});
  return ::bpf_filter(in.data(), packet.data(), wirelen, static_cast<unsigned>(packet.size())) != 0;
}

}  // namespace txp
