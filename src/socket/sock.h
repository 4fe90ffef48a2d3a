// SPDX-License-Identifier: Apache-2.0
// A UDP socket: the state that a send reads. Kernel twins: include/net/sock.h (struct sock),
// include/net/inet_sock.h (struct inet_sock), include/linux/udp.h (struct udp_sock).
#pragma once

#include <sys/socket.h>

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "observe/counters.h"
#include "route/rtable.h"
#include "skb/skb.h"

namespace txp {

// struct ip_options, compiled: the bytes that go into the header and where the path looks in them.
struct IpOptions {
  std::vector<std::uint8_t> data;  // padded to 4 bytes, at most 40
  Ip4 faddr;                       // first hop of a source route
  std::uint8_t srr = 0;            // offset of a source route from the header's start; 0: none
  std::uint8_t rr = 0;             // record route
  std::uint8_t ts = 0;             // timestamp
  std::uint8_t router_alert = 0;
  bool is_strictroute = false;
  bool rr_needaddr = false;
  bool ts_needtime = false;
  bool ts_needaddr = false;
  std::size_t optlen() const { return data.size(); }
};

struct SockAddr4 {
  Ip4 addr;
  std::uint16_t port = 0;
  std::uint16_t family = AF_INET;  // AF_INET or AF_UNSPEC, else EAFNOSUPPORT
};

// What recv() gives.
struct Datagram {
  SockAddr4 from;
  SockAddr4 to;
  std::vector<std::uint8_t> payload;
};

// Corked data (struct inet_cork and sk_write_queue).
struct Cork {
  bool pending = false;  // up->pending
  Flow4 fl4;
  Rtable rt;
  std::optional<IpOptions> opt;
  Ip4 addr;  // cork.addr: the destination given
  std::uint32_t fragsize = 0;
  std::uint32_t length = 0;
  std::uint16_t gso_size = 0;
  std::uint8_t ttl = 0;
  int tos = -1;
  std::uint32_t mark = 0;
  std::uint32_t priority = 0;
  Nanos transmit_time = 0;
  std::uint32_t len = 0;  // up->len: UDP header and payload
  SkbQueue queue;
};

// Reference counting is the kernel's: sk_wmem_alloc starts at one, every charged byte adds, and the
// socket is freed when it reaches zero (sk_free()).
class Sock {
 public:
  Sock(Net& net, std::uint32_t uid);
  Net& net;
  const std::uint32_t uid;
  std::mutex lock;  // lock_sock(): options and corking; a plain send takes it only when corked

  // struct inet_sock
  Ip4 inet_saddr;
  Ip4 inet_rcv_saddr;
  Ip4 inet_daddr;
  std::uint16_t inet_num = 0;  // bound port, 0: unbound
  std::uint16_t inet_dport = 0;
  bool connected = false;       // sk_state == TCP_ESTABLISHED
  bool port_is_random = false;  // autobound, so `explain` masks it
  bool bound_port = false;      // SOCK_BINDPORT_LOCK
  bool bound_addr = false;      // SOCK_BINDADDR_LOCK
  std::atomic<std::uint32_t> inet_id{0};
  std::uint8_t tos = 0;
  int uc_ttl = -1;  // IP_TTL; -1: the route's or the sysctl's
  int mc_ttl = 1;
  int mc_index = 0;
  Ip4 mc_addr;
  int uc_index = 0;
  bool mc_loop = true;
  bool mc_all = true;
  bool recverr = false;
  bool freebind = false;
  bool transparent = false;
  bool hdrincl = false;
  bool bind_address_no_port = false;
  std::uint8_t pmtudisc = 1;           // IP_PMTUDISC_WANT
  std::uint32_t local_port_range = 0;  // IP_LOCAL_PORT_RANGE: hi << 16 | lo
  std::optional<IpOptions> inet_opt;

  // struct sock
  int bound_dev_if = 0;  // SO_BINDTODEVICE
  std::uint32_t mark = 0;
  std::uint32_t priority = 0;
  bool broadcast = false;
  bool reuse = false;
  bool reuseport = false;
  bool localroute = false;  // SO_DONTROUTE
  bool no_check_tx = false;
  bool txtime = false;
  bool shutdown_send = false;
  bool shutdown_recv = false;
  bool nonblocking = false;
  std::atomic<int> sk_err{0};  // SO_ERROR, asynchronous
  std::atomic<int> sk_err_soft{0};
  std::atomic<std::int64_t> sndtimeo{-1};  // ns; -1: for ever
  std::atomic<std::int32_t> sndbuf;
  std::atomic<std::int32_t> rcvbuf;
  std::atomic<std::uint32_t> wmem_alloc{1};
  std::atomic<std::uint32_t> rmem_alloc{0};
  std::atomic<std::uint64_t> drops{0};
  std::atomic<std::uint32_t> txhash{0};
  std::atomic<int> tx_queue_mapping{-1};

  // struct udp_sock
  bool corkflag = false;
  std::uint16_t gso_size = 0;
  Cork cork;

  // Receive side (udp_rcv.cc).
  std::mutex rx_lock;
  std::vector<Datagram> rx_queue;
  std::size_t rx_head = 0;

  // Room in the send buffer again (sock_def_write_space()).
  std::mutex space_lock;
  std::condition_variable space;

  Sock* hash_next = nullptr;
};

// Frees the last reference. `size` bytes were charged (sock_wfree(): skb->truesize; close: 1).
void sk_wfree(Sock& sk, std::uint32_t size);

// A send call (struct msghdr): what sendto(), sendmsg() and their kin carry.
struct MsgHdr {
  std::optional<SockAddr4> name;
  std::size_t namelen = 16;  // bytes of the address given
  std::span<const iovec> iov;
  std::span<const std::uint8_t> control;  // cmsghdr list in this machine's layout
  int flags = 0;                          // MSG_*
  Trace* trace = nullptr;
  std::size_t len() const;
};

// The first four rows of the path.
[[nodiscard]] SockResult<std::size_t> sock_sendmsg(Net& net, Sock& sk, const MsgHdr& msg);
[[nodiscard]] SockResult<std::size_t> inet_sendmsg(Net& net, Sock& sk, const MsgHdr& msg);
[[nodiscard]] SockResult<void> inet_autobind(Net& net, Sock& sk, Trace* trace);
[[nodiscard]] SockResult<std::size_t> udp_sendmsg(Net& net, Sock& sk, const MsgHdr& msg);

// The calls around them.
Sock* inet_create(Net& net, std::uint32_t uid);  // socket(AF_INET, SOCK_DGRAM, 0)
void inet_release(Sock& sk);                     // close()
[[nodiscard]] SockResult<void> inet_bind(Sock& sk, const SockAddr4& addr, Trace* trace = nullptr);
[[nodiscard]] SockResult<void> inet_dgram_connect(Sock& sk, const SockAddr4& addr);
[[nodiscard]] SockResult<void> inet_shutdown(Sock& sk, int how);
[[nodiscard]] SockResult<void> sock_setsockopt(Sock& sk, int level, int optname,
                                               std::span<const std::uint8_t> value);
// The bytes written into `value`.
[[nodiscard]] SockResult<std::size_t> sock_getsockopt(Sock& sk, int level, int optname,
                                                      std::span<std::uint8_t> value);
// Empty queue: EAGAIN.
[[nodiscard]] SockResult<Datagram> udp_recvmsg(Sock& sk);

}  // namespace txp
