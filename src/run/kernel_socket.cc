// SPDX-License-Identifier: Apache-2.0
// IP_TTL cannot be told from the default when it is equal: such a socket has uc_ttl -1, and the
// gate refuses routes with a hop limit of their own (Fallback::ROUTE_TTL). IP_MULTICAST_IF's
// interface cannot be read back, so multicast is the kernel's. IP_XFRM_POLICY cannot be read
// either: the preload sees it being set (Takeover::only_kernel()).
#include "run/kernel_socket.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <cstring>
#include <string_view>

#include "net.h"
#include "socket/sock.h"

#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71
#endif

namespace txp {
namespace {

template <typename T>
bool get(int fd, int level, int name, T& value) {
  socklen_t len = sizeof value;
  return ::getsockopt(fd, level, name, &value, &len) == 0;
}

int get_int(int fd, int level, int name, int otherwise = 0) {
  int value = 0;
  return get(fd, level, name, value) ? value : otherwise;
}

struct Address {
  Ip4 addr;
  std::uint16_t port = 0;
  bool known = false;
};

Address address(int fd, int (*call)(int, sockaddr*, socklen_t*)) {
  sockaddr_in sin{};
  socklen_t len = sizeof sin;
  if (call(fd, reinterpret_cast<sockaddr*>(&sin), &len) != 0 || sin.sin_family != AF_INET)
    return {};
  return {Ip4{ntohl(sin.sin_addr.s_addr)}, ntohs(sin.sin_port), true};
}

void refuse(KernelSocket& k, std::string_view by) {
  if (k.refused != Fallback::none) return;
  k.refused = Fallback::SOCKET_OPTION;
  k.refused_by = by;
}

// What changes a send and is not in the engine.
void read_refusals(int fd, KernelSocket& k) {
  // SOF_TIMESTAMPING_TX_*: stamps of what was sent come to the error queue.
  constexpr int kTxStamps = (1 << 0) | (1 << 1) | (1 << 8) | (1 << 9);
  if ((get_int(fd, SOL_SOCKET, SO_TIMESTAMPING) & kTxStamps) != 0) refuse(k, "SO_TIMESTAMPING");
  struct {
    int clockid;
    unsigned flags;
  } txtime{};
  // Unset reads as zeros, which is also CLOCK_REALTIME without flags: a message would say then.
  if (get(fd, SOL_SOCKET, SO_TXTIME, txtime) && (txtime.clockid != 0 || txtime.flags != 0))
    refuse(k, "SO_TXTIME");
  char options[40];
  socklen_t len = sizeof options;
  if (::getsockopt(fd, IPPROTO_IP, IP_OPTIONS, options, &len) == 0 && len > 0)
    refuse(k, "IP_OPTIONS");
  std::uint64_t rate = ~std::uint64_t{0};
  if (get(fd, SOL_SOCKET, SO_MAX_PACING_RATE, rate) && rate != ~std::uint64_t{0} &&
      rate != 0xffffffff)
    refuse(k, "SO_MAX_PACING_RATE");
}

}  // namespace

bool is_udp_socket(int fd) { return get_int(fd, SOL_SOCKET, SO_PROTOCOL, -1) == IPPROTO_UDP; }

KernelSocket read_kernel_socket(int fd) {
  KernelSocket k;
  k.is_udp = is_udp_socket(fd);
  if (!k.is_udp) return k;
  if (!get(fd, SOL_SOCKET, SO_COOKIE, k.cookie)) k.cookie = 0;
  if (get_int(fd, SOL_SOCKET, SO_DOMAIN, -1) != AF_INET) {
    k.refused = Fallback::NOT_IPV4;
    k.refused_by = "IPv6";
    return k;
  }
  if (!get(fd, SOL_SOCKET, SO_NETNS_COOKIE, k.netns)) k.netns = 0;
  struct stat st{};
  if (::fstat(fd, &st) == 0) k.uid = st.st_uid;
  const Address local = address(fd, ::getsockname);
  k.local = local.addr;
  k.local_port = local.port;
  const Address peer = address(fd, ::getpeername);
  k.connected = peer.known;
  k.peer = peer.addr;
  k.peer_port = peer.port;
  k.bound_dev_if = get_int(fd, SOL_SOCKET, SO_BINDTOIFINDEX);
  k.mark = static_cast<std::uint32_t>(get_int(fd, SOL_SOCKET, SO_MARK));
  k.priority = static_cast<std::uint32_t>(get_int(fd, SOL_SOCKET, SO_PRIORITY));
  k.sndbuf = get_int(fd, SOL_SOCKET, SO_SNDBUF);
  k.broadcast = get_int(fd, SOL_SOCKET, SO_BROADCAST) != 0;
  k.localroute = get_int(fd, SOL_SOCKET, SO_DONTROUTE) != 0;
  k.no_check_tx = get_int(fd, SOL_SOCKET, SO_NO_CHECK) != 0;
  k.tos = get_int(fd, IPPROTO_IP, IP_TOS);
  k.ttl = get_int(fd, IPPROTO_IP, IP_TTL);
  k.mc_ttl = get_int(fd, IPPROTO_IP, IP_MULTICAST_TTL, 1);
  k.mc_loop = get_int(fd, IPPROTO_IP, IP_MULTICAST_LOOP, 1) != 0;
  k.uc_index =
      static_cast<int>(ntohl(static_cast<std::uint32_t>(get_int(fd, IPPROTO_IP, IP_UNICAST_IF))));
  k.pmtudisc = get_int(fd, IPPROTO_IP, IP_MTU_DISCOVER);
  k.recverr = get_int(fd, IPPROTO_IP, IP_RECVERR) != 0;
  k.freebind = get_int(fd, IPPROTO_IP, IP_FREEBIND) != 0;
  k.transparent = get_int(fd, IPPROTO_IP, IP_TRANSPARENT) != 0;
  k.gso_size = static_cast<std::uint16_t>(get_int(fd, SOL_UDP, UDP_SEGMENT));
  k.corkflag = get_int(fd, SOL_UDP, UDP_CORK) != 0;
  read_refusals(fd, k);
  return k;
}

Sock* make_shadow(Net& net, const KernelSocket& k) {
  Sock* sk = inet_create(net, k.uid);
  if (sk == nullptr) return nullptr;
  sk->inet_rcv_saddr = k.local;
  // A socket that is bound to a group or a broadcast address has no source address.
  sk->inet_saddr = k.local.is_multicast() || k.local.is_lbcast() ? Ip4{} : k.local;
  sk->inet_num = k.local_port;
  sk->inet_daddr = k.peer;
  sk->inet_dport = k.peer_port;
  sk->connected = k.connected;
  if (k.connected) {
    sk->txhash = net.random.u32() | 1;
    sk->inet_id = net.random.u32() & 0xffff;
    // What connect() leaves in the corked flow: a datagram whose route is kept goes there.
    sk->cork.fl4.saddr = k.local;
    sk->cork.fl4.daddr = k.peer;
    sk->cork.fl4.dport = k.peer_port;
  }
  sk->bound_dev_if = k.bound_dev_if;
  sk->mark = k.mark;
  sk->priority = k.priority;
  sk->sndbuf = k.sndbuf;
  sk->broadcast = k.broadcast;
  sk->localroute = k.localroute;
  sk->no_check_tx = k.no_check_tx;
  sk->tos = static_cast<std::uint8_t>(k.tos);
  {
    const RcuReader reader;
    sk->uc_ttl = k.ttl == net.sysctl().ip_default_ttl ? -1 : k.ttl;
  }
  sk->mc_ttl = k.mc_ttl;
  sk->mc_loop = k.mc_loop;
  sk->uc_index = k.uc_index;
  sk->pmtudisc = static_cast<std::uint8_t>(k.pmtudisc);
  sk->recverr = k.recverr;
  sk->freebind = k.freebind;
  sk->transparent = k.transparent;
  sk->gso_size = k.gso_size;
  // The kernel decides who may ask for marks and high priorities in a control message.
  sk->privileged = false;
  sk->no_error_queue = true;
  return sk;
}

}  // namespace txp
