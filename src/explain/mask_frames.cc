// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "explain/explain.h"
#include "explain/frame_layout.h"
#include "wire/ethernet.h"
#include "wire/gre.h"
#include "wire/ipv4.h"
#include "wire/ipv6.h"
#include "wire/tcp.h"
#include "wire/udp.h"
#include "wire/vxlan.h"

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

// What is zeroed, of the datagram itself and of tunnels' headers before it.
struct Masks {
  explicit Masks(std::span<const std::string> masked) {
    const auto has = [masked](std::string_view field) {
      return std::ranges::find(masked, field) != masked.end();
    };
    sport = has("udp.sport") || has("tcp.sport");
    id = has("ip.id");
    label = has("ip6.flowlabel");
    frag_id = has("ip6.frag_id");
    outer_sport = has("outer.udp.sport");
    outer_id = has("outer.ip.id");
  }
  bool sport, id, label, frag_id, outer_sport, outer_id;
};

void zero_id(std::span<std::uint8_t> packet) {
  Ipv4View view(packet.data());
  view.set_id(0);
  view.send_check();
}

void zero_udp_sport(std::span<std::uint8_t> transport) {
  auto udp = UdpHeader::parse(transport);
  if (!udp) return;
  if (udp->check != 0) udp->check = csum_replace(udp->check, udp->source, 0);
  udp->source = 0;
  udp->emit(transport.data());
}

void mask_packet(std::span<std::uint8_t> packet, const Masks& m) {
  const auto ip = Ipv4Header::parse(packet);
  if (!ip) return mask_ipv6(packet, m.sport, m.label, m.frag_id);
  if (m.id) zero_id(packet);
  if (!m.sport || (ip->frag_off & kIpOffset) != 0) return;
  const std::span<std::uint8_t> transport = packet.subspan(ip->hlen());
  if (ip->protocol == kIpProtoUdp) return zero_udp_sport(transport);
  if (ip->protocol != kIpProtoTcp) return;
  if (auto tcp = TcpHeader::parse(transport)) {
    tcp->check = csum_replace(tcp->check, tcp->source, 0);
    tcp->source = 0;
    tcp->emit(transport.data());
  }
}

// Where a tunnel's inner IP packet begins behind its outer header, of those that the engine makes;
// nothing: in another fragment.
std::optional<std::size_t> inner_at(std::span<const std::uint8_t> packet, const Ipv4Header& ip) {
  const std::size_t at = ip.hlen();
  std::size_t inner = 0;
  if (ip.protocol == kIpProtoUdp) {  // GENEVE's header without options is as long as VXLAN's
    inner = at + kUdpHlen + kVxlanHlen + kEthHlen;
  } else if (ip.protocol == kIpProtoIpip) {
    inner = at;
  } else if (ip.protocol == kIpProtoGre && packet.size() >= at + kGreHlen) {
    inner = at + gre_hlen(load_be16(&packet[at]));
    if (load_be16(&packet[at + 2]) == kEthPTeb) inner += kEthHlen;
  }
  if (inner == 0 || (ip.frag_off & kIpOffset) != 0 || inner > packet.size()) return std::nullopt;
  return inner;
}

void mask_tunnel(std::span<std::uint8_t> packet, unsigned encaps, const Masks& m) {
  if (encaps == 0) return mask_packet(packet, m);
  const auto ip = Ipv4Header::parse(packet);
  if (!ip) return;
  if (m.outer_id) zero_id(packet);
  const auto inner = inner_at(packet, *ip);
  if (!inner) return;
  const auto payload = packet.subspan(*inner);
  const std::uint16_t before = csum_fold(csum_partial(payload, 0));
  mask_tunnel(payload, encaps - 1, m);
  const std::uint16_t after = csum_fold(csum_partial(payload, 0));
  if (ip->protocol != kIpProtoUdp) return;
  const auto transport = packet.subspan(ip->hlen());
  if (m.outer_sport) zero_udp_sport(transport);
  auto udp = UdpHeader::parse(transport);
  if (!udp || udp->check == 0 || before == after) return;
  const auto sum = [](std::uint16_t folded) { return static_cast<std::uint16_t>(~folded); };
  udp->check = csum_replace(udp->check, sum(before), sum(after));
  udp->emit(transport.data());
}

}  // namespace

void mask_frames(std::span<ReportFrame> frames, std::span<const std::string> masked) {
  const Masks m(masked);
  for (ReportFrame& f : frames) {
    const std::size_t at = link_header_len(f.link_type);
    if (f.bytes.size() >= at) mask_tunnel(std::span(f.bytes).subspan(at), f.encaps, m);
  }
}

}  // namespace txp
