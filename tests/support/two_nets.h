// SPDX-License-Identifier: Apache-2.0
// For tests: Nets on manual clocks, and two of them joined by a pair of devices.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <memory>
#include <string_view>
#include <vector>

#include "dev/netdevice.h"
#include "drivers/pair.h"
#include "neigh/neighbour.h"
#include "net.h"
#include "route/fib_add_ifaddr.h"
#include "socket/sock.h"
#include "udp/udp_table.h"
#include "wire/ethernet.h"

namespace txp::test {

using Bytes = std::vector<std::uint8_t>;

inline Ip4 ip(std::string_view text) { return *Ip4::parse(text); }
inline MacAddr mac(std::uint8_t last) { return {{0x02, 0, 0, 0, 0, last}}; }

// Sees every frame of a device.
class Eavesdropper : public Tap {
 public:
  void packet(const Net&, const NetDevice&, const Skb& skb, bool outgoing) override {
    const auto b = skb.bytes();
    (outgoing ? sent : received).emplace_back(b.begin(), b.end());
  }
  std::vector<Bytes> sent;
  std::vector<Bytes> received;
};

// A host with lo and one Ethernet device, eth0, of ifindex 2.
struct Host {
  explicit Host(std::string_view addr, std::uint8_t mac_last, std::uint32_t mtu = 1500,
                std::uint64_t seed = 1)
      : net(Net::Options{Clock::manual(), seed}) {
    const std::lock_guard guard(net.rtnl);
    Link lo;
    lo.ifindex = 1;
    lo.name = "lo";
    lo.type = 772;
    lo.flags = kIffUp | kIffLoopback | kIffRunning | kIffLowerUp;
    lo.mtu = 65536;
    lo.broadcast = MacAddr{};
    net.dev->set_link(lo);
    add(address(1, "127.0.0.1", 8, kScopeHost), true);
    Link eth;
    eth.ifindex = 2;
    eth.name = "eth0";
    eth.flags = kIffUp | kIffBroadcast | kIffMulticast | kIffRunning | kIffLowerUp;
    eth.mtu = mtu;
    eth.address = mac(mac_last);
    net.dev->set_link(eth);
    add(address(2, addr, 24, kScopeUniverse), false);
    net.dev->add_tap(&dev(), &wire);
  }
  ~Host() {
    for (Sock* sk : socks) inet_release(*sk);
    const std::lock_guard guard(net.rtnl);
    net.dev->remove_tap(&wire);
  }
  static InAddr address(int ifindex, std::string_view addr, std::uint8_t len, std::uint8_t scope) {
    InAddr a;
    a.ifindex = ifindex;
    a.local = a.peer = ip(addr);
    a.prefixlen = len;
    a.scope = scope;
    if (len < 31) a.broadcast = Ip4{a.local.host | ~inet_make_mask(len)};
    return a;
  }
  // rtnl held.
  void add(const InAddr& a, bool loopback) {
    net.dev->set_addr(a);
    EXPECT_TRUE(fib_add_ifaddr(net, a, loopback));
  }
  NetDevice& dev() { return *net.dev->by_index(2); }
  NetDevice& lo() { return *net.dev->by_index(1); }
  void parms(const NeighParms& p) {
    const std::lock_guard guard(net.rtnl);
    net.dev->set_neigh_parms(2, p);
    net.retired.flush();
  }
  void conf(const InDevConf& c) {
    const std::lock_guard guard(net.rtnl);
    net.dev->set_in_conf(2, c);
    net.retired.flush();
  }

  Sock& sock() {
    Sock* sk = inet_create(net, 0);
    sk->nonblocking = true;
    socks.push_back(sk);
    return *sk;
  }
  Sock& bound(std::uint16_t port, std::string_view addr = "0.0.0.0") {
    Sock& sk = sock();
    EXPECT_TRUE(inet_bind(sk, {ip(addr), port}));
    return sk;
  }
  // 0, or the call's errno.
  int send(Sock& sk, std::string_view to, std::uint16_t port, std::size_t len = 4,
           Trace* trace = nullptr) {
    const Bytes payload(len, 'x');
    const iovec iov{const_cast<std::uint8_t*>(payload.data()), payload.size()};
    MsgHdr msg;
    msg.name = SockAddr4{ip(to), port};
    msg.iov = {&iov, 1};
    msg.trace = trace;
    const auto sent = sock_sendmsg(net, sk, msg);
    return sent ? 0 : sent.error().code;
  }
  int send_connected(Sock& sk, std::size_t len = 4) {
    const Bytes payload(len, 'x');
    const iovec iov{const_cast<std::uint8_t*>(payload.data()), payload.size()};
    MsgHdr msg;
    msg.iov = {&iov, 1};
    const auto sent = sock_sendmsg(net, sk, msg);
    return sent ? 0 : sent.error().code;
  }
  // A neighbour on eth0, or null.
  Neighbour* neigh(std::string_view addr) { return net.neigh->lookup(dev(), ip(addr)); }
  Nud state(std::string_view addr) {
    Neighbour* n = neigh(addr);
    return n == nullptr ? Nud::none : n->nud_state.load();
  }
  void set_neigh(std::string_view addr, Nud state, MacAddr lladdr) {
    NeighSpec s;
    s.ifindex = 2;
    s.dst = ip(addr);
    s.state = state;
    s.lladdr = lladdr;
    s.has_lladdr = nud_valid(state);
    const std::lock_guard guard(net.rtnl);
    net.neigh->set(s);
  }
  void receive(const Bytes& frame) { netif_receive_frame(net, dev(), frame); }
  std::uint64_t rx_drops(DropReason r) const {
    return net.totals().rx_drops[static_cast<std::size_t>(r)];
  }
  std::uint64_t drops(Stage s, DropReason r) const {
    return net.totals().stages[static_cast<std::size_t>(s)].drops[static_cast<std::size_t>(r)];
  }
  std::uint64_t snmp(Snmp s) const { return net.totals().snmp[static_cast<std::size_t>(s)]; }
  void advance(Nanos by) {
    net.clock.advance(by);
    net.poll();
  }

  Net net;
  Eavesdropper wire;
  std::vector<Sock*> socks;
};

// 10.0.0.1 and 10.0.0.2, joined.
struct TwoNets {
  explicit TwoNets(std::size_t slots = 64, std::uint32_t mtu = 1500)
      : a("10.0.0.1", 1, mtu, 1), b("10.0.0.2", 2, mtu, 2) {
    auto [x, y] = make_pair_drivers(slots);
    const std::lock_guard ga(a.net.rtnl);
    const std::lock_guard gb(b.net.rtnl);
    a.net.dev->attach(a.dev(), std::move(x));
    b.net.dev->attach(b.dev(), std::move(y));
  }
  // Both receive until nothing moves any more.
  void settle() {
    while (a.net.poll() + b.net.poll() != 0) {
    }
  }
  void advance(Nanos by) {
    a.net.clock.advance(by);
    b.net.clock.advance(by);
    settle();
  }
  Host a;
  Host b;
};

}  // namespace txp::test
