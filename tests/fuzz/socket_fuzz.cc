// SPDX-License-Identifier: Apache-2.0
// A hostile program at the socket's edge: options, control messages and IP options of any bytes,
// sends that use them, and receives into any room. Nothing crashes, and every packet is accounted
// for.
//
// The input is a list of records: what to do, a level, an option, two bytes of length, that many
// bytes.
//   0 setsockopt   1 getsockopt into `length` bytes of room   2 sendmsg with these control messages
//   3 a send of `length` bytes to ourselves   4 recvmsg into `length` bytes of control room
//   5 connect to 10.0.0.LEVEL or to nobody   6 one control message of level and option
#include <sys/socket.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <span>
#include <vector>

#include "base/byteorder.h"
#include "dev/netdevice.h"
#include "neigh/neighbour.h"
#include "net.h"
#include "route/fib_add_ifaddr.h"
#include "socket/sock.h"

namespace {

using namespace txp;
using Bytes = std::vector<std::uint8_t>;

void require(bool holds) {
  if (!holds) std::abort();
}

void add_link(Net& net, int ifindex, std::uint32_t flags, std::uint16_t type, Ip4 addr,
              std::uint8_t len, std::uint8_t scope) {
  Link link;
  link.ifindex = ifindex;
  link.name = ifindex == 1 ? "lo" : "eth0";
  link.type = type;
  link.flags = kIffUp | kIffRunning | kIffLowerUp | flags;
  link.mtu = ifindex == 1 ? 65536 : 600;
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

int level_of(std::uint8_t b) {
  constexpr int kLevels[] = {SOL_SOCKET, 0, 17, 41, 136};
  return b < 5 ? kLevels[b] : b;
}

Bytes control_message(int level, int type, std::span<const std::uint8_t> value) {
  Bytes all(CMSG_SPACE(value.size()));
  cmsghdr head{};
  head.cmsg_level = level;
  head.cmsg_type = type;
  head.cmsg_len = CMSG_LEN(value.size());
  std::memcpy(all.data(), &head, sizeof head);
  if (!value.empty()) std::memcpy(all.data() + CMSG_LEN(0), value.data(), value.size());
  return all;
}

void send(Net& net, Sock& sk, std::size_t len, std::uint8_t to,
          std::span<const std::uint8_t> control) {
  Bytes payload(len);
  const iovec iov{payload.data(), payload.size()};
  MsgHdr msg;
  if (to != 0) msg.name = SockAddr4{Ip4{0x0a000000U | to}, 53};
  msg.iov = {&iov, 1};
  msg.control = control;
  msg.flags = MSG_DONTWAIT | (to % 5 == 4 ? MSG_MORE : 0);
  (void)sock_sendmsg(net, sk, msg);
}

void receive(Sock& sk, std::size_t room, int flags) {
  Bytes bytes(room % 97);
  Bytes control(room % 1024);
  const iovec iov{bytes.data(), bytes.size()};
  RecvMsg msg;
  msg.iov = {&iov, 1};
  msg.control = control;
  msg.flags = flags;
  (void)udp_recvmsg(sk, msg);
  require(msg.controllen <= control.size());
}

void play(Net& net, Sock& sk, std::span<const std::uint8_t> in) {
  while (in.size() >= 5) {
    const int level = level_of(in[1]);
    const std::uint8_t option = in[2];
    const std::size_t wanted = load_be16(&in[3]);
    const std::size_t len = std::min<std::size_t>(wanted, in.size() - 5);
    const auto bytes = in.subspan(5, len);
    switch (in[0] % 7) {
      case 0: (void)sock_setsockopt(sk, level, option, bytes); break;
      case 1: {
        Bytes room(wanted % 300);
        const auto n = sock_getsockopt(sk, level, option, room);
        require(!n || *n <= room.size());
        break;
      }
      case 2: send(net, sk, option, in[1], bytes); break;
      case 3: send(net, sk, wanted, in[1], {}); break;
      case 4: receive(sk, wanted, option % 2 == 0 ? MSG_ERRQUEUE : option & MSG_PEEK); break;
      case 5:
        (void)inet_dgram_connect(sk, option % 3 == 0 ? SockAddr4{{}, 0, AF_UNSPEC}
                                                     : SockAddr4{Ip4{0x0a000000U | in[1]}, 53});
        break;
      default: send(net, sk, 10, 2, control_message(level, option, bytes));
    }
    in = in.subspan(5 + len);
    net.poll();
    require(net.totals().conserved());
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Net net(Net::Options{Clock::manual(1), 1});
  {
    const std::lock_guard guard(net.rtnl);
    add_link(net, 1, kIffLoopback, 772, Ip4{0x7f000001}, 8, kScopeHost);
    add_link(net, 2, kIffBroadcast | kIffMulticast, 1, Ip4{0x0a000001}, 24, kScopeUniverse);
  }
  Sock* sk = inet_create(net, 0);
  sk->nonblocking = true;
  (void)inet_bind(*sk, {Ip4{}, 53});
  play(net, *sk, {data, size});
  net.drain(100 * kSecond);
  while (!sk->error_queue.empty()) receive(*sk, 1023, MSG_ERRQUEUE);
  while (!sk->rx_queue.empty()) receive(*sk, 1023, 0);
  require(sk->rmem_alloc.load() == 0);
  inet_release(*sk);
  net.drain(100 * kSecond);
  require(net.totals().conserved());
  require(net.totals().queued == 0);
  return 0;
}
