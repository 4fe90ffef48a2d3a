// SPDX-License-Identifier: Apache-2.0
// Connection tracking of what the engine sends (and loops back): UDP and TCP by their ports, ICMP
// errors by what they quote.
// Kernel twins: net/netfilter/nf_conntrack_core.c, nf_conntrack_proto_udp.c,
// nf_conntrack_proto_icmp.c, nf_conntrack_proto_icmpv6.c.
// Differs: TCP has no states beyond new and answered; no zones, helpers, expectations, accounting
// or limit; timeouts are the kernel's first ones (30 s, answered 120 s).
#include "netfilter/nf_conntrack.h"

#include <array>
#include <utility>

#include "base/byteorder.h"
#include "ip/icmp.h"
#include "ip6/icmpv6.h"
#include "ip6/ip6.h"
#include "net.h"
#include "netfilter/nft_expr.h"
#include "wire/icmp.h"
#include "wire/ipv4.h"
#include "wire/ipv6.h"

namespace txp {
namespace {

constexpr Nanos kUnreplied = 30 * kSecond;  // nf_conntrack_udp_timeout
constexpr Nanos kReplied = 120 * kSecond;   // nf_conntrack_udp_timeout_stream
constexpr std::uint8_t kTcp = 6;
constexpr std::uint8_t kUdp = 17;

// nf_ct_get_tuple() behind the network header: `l4` is from skb.data.
bool ports_at(const Skb& skb, std::uint32_t l4, NfTuple& t) {
  if (t.proto != kUdp && t.proto != kTcp) return true;
  std::array<std::uint8_t, 4> ports{};
  if (!skb_copy_bits(skb, l4, ports)) return false;
  t.sport = load_be16(ports.data());
  t.dport = load_be16(ports.data() + 2);
  return true;
}

// ipv6_get_l4proto(), `offset` being where an IPv6 header begins.
bool tuple6_at(const Skb& skb, std::uint32_t offset, NfTuple& t, std::uint32_t* behind) {
  // The headers are in the linear part; what is quoted is whole there too.
  const std::uint8_t* p = skb.data + offset;
  if (p + kIpv6Hlen > skb.tail) return false;
  const auto ip = Ipv6Header::parse({p, skb.tail});
  if (!ip) return false;
  std::uint8_t nexthdr = ip->nexthdr;
  const auto inner = ipv6_skip_exthdr({p, skb.tail}, kIpv6Hlen, nexthdr);
  if (!inner || (inner->frag_off & ~7) != 0) return false;
  t = {ip->saddr, ip->daddr, true, 0, 0, nexthdr};
  const auto l4 = offset + static_cast<std::uint32_t>(inner->offset);
  if (behind != nullptr) *behind = l4;
  return ports_at(skb, l4, t);
}

// The same, `offset` being where an IP header of either family begins.
bool tuple_at(const Skb& skb, std::uint32_t offset, NfTuple& t, std::uint32_t* behind = nullptr) {
  std::array<std::uint8_t, 60> header{};
  if (!skb_copy_bits(skb, offset, std::span(header).first(kIpHlen))) return false;
  if (header[0] >> 4 == 6) return tuple6_at(skb, offset, t, behind);
  const std::size_t hlen = (header[0] & 0xfU) * 4U;
  if (hlen < kIpHlen || !skb_copy_bits(skb, offset, std::span(header).first(hlen))) return false;
  const auto ip = Ipv4Header::parse(std::span(header).first(hlen));
  if (!ip || (ip->frag_off & kIpOffset) != 0) return false;
  t = {Ip6::mapped(ip->saddr), Ip6::mapped(ip->daddr), false, 0, 0, ip->protocol};
  const auto l4 = offset + static_cast<std::uint32_t>(hlen);
  if (behind != nullptr) *behind = l4;
  return ports_at(skb, l4, t);
}

// Whether an ICMP message speaks of another packet.
bool is_icmp_error(const NfTuple& t, std::uint8_t type) {
  return t.ipv6 ? (type & kIcmpv6InfomsgMask) == 0 : icmp_is_error(type);
}

// noct_valid_new[]: multicast listeners, routers and neighbours are not tracked.
bool is_untracked(const NfTuple& t, std::uint8_t type) {
  return t.ipv6 && ((type >= 130 && type <= 136) || type == 143);
}

std::uint32_t ip_offset(const Skb& skb) {
  return static_cast<std::uint32_t>(skb.network() - skb.data);
}

void assign(Skb& skb, NfConn* ct, CtInfo info) {
  nf_conn_put(std::exchange(skb.nfct, ct));
  skb.ctinfo = info;
}

}  // namespace

void nf_conn_get(NfConn* ct) {
  if (ct != nullptr) ct->refs.fetch_add(1, std::memory_order_relaxed);
}
void nf_conn_put(NfConn* ct) {
  if (ct != nullptr && ct->refs.fetch_sub(1, std::memory_order_acq_rel) == 1) delete ct;
}

void nf_ct_attach(Skb& skb, const Skb& about) {
  if (about.nfct == nullptr) return;
  nf_conn_get(about.nfct);
  const bool reply =
      about.ctinfo == CtInfo::established_reply || about.ctinfo == CtInfo::related_reply;
  assign(skb, about.nfct, reply ? CtInfo::related : CtInfo::related_reply);
}

void nf_reset_ct(Skb& skb) { assign(skb, nullptr, CtInfo::established); }

NfConntrack::~NfConntrack() {
  for (const auto& [tuple, ct] : by_tuple_) nf_conn_put(ct);
}

// Under mutex_. Forgets what is over.
NfConn* NfConntrack::find(const NfTuple& tuple, Nanos now, bool& reply) {
  const auto at = by_tuple_.find(tuple);
  if (at == by_tuple_.end()) return nullptr;
  NfConn* ct = at->second;
  if (ct->expires.load() <= now) {
    for (const NfTuple& t : {NfTuple(ct->original), NfTuple(ct->reply)})
      if (const auto i = by_tuple_.find(t); i != by_tuple_.end() && i->second == ct) {
        by_tuple_.erase(i);
        nf_conn_put(ct);
      }
    return nullptr;
  }
  reply = ct->reply == tuple && ct->original != tuple;
  return ct;
}

void NfConntrack::in(Net& net, Skb& skb) {
  // Seen before (looped back), or not to be tracked.
  if (skb.nfct != nullptr || skb.ctinfo == CtInfo::untracked) return;
  NfTuple tuple;
  std::uint32_t behind = 0;
  if (!tuple_at(skb, ip_offset(skb), tuple, &behind)) return;
  const Nanos now = net.clock.now();
  const std::lock_guard guard(mutex_);
  bool reply = false;
  if (tuple.proto == (tuple.ipv6 ? kNexthdrIcmpv6 : kIpProtoIcmp)) {
    std::array<std::uint8_t, 1> type{};
    NfTuple quoted;
    if (!skb_copy_bits(skb, behind, type)) return;
    if (is_untracked(tuple, type[0])) skb.ctinfo = CtInfo::untracked;
    if (!is_icmp_error(tuple, type[0])) return;
    if (!tuple_at(skb, behind + static_cast<std::uint32_t>(kIcmpHlen), quoted)) return;
    // nf_conntrack_inet_error(): it goes the way of the answer to what it quotes.
    NfConn* ct = find(quoted.inverted(), now, reply);
    if (ct == nullptr || (reply ? ct->reply : ct->original).dst != tuple.dst) return;  // invalid
    nf_conn_get(ct);
    assign(skb, ct, reply ? CtInfo::related_reply : CtInfo::related);
    return;
  }
  if (tuple.proto != kUdp && tuple.proto != kTcp) return;
  NfConn* ct = find(tuple, now, reply);
  if (ct == nullptr) {
    ct = new (std::nothrow) NfConn;
    if (ct == nullptr) return;
    ct->original = tuple;
    ct->reply = tuple.inverted();
    ct->expires = now + kUnreplied;
    const bool answered = mode.load() == CtMode::established;
    if (answered) ct->status = kIpsSeenReply | kIpsConfirmed;
    assign(skb, ct, answered ? CtInfo::established : CtInfo::new_);
    return;
  }
  nf_conn_get(ct);
  if (reply) {
    ct->status.fetch_or(kIpsSeenReply);
    assign(skb, ct, CtInfo::established_reply);
  } else {
    const bool answered = (ct->status.load() & kIpsSeenReply) != 0;
    assign(skb, ct, answered ? CtInfo::established : CtInfo::new_);
  }
  ct->expires = now + ((ct->status.load() & kIpsSeenReply) != 0 ? kReplied : kUnreplied);
}

bool NfConntrack::confirm(Net& net, Skb& skb) {
  NfConn* ct = skb.nfct;
  if (ct == nullptr || (ct->status.load() & kIpsConfirmed) != 0) return true;
  // An ICMP error about a packet that did not go out makes no connection.
  if (skb.ctinfo == CtInfo::established_reply || skb.ctinfo == CtInfo::related_reply) return true;
  const Nanos now = net.clock.now();
  const std::lock_guard guard(mutex_);
  // nf_ct_resolve_clash(): the same connection, which another thread confirmed, is no clash.
  bool is_reply = false;
  if (const NfConn* other = find(ct->reply, now, is_reply);
      other != nullptr && other != ct &&
      (NfTuple(other->original) != ct->original || NfTuple(other->reply) != ct->reply))
    return false;
  ct->status.fetch_or(kIpsConfirmed);
  ct->expires = now + kUnreplied;
  for (const NfTuple& t : {NfTuple(ct->original), NfTuple(ct->reply)})
    if (by_tuple_.try_emplace(t, ct).second) nf_conn_get(ct);
  return true;
}

bool NfConntrack::used(const NfTuple& reply, const NfConn* except, Nanos now) {
  const std::lock_guard guard(mutex_);
  bool is_reply = false;
  const NfConn* ct = find(reply, now, is_reply);
  return ct != nullptr && ct != except;
}

bool NfConntrack::find_source(NfTuple& tuple, Nanos now) {
  const std::lock_guard guard(mutex_);
  for (const auto& [key, ct] : by_tuple_) {
    const NfTuple& o = ct->original;
    if (o.proto != tuple.proto || o.ipv6 != tuple.ipv6 || o.src != tuple.src ||
        o.sport != tuple.sport || ct->expires.load() <= now)
      continue;
    tuple.src = ct->reply.dst;
    tuple.sport = ct->reply.dport;
    return true;
  }
  return false;
}

std::size_t NfConntrack::size() {
  const std::lock_guard guard(mutex_);
  return by_tuple_.size() / 2;
}

}  // namespace txp
