// SPDX-License-Identifier: Apache-2.0
// A host for the routing tests: devices with addresses, and the routes the kernel makes for them.
#pragma once

#include <gtest/gtest.h>

#include <mutex>
#include <string>
#include <string_view>

#include "dev/netdevice.h"
#include "neigh/neighbour.h"
#include "net.h"
#include "observe/trace.h"
#include "route/fib.h"
#include "route/fib_exceptions.h"
#include "route/fib_rules.h"
#include "route/ip_route.h"
#include "route/nexthop.h"

namespace txp {

inline Ip4 ip(std::string_view text) { return text.empty() ? Ip4{} : Ip4::parse(text).value(); }
inline Prefix4 prefix(std::string_view text) {
  const auto slash = text.find('/');
  if (slash == text.npos) return {ip(text), 32};
  return {ip(text.substr(0, slash)),
          static_cast<std::uint8_t>(std::stoi(std::string(text.substr(slash + 1))))};
}

// Every change is made with rtnl held; the constructor takes it.
struct RouteTestNet {
  Net net{{.clock = Clock::manual(1), .seed = 7}};
  std::unique_lock<std::mutex> rtnl{net.rtnl};

  RouteTestNet() {
    Link lo;
    lo.ifindex = 1;
    lo.name = "lo";
    lo.type = 772;
    lo.flags = kIffUp | kIffLoopback | kIffRunning;
    lo.mtu = 65536;
    net.dev->set_link(lo);
    addr(1, "127.0.0.1", 8, kScopeHost);
  }
  ~RouteTestNet() { net.retired.flush(); }

  void link(int ifindex, const std::string& name, std::uint32_t more_flags = kIffUp,
            std::uint32_t mtu = 1500) {
    Link l;
    l.ifindex = ifindex;
    l.name = name;
    l.flags = kIffBroadcast | kIffMulticast | more_flags;
    l.mtu = mtu;
    net.dev->set_link(l);
  }
  // The address and what fib_add_ifaddr() makes of it: its local, broadcast and subnet routes.
  void addr(int ifindex, std::string_view local, std::uint8_t len, std::uint8_t scope = 0) {
    InAddr a;
    a.ifindex = ifindex;
    a.local = a.peer = ip(local);
    a.prefixlen = len;
    a.scope = scope;
    net.dev->set_addr(a);
    const Prefix4 subnet{Ip4{a.local.host & inet_make_mask(len)}, len};
    Route r;
    r.table = kTableLocal;
    r.protocol = 2;
    r.prefsrc = a.local;
    r.nexthops = {NextHop{.oif = ifindex}};
    r.type = RouteType::local;
    r.scope = kScopeHost;
    r.dst = {a.local, 32};
    add(r);
    if (ifindex == 1) {
      r.dst = subnet;
      add(r);
      return;
    }
    if (len < 31) {
      r.type = RouteType::broadcast;
      r.scope = kScopeLink;
      r.dst = {Ip4{a.local.host | ~inet_make_mask(len)}, 32};
      add(r);
    }
    if (len == 32) return;
    r.table = kTableMain;
    r.type = RouteType::unicast;
    r.scope = kScopeLink;
    r.dst = subnet;
    add(r);
  }
  void add(const Route& r) {
    const Result<void> done = net.fib->add(r);
    ASSERT_TRUE(done) << done.error().what;
  }
  static Route via(std::string_view dst, std::string_view gateway, int oif,
                   std::uint32_t table = kTableMain) {
    Route r;
    r.table = table;
    r.dst = prefix(dst);
    if (gateway.empty()) r.scope = kScopeLink;
    r.nexthops = {NextHop{.oif = oif, .gateway = ip(gateway)}};
    return r;
  }
  static Route special(std::string_view dst, RouteType type, std::uint32_t table = kTableMain) {
    Route r;
    r.table = table;
    r.dst = prefix(dst);
    r.type = type;
    return r;
  }
  void neighbour(int ifindex, std::string_view dst, Nud state) {
    NeighSpec n;
    n.ifindex = ifindex;
    n.dst = ip(dst);
    n.state = state;
    n.has_lladdr = nud_valid(state);
    n.lladdr = {{2, 0, 0, 0, 0, 1}};
    net.neigh->set(n);
  }

  static Flow4 flow(std::string_view dst, std::string_view src = "") {
    Flow4 f;
    f.daddr = ip(dst);
    f.saddr = ip(src);
    f.proto = 17;
    f.sport = 4000;
    f.dport = 53;
    return f;
  }
  SockResult<Rtable> route(Flow4& f, Trace* trace = nullptr) {
    const RcuReader reader;
    return ip_route_output_flow(net, f, trace);
  }
  // "va via 10.77.0.2 src 10.77.0.1", or the errno's name.
  std::string get(Flow4 f) {
    const SockResult<Rtable> rt = route(f);
    if (!rt) return std::string(rt.error().name());
    std::string text = rt->dev->name();
    if (!rt->gateway.is_zero()) text += " via " + rt->gateway.str();
    return text + " src " + f.saddr.str();
  }
  std::string get(std::string_view dst, std::string_view src = "") { return get(flow(dst, src)); }
};

}  // namespace txp
