// SPDX-License-Identifier: Apache-2.0
// RTM_NEWADDR, RTM_NEWMULTICAST, RTM_NEWROUTE and RTM_NEWADDRLABEL of AF_INET6. Kernel twins:
// net/ipv6/addrconf.c (inet6_fill_ifaddr()), net/ipv6/route.c (rt6_fill_node()),
// net/ipv6/addrlabel.c (ip6addrlbl_fill()).
#include <linux/if_addr.h>
#include <linux/if_addrlabel.h>
#include <linux/lwtunnel.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>
#include <unistd.h>

#include "mirror/attrs.h"
#include "mirror/decode.h"

namespace txp {
namespace {

constexpr std::size_t kMostHops = 4096;
constexpr unsigned kIfaProto = 11;  // IFA_PROTO, in the headers since 5.18

bool read_hop6(Attrs<RTA_MAX>& a, NextHop6& nh) {
  if (auto v = a.ip6(RTA_GATEWAY)) nh.gateway = *v;
  const auto encap_type = a.u16(RTA_ENCAP_TYPE);
  if (encap_type && *encap_type != LWTUNNEL_ENCAP_NONE)
    nh.encap = lwtunnel_text(*encap_type, a.raw(RTA_ENCAP).value_or(Bytes{}));
  return a.error().empty();
}

Result<void> read_multipath6(Bytes bytes, std::vector<NextHop6>& out) {
  while (!bytes.empty()) {
    rtnexthop h{};
    if (take_header(bytes, h) == nullptr || h.rtnh_len < sizeof h || h.rtnh_len > bytes.size())
      return fail("RTA_MULTIPATH is cut short");
    Attrs<RTA_MAX> a(bytes.subspan(sizeof h, h.rtnh_len - sizeof h), "next hop");
    NextHop6 nh;
    nh.oif = std::max(h.rtnh_ifindex, 0);
    nh.flags = h.rtnh_flags;
    nh.weight = static_cast<std::uint16_t>(h.rtnh_hops + 1);
    if (!read_hop6(a, nh)) return fail(a.error());
    if (out.size() == kMostHops) return fail("too many next hops");
    out.push_back(std::move(nh));
    const std::size_t step = RTNH_ALIGN(h.rtnh_len);
    bytes = step >= bytes.size() ? Bytes{} : bytes.subspan(step);
  }
  return {};
}

// A learnt path MTU (`ip -6 route show cache`).
Decoded as_exception6(const Route6& r) {
  RouteException6 e;
  e.daddr = r.dst.addr;
  if (!r.nexthops.empty()) {
    e.gateway = r.nexthops[0].gateway;
    e.oif = r.nexthops[0].oif;
  }
  // The kernel writes the destination as the gateway of one that has none.
  if (e.gateway == e.daddr) e.gateway = Ip6{};
  e.mtu = r.metrics.value[kRtaxMtu];
  e.expires = r.expires;
  if (r.expires < 0 || r.dst.len != 128 || e.mtu == 0) return Decoded{};
  return Decoded{.what = e};
}

}  // namespace

Result<Decoded> decode_addr6(Bytes bytes) {
  ifaddrmsg h{};
  if (take_header(bytes, h) == nullptr) return fail("cut short");
  if (h.ifa_index == 0 || h.ifa_index > 0x7fffffff) return fail("no interface index");
  if (h.ifa_prefixlen > 128) return fail(fmt::format("prefix length {}", h.ifa_prefixlen));
  Attrs<kIfaProto> a(bytes.subspan(sizeof h), "address");
  In6Addr addr;
  addr.ifindex = static_cast<int>(h.ifa_index);
  addr.prefixlen = h.ifa_prefixlen;
  addr.scope = h.ifa_scope;
  addr.flags = a.u32(IFA_FLAGS).value_or(h.ifa_flags);
  addr.protocol = a.u8(kIfaProto).value_or(0);
  const auto local = a.ip6(IFA_LOCAL);
  const auto peer = a.ip6(IFA_ADDRESS);
  if (!a.error().empty()) return fail(a.error());
  if (!local && !peer) return fail("no address");
  addr.local = local ? *local : *peer;
  addr.peer = peer ? *peer : *local;
  return Decoded{.what = addr};
}

Result<Decoded> decode_multicast6(Bytes bytes) {
  ifaddrmsg h{};
  if (take_header(bytes, h) == nullptr) return fail("cut short");
  if (h.ifa_index == 0 || h.ifa_index > 0x7fffffff) return fail("no interface index");
  Attrs<IFA_MAX> a(bytes.subspan(sizeof h), "membership");
  const auto group = a.ip6(IFA_MULTICAST);
  if (!a.error().empty()) return fail(a.error());
  if (!group || !group->is_multicast()) return fail("no multicast group");
  return Decoded{.what = McGroup6{static_cast<int>(h.ifa_index), *group}};
}

Result<Decoded> decode_route6(Bytes bytes) {
  rtmsg h{};
  if (take_header(bytes, h) == nullptr) return fail("cut short");
  if (h.rtm_dst_len > 128 || h.rtm_src_len > 128)
    return fail(fmt::format("prefix length {}", h.rtm_dst_len));
  if (h.rtm_type > RTN_XRESOLVE) return fail(fmt::format("route type {}", h.rtm_type));
  Attrs<RTA_MAX> a(bytes.subspan(sizeof h), "route");
  Route6 r;
  r.table = a.u32(RTA_TABLE).value_or(h.rtm_table);
  r.dst.len = h.rtm_dst_len;
  if (auto v = a.ip6(RTA_DST)) r.dst.addr = *v;
  r.src.len = h.rtm_src_len;
  if (auto v = a.ip6(RTA_SRC)) r.src.addr = *v;
  r.type = static_cast<RouteType>(h.rtm_type);
  r.protocol = h.rtm_protocol;
  r.priority = a.u32(RTA_PRIORITY).value_or(0);
  r.pref = a.u8(RTA_PREF).value_or(kRouterPrefMedium);
  if (auto v = a.ip6(RTA_PREFSRC)) r.prefsrc = *v;
  if (auto v = a.u32(RTA_NH_ID)) r.nhid = *v;
  if (auto v = a.raw(RTA_METRICS))
    if (auto read = read_metrics(*v, r.metrics); !read) return std::unexpected(read.error());
  if (auto v = a.raw(RTA_CACHEINFO, sizeof(rta_cacheinfo))) {
    rta_cacheinfo ci{};
    std::memcpy(&ci, v->data(), sizeof ci);
    r.expires = std::int64_t{ci.rta_expires} * (kSecond / sysconf(_SC_CLK_TCK));  // from now
  }
  if (auto v = a.raw(RTA_MULTIPATH)) {
    if (auto read = read_multipath6(*v, r.nexthops); !read) return std::unexpected(read.error());
  } else if (a.has(RTA_OIF) || a.has(RTA_GATEWAY)) {
    NextHop6 nh;
    if (a.has(RTA_OIF)) nh.oif = a.ifindex(RTA_OIF).value_or(0);
    nh.flags = static_cast<std::uint8_t>(h.rtm_flags & 0xff);
    read_hop6(a, nh);
    r.nexthops.push_back(std::move(nh));
  }
  if (!a.error().empty()) return fail(a.error());
  const Ip6 m = ip6_mask(r.dst.len);
  if ((r.dst.addr.hi & ~m.hi) != 0 || (r.dst.addr.lo & ~m.lo) != 0)
    return fail(fmt::format("{} has bits beyond its prefix length", r.dst.str()));
  if ((h.rtm_flags & RTM_F_CLONED) != 0) return as_exception6(r);
  if (r.nhid != 0) r.nexthops.clear();
  return Decoded{.what = std::move(r)};
}

Result<Decoded> decode_addrlabel(Bytes bytes) {
  ifaddrlblmsg h{};
  if (take_header(bytes, h) == nullptr) return fail("cut short");
  if (h.ifal_family != AF_INET6) return Decoded{};
  if (h.ifal_prefixlen > 128) return fail(fmt::format("prefix length {}", h.ifal_prefixlen));
  if (h.ifal_index > 0x7fffffff) return fail("no interface index");
  Attrs<IFAL_LABEL> a(bytes.subspan(sizeof h), "address label");
  AddrLabel l;
  l.ifindex = static_cast<int>(h.ifal_index);
  l.prefix.len = h.ifal_prefixlen;
  if (auto v = a.ip6(IFAL_ADDRESS)) l.prefix.addr = *v;
  l.label = a.u32(IFAL_LABEL).value_or(0);
  if (!a.error().empty()) return fail(a.error());
  return Decoded{.what = l};
}

}  // namespace txp
