// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "explain/explain.h"
#include "explain/frame_layout.h"
#include "wire/ipv4.h"
#include "wire/ipv6.h"
#include "wire/tcp.h"
#include "wire/udp.h"

namespace txp {
namespace {

// RFC 1624, equation 3: the checksum after one word changed from `from` to `to`. In a datagram of
// several fragments it covers bytes of other frames, so it is changed and not computed anew.
std::uint16_t csum_replace(std::uint16_t check, std::uint16_t from, std::uint16_t to) {
  const auto inverse = [](std::uint16_t v) { return static_cast<std::uint16_t>(~v); };
  const Csum sum = csum_add(csum_add(inverse(check), inverse(from)), to);
  std::uint32_t folded = (sum & 0xffff) + (sum >> 16);
  folded = (folded & 0xffff) + (folded >> 16);
  // The pseudo-header keeps the true sum from being zero; here zero stands for 0xffff.
  if (folded == 0) folded = 0xffff;
  const auto result = inverse(static_cast<std::uint16_t>(folded));
  return result == 0 ? kCsumMangled0 : result;
}

void mask_ipv6(std::span<std::uint8_t> packet, bool sport, bool label, bool frag_id) {
  auto ip = Ipv6Header::parse(packet);
  if (!ip) return;
  if (label) ip->flowlabel = 0;
  ip->emit(packet.data());
  std::uint8_t next = ip->nexthdr;
  std::size_t at = kIpv6Hlen;
  bool later = false;
  while (at + kFragHdrLen <= packet.size()) {
    if (next == kNexthdrFragment) {
      auto frag = FragHeader::parse(packet.subspan(at));
      if (frag_id) frag->id = 0;
      frag->emit(packet.data() + at);
      later = (frag->frag_off & ~7U) != 0;
      next = frag->nexthdr;
      at += kFragHdrLen;
    } else if (next == kNexthdrHop || next == kNexthdrRouting || next == kNexthdrDest) {
      next = packet[at];
      at += (packet[at + 1] + std::size_t{1}) * 8;
    } else {
      break;
    }
  }
  if (!sport || later || next != kIpProtoUdp || at > packet.size()) return;
  const std::span<std::uint8_t> transport = packet.subspan(at);
  if (auto udp = UdpHeader::parse(transport)) {
    if (udp->check != 0) udp->check = csum_replace(udp->check, udp->source, 0);
    udp->source = 0;
    udp->emit(transport.data());
  }
}

}  // namespace

void mask_frames(std::span<ReportFrame> frames, std::span<const std::string> masked) {
  const auto is_masked = [masked](std::string_view field) {
    return std::ranges::find(masked, field) != masked.end();
  };
  const bool sport = is_masked("udp.sport") || is_masked("tcp.sport");
  const bool id = is_masked("ip.id");
  for (ReportFrame& f : frames) {
    const std::size_t at = link_header_len(f.link_type);
    if (f.bytes.size() < at) continue;
    const std::span<std::uint8_t> packet = std::span(f.bytes).subspan(at);
    const auto ip = Ipv4Header::parse(packet);
    if (!ip) {
      mask_ipv6(packet, sport, is_masked("ip6.flowlabel"), is_masked("ip6.frag_id"));
      continue;
    }
    if (id) {
      Ipv4View view(packet.data());
      view.set_id(0);
      view.send_check();
    }
    if (!sport || (ip->frag_off & kIpOffset) != 0) continue;
    const std::span<std::uint8_t> transport = packet.subspan(ip->hlen());
    if (ip->protocol == kIpProtoUdp) {
      if (auto udp = UdpHeader::parse(transport)) {
        if (udp->check != 0) udp->check = csum_replace(udp->check, udp->source, 0);
        udp->source = 0;
        udp->emit(transport.data());
      }
    } else if (ip->protocol == kIpProtoTcp) {
      if (auto tcp = TcpHeader::parse(transport)) {
        tcp->check = csum_replace(tcp->check, tcp->source, 0);
        tcp->source = 0;
        tcp->emit(transport.data());
      }
    }
  }
}

}  // namespace txp
