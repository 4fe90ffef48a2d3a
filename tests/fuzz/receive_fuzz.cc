// SPDX-License-Identifier: Apache-2.0
// Frames from a hostile peer into a small Net: nothing crashes, nothing leaks, and the packets that
// it makes us send are all accounted for.
//
// The input is a list of records: one byte of what to do, two of length, then that many bytes.
//   0 a raw frame       1 a frame for us: the Ethernet header is ours
//   2 an IPv4 packet for us, header checksum right       3 the clock goes on, timers run
//   4 a send to an address on the link
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <source_location>
#include <span>
#include <vector>

#include "dev/netdevice.h"
#include "ip/inet_fragment.h"
#include "ip/ip_input.h"
#include "neigh/neighbour.h"
#include "net.h"
#include "route/fib_add_ifaddr.h"
#include "socket/sock.h"
#include "wire/ethernet.h"
#include "wire/ipv4.h"

namespace {

using namespace txp;
using Bytes = std::vector<std::uint8_t>;

constexpr MacAddr kOurs{{2, 0, 0, 0, 0, 1}};

void require(bool holds, const std::source_location at = std::source_location::current()) {
  if (holds) return;
  std::fprintf(stderr, "line %u does not hold\n", static_cast<unsigned>(at.line()));
  std::abort();
}

void add_link(Net& net, int ifindex, std::uint32_t flags, std::uint16_t type, Ip4 addr,
              std::uint8_t len, std::uint8_t scope) {
  Link link;
  link.ifindex = ifindex;
  link.name = ifindex == 1 ? "lo" : "eth0";
  link.type = type;
  link.flags = kIffUp | kIffRunning | kIffLowerUp | flags;
  link.address = ifindex == 1 ? MacAddr{} : kOurs;
  net.dev->set_link(link);
  InAddr a;
  a.ifindex = ifindex;
  a.local = a.peer = addr;
  a.prefixlen = len;
  a.scope = scope;
  a.broadcast = Ip4{addr.host | ~inet_make_mask(len)};
  net.dev->set_addr(a);
  require(fib_add_ifaddr(net, a, ifindex == 1).has_value());
}

void receive(Net& net, std::span<const std::uint8_t> frame) {
  netif_receive_frame(net, *net.dev->by_index(2), frame);
}

Bytes with_ethernet(std::span<const std::uint8_t> body, std::uint16_t proto) {
  Bytes f(kEthHlen);
  EthernetHeader{kOurs, MacAddr{{2, 0, 0, 0, 0, 9}}, proto}.emit(f.data());
  f.insert(f.end(), body.begin(), body.end());
  return f;
}

void receive_ipv4(Net& net, std::span<const std::uint8_t> body) {
  Bytes f = with_ethernet(body, kEthPIp);
  std::uint8_t* ip = f.data() + kEthHlen;
  if (body.size() >= kIpHlen) {
    ip[0] = static_cast<std::uint8_t>(0x40 | (ip[0] % 11 + 5));
    if (Ipv4View(ip).hlen() > body.size()) ip[0] = 0x45;
    Ipv4View view(ip);
    view.set_tot_len(static_cast<std::uint16_t>(body.size()));
    store_be32(ip + 16, 0x0a000001);
    view.send_check();
  }
  receive(net, f);
}

void send(Net& net, Sock& sk, std::span<const std::uint8_t> bytes) {
  Bytes payload(bytes.begin(), bytes.end());
  const iovec iov{payload.data(), payload.size()};
  MsgHdr msg;
  msg.name = SockAddr4{Ip4{0x0a000000U | (bytes.empty() ? 9U : bytes[0])}, 9};
  msg.iov = {&iov, 1};
  (void)sock_sendmsg(net, sk, msg);
}

void play(Net& net, Sock& sk, std::span<const std::uint8_t> in) {
  while (in.size() >= 3) {
    const std::uint8_t what = in[0] % 5;
    const std::size_t len = std::min<std::size_t>(load_be16(&in[1]), in.size() - 3);
    const auto bytes = in.subspan(3, len);
    in = in.subspan(3 + len);
    switch (what) {
      case 0: receive(net, bytes); break;
      case 1: receive(net, with_ethernet(bytes, len % 2 == 0 ? kEthPIp : kEthPArp)); break;
      case 2: receive_ipv4(net, bytes); break;
      case 3: net.clock.advance(static_cast<Nanos>(len) * 10 * kMillisecond); break;
      case 4: send(net, sk, bytes); break;
      default: break;
    }
    net.poll();
    require(net.totals().conserved());
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Net net(Net::Options{Clock::manual(), 1});
  {
    const std::lock_guard guard(net.rtnl);
    add_link(net, 1, kIffLoopback, 772, Ip4{0x7f000001}, 8, kScopeHost);
    add_link(net, 2, kIffBroadcast | kIffMulticast, 1, Ip4{0x0a000001}, 24, kScopeUniverse);
    net.dev->set_mc_groups(2, {Ip4{0xe0000001}});
  }
  Sock* sk = inet_create(net, 0);
  sk->nonblocking = true;
  sk->recverr = true;
  require(inet_bind(*sk, {Ip4{}, 53}).has_value());
  play(net, *sk, {data, size});
  net.drain(100 * kSecond);  // every resolution and reassembly ends
  require(net.totals().conserved());
  require(net.totals().queued == 0);
  net.clock.advance(IpFrags::kTimeout);
  net.poll();
  require(net.frags->memory() == 0 && net.frags->queues() == 0);
  for (;;) {  // a pending error comes before the datagrams
    const auto got = udp_recvmsg(*sk);
    if (!got && got.error().code == EAGAIN) break;
  }
  for (RecvMsg msg; ip_recv_error(*sk, msg).has_value();) msg = RecvMsg{};
  require(sk->rmem_alloc.load() == 0);
  require(sk->wmem_alloc.load() == 1);
  inet_release(*sk);
  return 0;
}
