// SPDX-License-Identifier: Apache-2.0
// RTM_NEWROUTE of AF_INET, and the learnt exceptions that come as RTM_F_CLONED ones. Kernel twins:
// net/ipv4/fib_semantics.c (fib_dump_info()), net/ipv4/route.c (rt_fill_info()).
#include <arpa/inet.h>
#include <linux/lwtunnel.h>
#include <linux/mpls_iptunnel.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>
#include <unistd.h>

#include "mirror/attrs.h"
#include "mirror/decode.h"

namespace txp {

namespace {

constexpr std::size_t kMaxNexthops = 4096;

// fib_check_nh(): what scope the kernel gave the next hop; rtnetlink does not say. The mirror
// corrects a gateway that is one of the host's own addresses to kScopeHost.
std::uint8_t nexthop_scope(std::uint8_t route_scope) {
  return route_scope >= kScopeHost ? kScopeNowhere : kScopeLink;
}

std::string ip6_text(Bytes b) {
  char text[INET6_ADDRSTRLEN] = {};
  return inet_ntop(AF_INET6, b.data(), text, sizeof text) != nullptr ? text : "";
}

// The attributes that one next hop may have, in a route or in its RTA_MULTIPATH.
bool read_nexthop(Attrs<RTA_MAX>& a, NextHop& nh) {
  if (auto v = a.ip4(RTA_GATEWAY)) nh.gateway = *v;
  if (auto v = a.raw(RTA_VIA, 2)) {
    std::uint16_t family = 0;
    std::memcpy(&family, v->data(), sizeof family);
    const Bytes addr = v->subspan(2);
    if (family == AF_INET6 && addr.size() == 16)
      nh.gateway6 = ip6_text(addr);
    else if (family == AF_INET && addr.size() == 4)
      nh.gateway = Ip4{load_be32(addr.data())};
    else
      a.wrong(RTA_VIA, "is no gateway's address");
  }
  if (auto v = a.u32(RTA_FLOW)) nh.tclassid = *v;
  const auto encap_type = a.u16(RTA_ENCAP_TYPE);
  if (encap_type && *encap_type != LWTUNNEL_ENCAP_NONE)
    nh.encap = lwtunnel_text(*encap_type, a.raw(RTA_ENCAP).value_or(Bytes{}));
  return a.error().empty();
}

Result<void> read_multipath(Bytes bytes, std::uint8_t route_scope, std::vector<NextHop>& out) {
  while (!bytes.empty()) {
    rtnexthop h{};
    if (take_header(bytes, h) == nullptr || h.rtnh_len < sizeof h || h.rtnh_len > bytes.size())
      return fail("RTA_MULTIPATH is cut short");
    Attrs<RTA_MAX> a(bytes.subspan(sizeof h, h.rtnh_len - sizeof h), "next hop");
    NextHop nh;
    nh.scope = nexthop_scope(route_scope);
    nh.oif = std::max(h.rtnh_ifindex, 0);
    nh.flags = h.rtnh_flags;
    nh.weight = static_cast<std::uint16_t>(h.rtnh_hops + 1);
    if (!read_nexthop(a, nh)) return fail(a.error());
    if (out.size() == kMaxNexthops) return fail("too many next hops");
    out.push_back(std::move(nh));
    const std::size_t step = RTNH_ALIGN(h.rtnh_len);
    bytes = step >= bytes.size() ? Bytes{} : bytes.subspan(step);
  }
  return {};
}

// A cached exception (`ip route show cache`): only a learnt MTU concerns the sender.
Result<Decoded> as_exception(const Route& r, Attrs<RTA_MAX>& a) {
  RouteException e;
  e.daddr = r.dst.addr;
  if (!r.nexthops.empty()) {
    e.gateway = r.nexthops[0].gateway;
    e.oif = r.nexthops[0].oif;
  }
  e.mtu = r.metrics.value[kRtaxMtu];
  e.mtu_locked = (r.metrics.lock & (1U << kRtaxMtu)) != 0;
  if (auto v = a.raw(RTA_CACHEINFO, sizeof(rta_cacheinfo))) {
    rta_cacheinfo ci{};
    std::memcpy(&ci, v->data(), sizeof ci);
    // In USER_HZ, and negative once it has expired.
    e.expires = std::int64_t{ci.rta_expires} * (kSecond / sysconf(_SC_CLK_TCK));
  }
  if (!a.error().empty()) return fail(a.error());
  if (e.expires < 0 || r.dst.len != 32) return Decoded{};
  return Decoded{.what = e};
}

}  // namespace

Result<void> read_metrics(Bytes bytes, RouteMetrics& m) {
  Attrs<RTAX_MAX> a(bytes, "RTA_METRICS");
  for (unsigned i = 2; i < m.value.size(); ++i) {
    if (i == RTAX_CC_ALGO) continue;
    if (auto v = a.u32(i)) m.value[i] = *v;
  }
  m.lock = a.u32(RTAX_LOCK).value_or(0);
  m.cc_algo = a.text(RTAX_CC_ALGO, 16).value_or("");
  if (!a.error().empty()) return fail(a.error());
  return {};
}

std::string lwtunnel_text(std::uint16_t encap_type, Bytes encap) {
  static constexpr std::array<std::string_view, 12> kNames{"none", "mpls",  "ip",   "ila",
                                                           "ip6",  "seg6",  "bpf",  "seg6local",
                                                           "rpl",  "ioam6", "xfrm", "ip6"};
  std::string text =
      encap_type < kNames.size() ? std::string(kNames[encap_type]) : fmt::format("{}", encap_type);
  if (encap_type == LWTUNNEL_ENCAP_MPLS) {
    Attrs<MPLS_IPTUNNEL_MAX> a(encap, "encap");
    if (const auto labels = a.raw(MPLS_IPTUNNEL_DST)) {
      std::string stack;
      for (std::size_t i = 0; i + 4 <= labels->size(); i += 4)
        stack += fmt::format("{}{}", i == 0 ? "" : "/", load_be32(labels->data() + i) >> 12);
      text += "  " + stack;
    }
    if (const auto ttl = a.u8(MPLS_IPTUNNEL_TTL)) text += fmt::format(" ttl {}", *ttl);
  } else if (encap_type == LWTUNNEL_ENCAP_IP) {
    Attrs<LWTUNNEL_IP_MAX> a(encap, "encap");
    if (const auto id = a.be64(LWTUNNEL_IP_ID)) text += fmt::format(" id {}", *id);
    if (const auto src = a.ip4(LWTUNNEL_IP_SRC)) text += " src " + src->str();
    if (const auto dst = a.ip4(LWTUNNEL_IP_DST)) text += " dst " + dst->str();
    if (const auto ttl = a.u8(LWTUNNEL_IP_TTL)) text += fmt::format(" ttl {}", *ttl);
    if (const auto tos = a.u8(LWTUNNEL_IP_TOS)) text += fmt::format(" tos {}", *tos);
  }
  return text;
}

Result<Decoded> decode_route(Bytes bytes) {
  rtmsg h{};
  if (take_header(bytes, h) == nullptr) return fail("cut short");
  if (h.rtm_family == AF_INET6) return decode_route6(bytes);
  if (h.rtm_family != AF_INET) return Decoded{};
  if (h.rtm_dst_len > 32) return fail(fmt::format("prefix length {}", h.rtm_dst_len));
  if (h.rtm_type > RTN_XRESOLVE) return fail(fmt::format("route type {}", h.rtm_type));
  Attrs<RTA_MAX> a(bytes.subspan(sizeof h), "route");
  Route r;
  r.table = a.u32(RTA_TABLE).value_or(h.rtm_table);
  r.dst.len = h.rtm_dst_len;
  if (auto v = a.ip4(RTA_DST)) r.dst.addr = *v;
  r.tos = h.rtm_tos;
  r.type = static_cast<RouteType>(h.rtm_type);
  r.scope = h.rtm_scope;
  r.protocol = h.rtm_protocol;
  if (auto v = a.u32(RTA_PRIORITY)) r.priority = *v;
  if (auto v = a.ip4(RTA_PREFSRC)) r.prefsrc = *v;
  if (auto v = a.u32(RTA_NH_ID)) r.nhid = *v;
  if (auto v = a.raw(RTA_METRICS))
    if (auto read = read_metrics(*v, r.metrics); !read) return std::unexpected(read.error());
  if (auto v = a.raw(RTA_MULTIPATH)) {
    if (auto read = read_multipath(*v, r.scope, r.nexthops); !read)
      return std::unexpected(read.error());
  } else if (a.has(RTA_OIF) || a.has(RTA_GATEWAY) || a.has(RTA_VIA)) {
    NextHop nh;
    nh.scope = nexthop_scope(r.scope);
    if (a.has(RTA_OIF)) nh.oif = a.ifindex(RTA_OIF).value_or(0);
    nh.flags = static_cast<std::uint8_t>(h.rtm_flags & 0xff);
    read_nexthop(a, nh);
    r.nexthops.push_back(std::move(nh));
  }
  if (!a.error().empty()) return fail(a.error());
  if ((r.dst.addr.host & ~inet_make_mask(r.dst.len)) != 0)
    return fail(fmt::format("{} has bits beyond its prefix length", r.dst.str()));
  if (h.rtm_flags & RTM_F_CLONED) return as_exception(r, a);
  if (h.rtm_src_len != 0) return fail("a route with a source prefix");
  return Decoded{.what = std::move(r)};
}

}  // namespace txp
