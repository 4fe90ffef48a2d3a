// SPDX-License-Identifier: Apache-2.0
#include "observe/packet_filter.h"

#include <fmt/format.h>
#include <pcap/pcap.h>

#include <algorithm>
#include <vector>

#include "observe/trace_log.h"
#include "wire/ethernet.h"
#include "wire/ipv4.h"
#include "wire/udp.h"

namespace txp {

struct PacketFilter::Program {
  bpf_program code{};
  ~Program() { pcap_freecode(&code); }
};

PacketFilter::PacketFilter(std::unique_ptr<Program> program) : program_(std::move(program)) {}
PacketFilter::~PacketFilter() = default;

Result<std::unique_ptr<PacketFilter>> PacketFilter::compile(const std::string& text) {
  constexpr int kSnap = 1 << 18;
  struct Closer {
    void operator()(pcap_t* p) const { pcap_close(p); }
  };
  const std::unique_ptr<pcap_t, Closer> ethernet(pcap_open_dead(DLT_EN10MB, kSnap));
  auto program = std::make_unique<Program>();
  if (!ethernet ||
      pcap_compile(ethernet.get(), &program->code, text.c_str(), 1, PCAP_NETMASK_UNKNOWN) != 0)
    return fail(
        fmt::format("filter {}: {}", text, ethernet ? pcap_geterr(ethernet.get()) : "no memory"));
  return std::unique_ptr<PacketFilter>(new PacketFilter(std::move(program)));
}

bool PacketFilter::matches(std::span<const std::uint8_t> frame, std::size_t len) const {
  pcap_pkthdr head{};
  head.caplen = static_cast<bpf_u_int32>(frame.size());
  head.len = static_cast<bpf_u_int32>(std::max(len, frame.size()));
  return pcap_offline_filter(&program_->code, &head, frame.data()) != 0;
}

bool PacketFilter::matches(const TracedPacket& packet) const {
  const auto framed = [&](std::span<const std::uint8_t> ip, std::size_t len) {
    std::vector<std::uint8_t> frame(kEthHlen + ip.size());
    store_be16(&frame[12], kEthPIp);  // the addresses are not known here
    std::ranges::copy(ip, frame.begin() + kEthHlen);
    return matches(frame, kEthHlen + len);
  };
  for (auto e = packet.events.rbegin(); e != packet.events.rend(); ++e) {
    const TraceBytes& b = e->bytes;
    if (!b.bytes.empty()) return b.ethernet ? matches(b.bytes, b.len) : framed(b.bytes, b.len);
  }
  const std::size_t len = packet.events.empty() ? 0 : packet.events.front().len;
  std::uint8_t ip[kIpHlen + kUdpHlen] = {};
  Ipv4Header head;
  head.tot_len = static_cast<std::uint16_t>(sizeof ip + len);
  head.protocol = kIpProtoUdp;
  head.saddr = packet.flow.src;
  head.daddr = packet.flow.dst;
  head.emit(ip);
  UdpHeader{packet.flow.sport, packet.flow.dport, static_cast<std::uint16_t>(kUdpHlen + len), 0}
      .emit(ip + kIpHlen);
  return framed(ip, sizeof ip + len);
}

}  // namespace txp
