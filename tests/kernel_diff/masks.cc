// SPDX-License-Identifier: Apache-2.0
#include "kernel_diff/masks.h"

#include <fmt/format.h>

#include <algorithm>

namespace txp::kdiff {
namespace {

std::uint32_t get32(const Bytes& b, std::size_t at) {
  return static_cast<std::uint32_t>(b[at]) << 24 | static_cast<std::uint32_t>(b[at + 1]) << 16 |
         static_cast<std::uint32_t>(b[at + 2]) << 8 | b[at + 3];
}

std::uint16_t get16(const Bytes& b, std::size_t at) {
  return static_cast<std::uint16_t>(b[at] << 8 | b[at + 1]);
}

// Fragments of one datagram, and an ICMP error's quotation of it, carry the same addresses and id;
// another datagram has another. `ip` is where the IP header begins.
std::uint64_t datagram_key(const Bytes& b, std::size_t ip) {
  const std::uint64_t addresses = std::uint64_t{get32(b, ip + 12)} * 0x9e3779b97f4a7c15U;
  return (addresses ^ get32(b, ip + 16)) << 16 | (get32(b, ip + 4) >> 16);
}

}  // namespace

std::string list_masks() {
  std::string text;
  for (const Mask& m : kMasks)
    text +=
        fmt::format("{}\n  where  {}\n  how    {}\n  why    {}\n", m.name, m.where, m.how, m.why);
  return text;
}

bool Masker::apply(FrameRecord& frame, const std::vector<SocketState>& sockets,
                   const std::string& caller, bool several) {
  ++seen_;
  frame.masked = frame.raw;
  if (is_arp(frame.raw)) {
    left_out_[frame.dev + ".tx_packets"] += 1;
    left_out_[frame.dev + ".tx_bytes"] += static_cast<std::int64_t>(frame.raw.size());
    return false;
  }
  if (frame.superframe != 0 && frame.dev != "lo") {
    if (frame.first_segment) {
      segments_[frame.dev + ".tx_bytes"] -= static_cast<std::int64_t>(frame.superframe);
      segments_[frame.dev + ".tx_packets"] -= 1;
    }
    segments_[frame.dev + ".tx_bytes"] += static_cast<std::int64_t>(frame.raw.size());
    segments_[frame.dev + ".tx_packets"] += 1;
  }
  if (const std::optional<Ipv6Parts> six = ipv6_parts(frame.raw))
    return apply6(frame, *six, sockets);
  const std::optional<Ipv4Parts> p = ipv4_parts(frame.raw);
  if (p && mask_tunnel(frame, *p)) return true;
  if (p && p->proto == 1) mask_icmp(frame, *p, sockets);
  if (!p || p->proto != 17) return true;
  const std::uint64_t key = datagram_key(frame.raw, p->ip);
  const auto distance = [&](std::uint16_t base, const char* mask) {
    set_ip_id(frame.masked, p->ip, static_cast<std::uint16_t>(p->id - base + 1));
    frame.masks.emplace_back(mask);
  };
  if (p->udp == 0) {  // a later fragment: as its head
    if (const auto head = sent_.find(key); head != sent_.end() && head->second.id_masked)
      distance(head->second.base, head->second.connected ? "ip.id connected" : "ip.id drawn");
    return true;
  }
  // Several sockets may have the port, on other addresses: then it is the caller's.
  const SocketState* sender = nullptr;
  for (const SocketState& s : sockets)
    if (s.sends_from(p->sport) && (sender == nullptr || s.name == caller)) sender = &s;
  const bool rewritten = sender == nullptr;
  if (rewritten)
    for (const SocketState& s : sockets)
      if (s.name == caller) sender = &s;
  if (sender == nullptr) return true;
  Head head;
  head.check = get16(frame.raw, p->udp + 6);
  head.port_masked = rewritten ? !named_ports_.empty() && !named_ports_.contains(p->sport)
                               : sender->drawn.contains(p->sport);
  head.connected = sender->connected;
  if (head.port_masked) {
    set_udp_sport(frame.masked, 0);
    frame.masks.emplace_back(rewritten ? "udp.sport nat" : "udp.sport");
    drawn_by_nat_ |= rewritten;
  }
  if (sender->connected) {
    head.id_masked = true;
    head.base = first_connected_id_.try_emplace({sender->name, sender->epoch}, p->id).first->second;
    distance(head.base, "ip.id connected");
  } else if (!p->dont_fragment() || sender->ignore_df) {
    const auto [at, fresh] = drawn_.try_emplace(sender->name, frame.call, p->id);
    if (!fresh && (several || at->second.first != frame.call)) at->second = {frame.call, p->id};
    head.id_masked = true;
    head.base = at->second.second;
    distance(head.base, "ip.id drawn");
  }
  sent_[key] = head;
  return true;
}

// Whether it is a tunnel's outer packet, masked then, or a later fragment of one.
bool Masker::mask_tunnel(FrameRecord& frame, const Ipv4Parts& p) {
  constexpr std::uint8_t kIpip = 4;
  constexpr std::uint8_t kGre = 47;
  constexpr std::uint8_t kUdp = 17;
  constexpr std::uint16_t kVxlanPort = 4789;
  constexpr std::uint16_t kGenevePort = 6081;
  constexpr std::uint16_t kDrawnPorts = 32768;
  const std::uint64_t key = datagram_key(frame.raw, p.ip);
  const auto head = tunnels_.find(key);
  const std::uint16_t dport = p.udp != 0 ? get16(frame.raw, p.udp + 2) : std::uint16_t{0};
  const bool over_udp = p.proto == kUdp && (dport == kVxlanPort || dport == kGenevePort);
  const bool later = p.udp == 0 && head != tunnels_.end();
  if (!over_udp && p.proto != kIpip && p.proto != kGre && !later) return false;
  const std::uint16_t base = later ? head->second : p.id;
  tunnels_[key] = base;
  set_ip_id(frame.masked, p.ip, static_cast<std::uint16_t>(p.id - base + 1));
  if (over_udp && p.sport >= kDrawnPorts) set_udp_sport(frame.masked, 0);
  // A tunnel within: its id, which the checksum of its header makes up for in the outer one.
  const std::size_t frame_at = p.udp + 16;
  if (over_udp && frame.raw.size() > frame_at) {
    const auto within = ipv4_parts(std::span(frame.raw).subspan(frame_at));
    if (within && within->udp != 0 && get16(frame.raw, frame_at + within->udp + 2) == kGenevePort)
      set_ip_id(frame.masked, frame_at + within->ip, 1);
  }
  frame.masks.emplace_back("tunnel");
  return true;
}

bool Masker::apply6(FrameRecord& frame, const Ipv6Parts& p,
                    const std::vector<SocketState>& sockets) {
  constexpr std::uint8_t kIcmpv6 = 58;
  if (p.proto == kIcmpv6 && frame.dev != "lo" && p.transport < frame.raw.size()) {
    const std::uint8_t type = frame.raw[p.transport];
    if ((type >= 130 && type <= 137) || type == 143) {
      const auto len = static_cast<std::int64_t>(frame.raw.size());
      left_out_[frame.dev + ".tx_packets"] += 1;
      left_out_[frame.dev + ".tx_bytes"] += len;
      left_out_["Ip6.OutRequests"] += 1;
      left_out_["Ip6.OutTransmits"] += 1;
      left_out_["Ip6.OutOctets"] += len - 14;
      left_out_["Icmp6.OutMsgs"] += 1;
      if (frame.raw[38] == 0xff) {
        left_out_["Ip6.OutMcastPkts"] += 1;
        left_out_["Ip6.OutMcastOctets"] += len - 14;
      }
      if (type == 135) left_out_["Icmp6.OutNeighborSolicits"] += 1;
      if (type == 136) left_out_["Icmp6.OutNeighborAdvertisements"] += 1;
      if (type == 143) left_out_["Icmp6.OutMLDv2Reports"] += 1;
      return false;
    }
  }
  if (p.proto == kIcmpv6) mask_icmp6(frame, p, sockets);
  if (p.frag != 0) {
    if (frag_call_ != frame.call) frag_ids_.clear();
    frag_call_ = frame.call;
    const std::uint32_t id = get32(frame.raw, p.frag + 4);
    auto at = std::ranges::find(frag_ids_, id);
    if (at == frag_ids_.end()) at = frag_ids_.insert(at, id);
    const auto ordinal = static_cast<std::uint32_t>(at - frag_ids_.begin() + 1);
    for (std::size_t i = 0; i < 4; ++i)
      frame.masked[p.frag + 4 + i] = static_cast<std::uint8_t>(ordinal >> (24 - 8 * i));
    frame.masks.emplace_back("ip6.frag_id");
  }
  // A later fragment has no port: the label of any socket with automatic ones is masked.
  const SocketState* sender = nullptr;
  bool any_auto = false;
  for (const SocketState& s : sockets) {
    any_auto |= s.auto_label;
    if (p.udp != 0 && s.sends_from(p.sport)) sender = &s;
  }
  const std::uint32_t label = get32(frame.raw, 14) & 0xfffff;
  if (label != 0 && (sender != nullptr ? sender->auto_label : any_auto)) {
    frame.masked[15] &= 0xf0;
    frame.masked[16] = 0;
    frame.masked[17] = 1;
    frame.masks.emplace_back("ip6.flowlabel");
  }
  if (sender != nullptr && sender->drawn.contains(p.sport)) {
    checks6_.emplace(p.sport, get16(frame.raw, p.udp + 6));
    set_udp_sport6(frame.masked, 0);
    frame.masks.emplace_back("udp.sport");
  }
  return true;
}

// The same of an ICMPv6 error: its quotation's drawn port and label, each against the ICMP
// checksum. The UDP checksum follows only where it is the one that was on the wire.
void Masker::mask_icmp6(FrameRecord& frame, const Ipv6Parts& p,
                        const std::vector<SocketState>& sockets) const {
  constexpr std::size_t kEthernet = 14;
  const std::size_t icmp = p.transport;
  const std::size_t quoted = icmp + 8;
  if (frame.dev != "lo" || frame.raw.size() < quoted + 40 || (frame.raw[icmp] & 0x80U) != 0) return;
  Bytes quotation(frame.raw.begin(), frame.raw.begin() + kEthernet);
  quotation.insert(quotation.end(), frame.raw.begin() + static_cast<std::ptrdiff_t>(quoted),
                   frame.raw.end());
  const auto parts = ipv6_parts(quotation);
  if (!parts || parts->udp == 0) return;
  const std::size_t udp = quoted - kEthernet + parts->udp;
  if (frame.raw.size() < udp + 8) return;
  const auto sender = std::ranges::find_if(
      sockets, [&](const SocketState& s) { return s.sends_from(parts->sport); });
  if (sender == sockets.end()) return;
  if (const std::uint32_t label = get32(frame.raw, quoted) & 0xfffff;
      label != 0 && sender->auto_label) {
    const auto high = static_cast<std::uint16_t>(get16(frame.raw, quoted) & 0xfff0U);
    set_16(frame.masked, quoted, high, icmp + 2);
    set_16(frame.masked, quoted + 2, 1, icmp + 2);
    frame.masks.emplace_back("ip6.flowlabel");
  }
  if (!sender->drawn.contains(parts->sport)) return;
  const std::uint16_t check = get16(frame.raw, udp + 6);
  set_16(frame.masked, udp, 0, icmp + 2);
  if (check != 0 && checks6_.contains({parts->sport, check}))
    set_16(frame.masked, udp + 6, adjusted(check, parts->sport, 0), icmp + 2);
  frame.masks.emplace_back("icmp6 quoted");
}

// The quotation's header checksum moves against its id, so that the ICMP checksum stays. Its UDP
// checksum may be unfilled (CHECKSUM_PARTIAL is quoted as it is) and then says nothing of the port.
void Masker::mask_icmp(FrameRecord& frame, const Ipv4Parts& p,
                       const std::vector<SocketState>& sockets) const {
  const std::size_t icmp = p.ip + p.hlen;
  const std::size_t quoted = icmp + 8;
  const std::uint8_t type = frame.raw.size() > icmp ? frame.raw[icmp] : 0;
  const bool is_error = type == 3 || type == 11 || type == 12;
  if (frame.dev != "lo" || !is_error || frame.raw.size() < quoted + 20) return;
  frame.masks.emplace_back("ip.id icmp");
  set_ip_id(frame.masked, p.ip, 1);
  const auto sent = sent_.find(datagram_key(frame.raw, quoted));
  const std::size_t udp = quoted + (frame.raw[quoted] & 0xfU) * 4U;
  if (frame.raw.size() < udp + 8) return;
  const std::uint16_t port = get16(frame.raw, udp);
  const std::uint16_t check = get16(frame.raw, udp + 6);
  if (drawn_by_nat_) set_16(frame.masked, udp + 6, 0, icmp + 2);
  if (sent == sent_.end()) {  // a rule rejected it, or NAT wrote its addresses
    set_ip_id(frame.masked, quoted, 1);
    for (const SocketState& s : sockets)
      if (s.drawn.contains(port)) set_16(frame.masked, udp, 0, icmp + 2);
    return;
  }
  const Head& head = sent->second;
  if (head.id_masked) {
    const std::uint16_t id = get16(frame.raw, quoted + 4);
    set_ip_id(frame.masked, quoted, static_cast<std::uint16_t>(id - head.base + 1));
  }
  if (!head.port_masked) return;
  set_16(frame.masked, udp, 0, icmp + 2);
  if (check != 0 && check == head.check && !drawn_by_nat_)
    set_16(frame.masked, udp + 6, adjusted(check, port, 0), icmp + 2);
}

}  // namespace txp::kdiff
