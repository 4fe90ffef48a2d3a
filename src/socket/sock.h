// SPDX-License-Identifier: Apache-2.0
// A UDP socket: the state that a send reads. Kernel twins: include/net/sock.h (struct sock),
// include/net/inet_sock.h (struct inet_sock), include/linux/udp.h (struct udp_sock).
#pragma once

#include <sys/socket.h>

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/checksum.h"
#include "base/result.h"
#include "base/spinlock.h"
#include "observe/counters.h"
#include "route/rtable.h"
#include "skb/skb.h"
#include "socket/error_queue.h"
#include "wire/ip_options.h"

namespace txp {

struct Ipv6Pinfo;
struct SockPlan;

struct SockAddr4 {
  Ip4 addr;
  std::uint16_t port = 0;
  std::uint16_t family = AF_INET;  // AF_INET or AF_UNSPEC, else EAFNOSUPPORT
};

struct SockAddr6 {
  Ip6 addr;
  std::uint16_t port = 0;
  std::uint32_t flowinfo = 0;  // sin6_flowinfo, host order
  std::uint32_t scope_id = 0;
};

// What recv() gives.
struct Datagram {
  SockAddr4 from;
  SockAddr4 to;
  std::optional<SockAddr6> from6{};  // of an IPv6 datagram, instead
  std::optional<SockAddr6> to6{};
  std::vector<std::uint8_t> payload;
  std::uint32_t truesize = 0;  // bytes charged to rmem_alloc
  PacketInfo info;
  std::uint32_t drops = 0;  // SO_RXQ_OVFL: the socket's when this one came
};

// struct sockcm_cookie: what control messages at SOL_SOCKET, else the socket, say of one datagram.
struct SockcmCookie {
  std::uint32_t mark = 0;
  std::uint32_t priority = 0;
  Nanos transmit_time = 0;
  std::uint32_t tsflags = 0;               // SO_TIMESTAMPING
  std::optional<std::uint32_t> ts_opt_id;  // SCM_TS_OPT_ID
};

// A datagram under construction (struct inet_cork and sk_write_queue).
struct Cork {
  bool pending = false;  // up->pending: UDP_CORK or MSG_MORE holds it open
  Flow4 fl4;
  Rtable rt;
  std::uint32_t fragsize = 0;  // bytes: the MTU that parts are cut to
  std::uint32_t length = 0;    // bytes so far, UDP header included
  std::uint16_t gso_size = 0;
  std::uint8_t ttl = 0;  // 0: not given
  int tos = -1;          // -1: not given
  std::uint32_t mark = 0;
  std::uint32_t priority = 0;
  Nanos transmit_time = 0;
  std::uint8_t tx_flags = 0;  // kSkbTx*, until the first skb takes them
  std::optional<std::uint32_t> ts_opt_id;
  std::optional<IpOptions> opt;
  Ip4 addr;                   // with a source route: the real destination
  std::uint32_t udp_len = 0;  // up->len
  Trace* trace = nullptr;     // of the call that finishes the datagram
  SkbQueue queue;
};

// What is set and read back as a whole number that is 0 or 1 (enum sock_flags, INET_FLAGS_*,
// UDP_FLAGS_*) and has no place of its own below.
enum class SockFlag : std::uint8_t {
  // SOL_SOCKET
  dbg,
  keepopen,
  urginline,
  linger,
  rcvtstamp,
  rcvtstampns,
  tstamp_new,
  wifi_status,
  nofcs,
  select_err_queue,
  rcvmark,
  rcvpriority,
  rxq_ovfl,
  filter_locked,
  prefer_busy_poll,
  // IPPROTO_IP
  pktinfo,
  recvttl,
  recvtos,
  recvopts,
  retopts,
  passsec,
  recvorigdstaddr,
  checksum,
  recvfragsize,
  // SOL_UDP
  no_check6_tx,
  no_check6_rx,
  gro,
};

// Reference counting is the kernel's: sk_wmem_alloc starts at one, every charged byte adds, and the
// socket is freed when it reaches zero (sk_free()).
class Sock {
 public:
  Sock(Net& net, std::uint32_t uid);
  ~Sock();
  Sock(const Sock&) = delete;
  Sock& operator=(const Sock&) = delete;
  Net& net;
  const std::uint32_t uid;
  const std::uint32_t gid;                      // of the thread that made it
  std::optional<IpOptions> ip_options() const;  // IP_OPTIONS
  bool has_ip_options() const { return has_opt_.load(std::memory_order_acquire); }
  void set_ip_options(const IpOptions& opt);
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
  bool recverr_rfc4884 = false;
  bool freebind = false;
  bool transparent = false;
  bool hdrincl = false;
  bool bind_address_no_port = false;
  std::uint8_t pmtudisc = 1;  // IP_PMTUDISC_WANT
  std::uint8_t min_ttl = 0;
  std::uint32_t local_port_range = 0;  // IP_LOCAL_PORT_RANGE: hi << 16 | lo

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
  bool txtime_deadline_mode = false;
  bool txtime_report_errors = false;
  int clockid = 0;                      // of SO_TXTIME
  std::uint32_t tsflags = 0;            // SO_TIMESTAMPING
  std::atomic<std::uint32_t> tskey{0};  // SOF_TIMESTAMPING_OPT_ID: the next datagram's
  std::uint32_t flags = 0;              // by SockFlag
  bool flag(SockFlag f) const { return (flags >> static_cast<unsigned>(f) & 1) != 0; }
  void set_flag(SockFlag f, bool on) {
    const std::uint32_t bit = 1U << static_cast<unsigned>(f);
    flags = on ? flags | bit : flags & ~bit;
  }
  // A shadow of a socket in the kernel, which keeps the program's error queue (`txpath run`): a
  // send that asks for stamps is the kernel's.
  bool no_error_queue = false;
  bool zerocopy = false;                // SO_ZEROCOPY
  std::atomic<std::uint32_t> zckey{0};  // of the next MSG_ZEROCOPY call
  std::uint8_t buf_lock = 0;            // SO_BUF_LOCK: SOCK_SNDBUF_LOCK, SOCK_RCVBUF_LOCK
  std::atomic<std::uint64_t> max_pacing_rate{~std::uint64_t{0}};  // bytes a second
  std::uint64_t lingertime = 0;                                   // seconds
  std::int64_t rcvtimeo = -1;                                     // ns; -1: for ever
  int rcvlowat = 1;
  int busy_poll = 0;  // microseconds
  int peek_off = -1;
  int incoming_cpu = -1;
  std::atomic<bool> shutdown_send{false};
  std::atomic<bool> shutdown_recv{false};
  bool nonblocking = false;
  std::atomic<bool> nospace{
      false};                  // SOCK_NOSPACE: a send met a full buffer; never cleared, as in 6.x
  bool privileged = true;      // CAP_NET_ADMIN and CAP_NET_BIND_SERVICE of the socket's maker
  std::atomic<int> sk_err{0};  // SO_ERROR, asynchronous
  std::atomic<int> sk_err_soft{0};
  std::atomic<std::int64_t> sndtimeo{-1};  // ns; -1: for ever
  std::atomic<std::int32_t> sndbuf;
  std::atomic<std::int32_t> rcvbuf;
  std::atomic<std::uint32_t> wmem_alloc{1};
  std::atomic<std::uint32_t> rmem_alloc{0};
  std::atomic<std::uint64_t> drops{0};
  std::atomic<std::uint32_t> txhash{0};
  // IP_MTU's answer: the MTU of the route that a connected socket keeps (sk_dst_cache), renewed by
  // its sends. kDstNone: it keeps none now; kDstDevice: its device's.
  static constexpr std::uint32_t kDstNone = 0;
  static constexpr std::uint32_t kDstDevice = ~std::uint32_t{0};
  std::atomic<std::uint32_t> dst_mtu{kDstNone};
  std::atomic<int> dst_oif{0};
  std::atomic<Nanos> dst_expires{0};  // when the MTU was learnt: until then it holds; 0: for ever
  void dst_set(const Rtable& rt);     // sk_dst_set()
  void dst_reset() { dst_mtu.store(kDstNone, std::memory_order_relaxed); }  // sk_dst_reset()
  std::atomic<int> tx_queue_mapping{-1};

  // struct udp_sock
  bool corkflag = false;
  std::uint16_t gso_size = 0;
  Cork cork;

  // Receive side (udp_rcv.cc).
  std::mutex rx_lock;
  std::deque<Datagram> rx_queue;
  std::size_t reader_queue = 0;         // of them: moved over for the reader (up->reader_queue)
  std::uint32_t forward_deficit = 0;    // bytes read and not yet given back to rmem_alloc
  std::uint32_t forward_threshold;      // bytes: when they must be
  std::deque<QueuedError> error_queue;  // rx_lock

  // Room in the send buffer again (sock_def_write_space()).
  std::mutex space_lock;
  std::condition_variable space;

  struct Membership {  // struct ip_mc_socklist
    Ip4 group;
    Ip4 address;  // as asked for
    int ifindex;
    // Source filter (struct ip_sf_socklist): only these, or all but these.
    bool include = false;        // sfmode == MCAST_INCLUDE
    std::vector<Ip4> sources{};  // empty: no filter was set
  };
  std::vector<Membership> memberships;  // rx_lock

  std::unique_ptr<Ipv6Pinfo> inet6;  // of an AF_INET6 socket (inet6_sock.h)
  const std::uint64_t cookie;        // SO_COOKIE
  Sock* hash_next = nullptr;

  // What flow plans rest on here: a new number for every change of what a send reads (options,
  // addresses, peer), made by changed() after the change.
  std::atomic<std::uint64_t> plan_generation;
  std::atomic<SockPlan*> plan{nullptr};  // plan/plan.h
  void changed();

 private:
  mutable Spinlock opt_lock_;
  std::atomic<bool> has_opt_{false};  // so that a send without options takes no lock
  IpOptions inet_opt_;
};

// Tells flow plans, on the way out, that the socket has changed.
class SockChange {
 public:
  explicit SockChange(Sock& sk) : sk_(sk) {}
  ~SockChange() { sk_.changed(); }
  SockChange(const SockChange&) = delete;
  SockChange& operator=(const SockChange&) = delete;

 private:
  Sock& sk_;
};

// Frees the last reference. `size` bytes were charged (sock_wfree(): skb->truesize; close: 1).
void sk_wfree(Sock& sk, std::uint32_t size);

inline constexpr int kMsgProbe =
    0x10;  // MSG_PROBE: only look, send nothing (include/linux/socket.h)

// A send call (struct msghdr): what sendto(), sendmsg() and their kin carry.
struct MsgHdr {
  std::optional<SockAddr4> name;
  const SockAddr6* name6 = nullptr;  // instead: an AF_INET6 address, to an AF_INET6 socket
  std::size_t namelen = 16;          // bytes of the address given
  std::span<const iovec> iov;
  std::span<const std::uint8_t> control;  // cmsghdr list in this machine's layout
  int flags = 0;                          // MSG_*
  Trace* trace = nullptr;
  std::size_t len() const {  // payload bytes
    std::size_t n = 0;
    for (const iovec& v : iov) n += v.iov_len;
    return n;
  }
};

// A receive call: room for the bytes and the control messages, and what came.
struct RecvMsg {
  std::span<const iovec> iov;
  std::span<std::uint8_t> control;
  int flags = 0;               // MSG_* given
  std::size_t controllen = 0;  // bytes of control messages written
  std::optional<SockAddr4> name;
  std::optional<SockAddr6> name6;  // of an IPv6 datagram, instead
  int msg_flags = 0;               // MSG_TRUNC, MSG_CTRUNC, MSG_ERRQUEUE
  // Scatters a datagram; answers how much of it had room.
  std::size_t copy(std::span<const std::uint8_t> from);
};

// Reads a message's payload from its start, piece by piece (struct iov_iter).
class IovReader {
 public:
  explicit IovReader(std::span<const iovec> iov) : iov_(iov) {}
  // Copies the next `n` bytes; the message has them.
  void copy(std::uint8_t* to, std::size_t n);
  // The same, answering their checksum (csum_and_copy_from_iter()).
  Csum csum_and_copy(std::uint8_t* to, std::size_t n);

 private:
  template <typename Piece>
  void pieces(std::size_t n, Piece piece);
  std::span<const iovec> iov_;
  std::size_t offset_ = 0;  // into iov_.front()
};

// The first four rows of the path.
[[nodiscard]] SockResult<std::size_t> sock_sendmsg(Net& net, Sock& sk, const MsgHdr& msg);
// The same for one block of bytes, without a message round it, is sock_send() (socket/sock_send.h).
// For several of them, a datagram each, to `to` or to the connected peer (null): how many were
// sent, as sock_sendmmsg().
[[nodiscard]] SockResult<std::size_t> sock_send_run(Net& net, Sock& sk, std::span<const iovec> run,
                                                    const SockAddr4* to, int flags);
// A frame with room for `len` bytes of payload, to be filled from skb->data on, and its sending. On
// the flight nothing is copied. Errors: EMSGSIZE, ENOBUFS; those of sock_send().
[[nodiscard]] SockResult<SkbPtr> sock_reserve(Net& net, std::size_t len);
[[nodiscard]] SockResult<std::size_t> sock_commit(Net& net, Sock& sk, SkbPtr frame, std::size_t len,
                                                  const SockAddr4* to, int flags);
// sendmmsg(2): how many were sent. A failure after the first ends the batch; whoever sends the rest
// meets it.
[[nodiscard]] SockResult<std::size_t> sock_sendmmsg(Net& net, Sock& sk,
                                                    std::span<const MsgHdr> messages);
[[nodiscard]] SockResult<std::size_t> inet_sendmsg(Net& net, Sock& sk, const MsgHdr& msg);
[[nodiscard]] SockResult<void> inet_autobind(Net& net, Sock& sk, Trace* trace);
[[nodiscard]] SockResult<std::size_t> udp_sendmsg(Net& net, Sock& sk, const MsgHdr& msg);
[[nodiscard]] SockResult<std::size_t> inet6_sendmsg(Net& net, Sock& sk, const MsgHdr& msg);
[[nodiscard]] SockResult<std::size_t> udpv6_sendmsg(Net& net, Sock& sk, const MsgHdr& msg);

// The calls around them.
Sock* inet_create(Net& net, std::uint32_t uid);  // socket(AF_INET, SOCK_DGRAM, 0)
void inet_release(Sock& sk);                     // close()
[[nodiscard]] SockResult<void> inet_bind(Sock& sk, const SockAddr4& addr, Trace* trace = nullptr);
[[nodiscard]] SockResult<void> inet_dgram_connect(Sock& sk, const SockAddr4& addr);
Sock* inet6_create(Net& net, std::uint32_t uid);  // socket(AF_INET6, SOCK_DGRAM, 0)
[[nodiscard]] SockResult<void> inet6_bind(Sock& sk, const SockAddr6& addr);
// connect() of an AF_INET6 socket to an AF_INET6 address; inet_dgram_connect() takes the others.
[[nodiscard]] SockResult<void> ip6_datagram_connect(Sock& sk, const SockAddr6& addr);
[[nodiscard]] SockResult<void> inet_shutdown(Sock& sk, int how);
[[nodiscard]] SockResult<void> sock_setsockopt(Sock& sk, int level, int optname,
                                               std::span<const std::uint8_t> value);
// The bytes written into `value`.
[[nodiscard]] SockResult<std::size_t> sock_getsockopt(Sock& sk, int level, int optname,
                                                      std::span<std::uint8_t> value);
// Empty queue: EAGAIN.
[[nodiscard]] SockResult<Datagram> udp_recvmsg(Sock& sk);
[[nodiscard]] SockResult<std::size_t> udp_recvmsg(Sock& sk, RecvMsg& msg);
[[nodiscard]] SockResult<std::size_t> ip_recv_error(Sock& sk, RecvMsg& msg);  // MSG_ERRQUEUE

}  // namespace txp
