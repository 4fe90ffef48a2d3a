// SPDX-License-Identifier: Apache-2.0
// UDP sockets by port: who may bind where, and who gets a packet.
//
// Kernel twin: net/ipv4/udp.c, udp_lib_get_port(), udp_lib_lport_inuse(), compute_score(),
// __udp4_lib_lookup(), __udp_is_mcast_sock(); net/ipv4/inet_connection_sock.c,
// inet_rcv_saddr_equal(); net/core/sock_reuseport.c.
// Differs: one hash by port under one mutex (the kernel has three hashes under RCU); a SO_REUSEPORT
// group is found by looking, not kept; which member a flow goes to comes from our own hash, as
// arbitrary as the kernel's keyed one; no BPF socket selection.
#include "udp/udp_table.h"

#include <algorithm>
#include <bitset>

#include "net.h"
#include "socket/inet6_sock.h"

namespace txp {
namespace {

constexpr unsigned kChains = 256;  // UDP_HTABLE_SIZE_MIN
constexpr unsigned kChainLog = 8;
using ChainBitmap = std::bitset<65536 / kChains>;

unsigned chain_of(std::uint16_t port) { return port & (kChains - 1); }

// ipv6_rcv_saddr_equal() with wildcards; `a` is an AF_INET6 socket.
bool ipv6_rcv_saddr_equal(const Sock& a, const Sock& b) {
  const Ip6 one = a.inet6->rcv_saddr;
  const bool one_mapped = one.is_v4mapped();
  const bool other_mapped = !b.inet6 || b.inet6->rcv_saddr.is_v4mapped();
  if (one_mapped && other_mapped)
    return !ipv6_only_sock(b) && (a.inet_rcv_saddr == b.inet_rcv_saddr ||
                                  a.inet_rcv_saddr.is_zero() || b.inet_rcv_saddr.is_zero());
  const bool other_any = b.inet6 && b.inet6->rcv_saddr.is_any();
  if (one.is_any() && other_any) return true;
  if (other_any && !(ipv6_only_sock(b) && one_mapped)) return true;
  if (one.is_any() && !(ipv6_only_sock(a) && other_mapped)) return true;
  return b.inet6 && one == b.inet6->rcv_saddr;
}

// inet_rcv_saddr_equal() with match_wildcard.
bool rcv_saddr_equal(const Sock& a, const Sock& b) {
  if (a.inet6) return ipv6_rcv_saddr_equal(a, b);
  if (ipv6_only_sock(b)) return false;
  return a.inet_rcv_saddr.is_zero() || b.inet_rcv_saddr.is_zero() ||
         a.inet_rcv_saddr == b.inet_rcv_saddr;
}

// The conflict rule of udp_lib_lport_inuse(), for two sockets on one port.
bool conflict(const Sock& sk, const Sock& other) {
  if (&other == &sk) return false;
  if (other.reuse && sk.reuse) return false;
  if (other.bound_dev_if != 0 && sk.bound_dev_if != 0 && other.bound_dev_if != sk.bound_dev_if)
    return false;
  if (!rcv_saddr_equal(sk, other)) return false;
  return !(other.reuseport && sk.reuseport && other.uid == sk.uid);
}

struct PortRange {
  std::uint16_t low;
  std::uint16_t high;
};

// inet_sk_get_local_port_range().
PortRange local_port_range(const Sock& sk, const Sysctls& sysctl) {
  PortRange range{sysctl.ip_local_port_range[0], sysctl.ip_local_port_range[1]};
  const PortRange all = range;
  if (sk.local_port_range != 0) {
    const auto low = static_cast<std::uint16_t>(sk.local_port_range & 0xffff);
    const auto high = static_cast<std::uint16_t>(sk.local_port_range >> 16);
    if (all.low <= low && low <= all.high) range.low = low;
    if (all.low <= high && high <= all.high) range.high = high;
  }
  return range;
}

// inet_is_local_reserved_port().
bool reserved(const Sysctls& sysctl, std::uint16_t port) {
  return std::ranges::any_of(sysctl.ip_local_reserved_ports,
                             [port](const auto& r) { return r.first <= port && port <= r.second; });
}

// udp_sk_bound_dev_eq() without l3mdev: udp_l3mdev_accept does not matter then.
bool bound_dev_eq(const Sock& sk, int dif) {
  return sk.bound_dev_if == 0 || sk.bound_dev_if == dif;
}

int compute_score(const Sock& sk, Ip4 saddr, std::uint16_t sport, Ip4 daddr, std::uint16_t dport,
                  int dif) {
  if (sk.inet_num != dport || sk.inet_rcv_saddr != daddr || ipv6_only_sock(sk)) return -1;
  int score = sk.inet6 ? 1 : 2;
  if (!sk.inet_daddr.is_zero()) {
    if (sk.inet_daddr != saddr) return -1;
    score += 4;
  }
  if (sk.inet_dport != 0) {
    if (sk.inet_dport != sport) return -1;
    score += 4;
  }
  if (!bound_dev_eq(sk, dif)) return -1;
  if (sk.bound_dev_if != 0) score += 4;
  return score;
}

bool same_group(const Sock& a, const Sock& b) {
  return b.reuseport && a.inet_num == b.inet_num && a.bound_dev_if == b.bound_dev_if &&
         a.uid == b.uid && a.inet_rcv_saddr == b.inet_rcv_saddr;
}

std::uint32_t flow_hash(Ip4 saddr, std::uint16_t sport, Ip4 daddr, std::uint16_t dport) {
  std::uint64_t h = (std::uint64_t{saddr.host} << 32 | daddr.host) ^
                    (std::uint64_t{sport} << 16 | dport) * 0x9e3779b97f4a7c15ULL;
  h = (h ^ (h >> 30)) * 0xbf58476d1ce4e5b9ULL;
  return static_cast<std::uint32_t>(h >> 32);
}

// reuseport_select_sock() over the chain; null when the group has connected members, and scoring
// must decide.
Sock* select_in_group(Sock* chain, const Sock& member, std::uint32_t hash) {
  std::uint32_t size = 0;
  for (const Sock* s = chain; s != nullptr; s = s->hash_next) {
    if (!same_group(member, *s)) continue;
    if (s->connected) return nullptr;
    ++size;
  }
  std::uint64_t chosen = (std::uint64_t{hash} * size) >> 32;  // reciprocal_scale()
  for (Sock* s = chain; s != nullptr; s = s->hash_next)
    if (same_group(member, *s) && chosen-- == 0) return s;
  return nullptr;
}

// udp4_lib_lookup2().
Sock* lookup2(Sock* chain, Ip4 saddr, std::uint16_t sport, Ip4 rcv_saddr, std::uint16_t dport,
              int dif, std::uint32_t hash) {
  Sock* result = nullptr;
  int badness = 0;
  for (Sock* s = chain; s != nullptr; s = s->hash_next) {
    const int score = compute_score(*s, saddr, sport, rcv_saddr, dport, dif);
    if (score <= badness) continue;
    badness = score;
    result = s;
    if (s->connected || !s->reuseport) continue;
    if (Sock* chosen = select_in_group(chain, *s, hash); chosen != nullptr) return chosen;
  }
  return result;
}

bool ip_mc_sf_allow(Sock& sk, Ip4 group, Ip4 source, int dif) {
  if (!group.is_multicast()) return true;
  const std::lock_guard guard(sk.rx_lock);
  for (const Sock::Membership& m : sk.memberships) {
    if (m.group != group || m.ifindex != dif) continue;
    if (m.sources.empty()) return !m.include;
    const bool listed = std::ranges::find(m.sources, source) != m.sources.end();
    return listed == m.include;
  }
  return sk.mc_all;
}

bool is_mcast_sock(Sock& sk, Ip4 saddr, std::uint16_t sport, Ip4 daddr, std::uint16_t dport,
                   int dif) {
  if (sk.inet_num != dport || ipv6_only_sock(sk)) return false;
  if (!sk.inet_daddr.is_zero() && sk.inet_daddr != saddr) return false;
  if (sk.inet_dport != 0 && sk.inet_dport != sport) return false;
  if (!sk.inet_rcv_saddr.is_zero() && sk.inet_rcv_saddr != daddr) return false;
  if (!bound_dev_eq(sk, dif)) return false;
  return ip_mc_sf_allow(sk, daddr, saddr, dif);
}

}  // namespace

bool UdpTable::in_use(const Sock& sk, std::uint16_t port) const {
  for (const Sock* s = hash_[chain_of(port)]; s != nullptr; s = s->hash_next)
    if (s->inet_num == port && conflict(sk, *s)) return true;
  return false;
}

SockResult<void> UdpTable::get_port(Sock& sk, std::uint16_t port) {
  const std::lock_guard guard(mutex_);
  if (port == 0) {
    port = ephemeral_port(sk);
    if (port == 0) return err(EADDRINUSE);
  } else if (in_use(sk, port)) {
    return err(EADDRINUSE);
  }
  sk.inet_num = port;
  Sock*& head = hash_[chain_of(port)];
  sk.hash_next = head;
  head = &sk;
  return {};
}

std::uint16_t UdpTable::ephemeral_port(const Sock& sk) const {
  const RcuReader reader;
  const Sysctls& sysctl = sk.net.sysctl();
  const auto [low, high] = local_port_range(sk, sysctl);
  if (low > high) return 0;
  std::uint32_t random = sk.net.random.u32();
  const std::uint32_t remaining = std::uint32_t{high} - low + 1U;
  auto first =
      static_cast<std::uint16_t>(((std::uint64_t{random} * remaining) >> 32) + std::uint64_t{low});
  // An odd multiple of the number of chains: its steps visit every port of one chain once.
  const auto step = static_cast<std::uint16_t>((random | 1) * kChains);
  for (unsigned chain = 0; chain < kChains; ++chain, ++first) {
    ChainBitmap taken;
    for (const Sock* s = hash_[chain_of(first)]; s != nullptr; s = s->hash_next)
      if (conflict(sk, *s)) taken.set(s->inet_num >> kChainLog);
    std::uint16_t port = first;
    do {
      if (low <= port && port <= high && !taken.test(port >> kChainLog) &&
          !reserved(sysctl, port) && (!kernel_port_free || kernel_port_free(port)))
        return port;
      port = static_cast<std::uint16_t>(port + step);
    } while (port != first);
  }
  return 0;
}

void UdpTable::unhash(Sock& sk) {
  const std::lock_guard guard(mutex_);
  for (Sock** p = &hash_[chain_of(sk.inet_num)]; *p != nullptr; p = &(*p)->hash_next) {
    if (*p != &sk) continue;
    *p = sk.hash_next;
    sk.hash_next = nullptr;
    sk.inet_num = 0;
    return;
  }
}

bool UdpTable::with_socket(Ip4 saddr, std::uint16_t sport, Ip4 daddr, std::uint16_t dport, int dif,
                           const std::function<void(Sock&)>& with) {
  const std::lock_guard guard(mutex_);
  Sock* chain = hash_[chain_of(dport)];
  const std::uint32_t hash = flow_hash(saddr, sport, daddr, dport);
  Sock* sk = lookup2(chain, saddr, sport, daddr, dport, dif, hash);
  if (sk == nullptr) sk = lookup2(chain, saddr, sport, Ip4{}, dport, dif, hash);
  if (sk == nullptr) return false;
  with(*sk);
  return true;
}

std::size_t UdpTable::for_each_mcast(Ip4 saddr, std::uint16_t sport, Ip4 daddr, std::uint16_t dport,
                                     int dif, const std::function<void(Sock&)>& with) {
  const std::lock_guard guard(mutex_);
  std::size_t found = 0;
  for (Sock* s = hash_[chain_of(dport)]; s != nullptr; s = s->hash_next) {
    if (!is_mcast_sock(*s, saddr, sport, daddr, dport, dif)) continue;
    ++found;
    with(*s);
  }
  return found;
}

namespace {

// compute_score() of net/ipv6/udp.c; `rcv_saddr` any: the sockets bound to no address.
int compute_score6(const Sock& sk, const Ip6& saddr, std::uint16_t sport, const Ip6& rcv_saddr,
                   std::uint16_t dport, int dif) {
  if (!sk.inet6 || sk.inet_num != dport || sk.inet6->rcv_saddr != rcv_saddr) return -1;
  int score = 0;
  if (sk.inet_dport != 0) {
    if (sk.inet_dport != sport) return -1;
    ++score;
  }
  if (sk.connected) {
    if (sk.inet6->daddr != saddr) return -1;
    ++score;
  }
  if (!bound_dev_eq(sk, dif)) return -1;
  return sk.bound_dev_if != 0 ? score + 1 : score;
}

bool is_mcast_sock6(const Sock& sk, const Ip6& saddr, std::uint16_t sport, const Ip6& daddr,
                    std::uint16_t dport, int dif) {
  if (!sk.inet6 || sk.inet_num != dport) return false;
  const Ipv6Pinfo& np = *sk.inet6;
  if (sk.inet_dport != 0 && sk.inet_dport != sport) return false;
  if (sk.connected && np.daddr != saddr) return false;
  if (!bound_dev_eq(sk, dif)) return false;
  if (!np.rcv_saddr.is_any() && np.rcv_saddr != daddr) return false;
  // inet6_mc_check()
  const bool joined = std::ranges::any_of(
      np.memberships, [&](const auto& m) { return m.first == daddr && m.second == dif; });
  return joined || np.mc_all;
}

}  // namespace

bool UdpTable::with_socket6(const Ip6& saddr, std::uint16_t sport, const Ip6& daddr,
                            std::uint16_t dport, int dif, const std::function<void(Sock&)>& with) {
  const std::lock_guard guard(mutex_);
  for (const Ip6& rcv_saddr : {daddr, Ip6{}}) {
    Sock* best = nullptr;
    int badness = -1;
    for (Sock* s = hash_[chain_of(dport)]; s != nullptr; s = s->hash_next) {
      const int score = compute_score6(*s, saddr, sport, rcv_saddr, dport, dif);
      if (score <= badness) continue;
      badness = score;
      best = s;
    }
    if (best == nullptr) continue;
    with(*best);
    return true;
  }
  return false;
}

std::size_t UdpTable::for_each_mcast6(const Ip6& saddr, std::uint16_t sport, const Ip6& daddr,
                                      std::uint16_t dport, int dif,
                                      const std::function<void(Sock&)>& with) {
  const std::lock_guard guard(mutex_);
  std::size_t found = 0;
  for (Sock* s = hash_[chain_of(dport)]; s != nullptr; s = s->hash_next) {
    if (!is_mcast_sock6(*s, saddr, sport, daddr, dport, dif)) continue;
    ++found;
    with(*s);
  }
  return found;
}

bool UdpTable::has_port(std::uint16_t port) const {
  const std::lock_guard guard(mutex_);
  for (const Sock* s = hash_[chain_of(port)]; s != nullptr; s = s->hash_next)
    if (s->inet_num == port) return true;
  return false;
}

std::vector<const Sock*> UdpTable::all() const {
  const std::lock_guard guard(mutex_);
  std::vector<const Sock*> socks;
  for (const Sock* s : hash_)
    for (; s != nullptr; s = s->hash_next) socks.push_back(s);
  return socks;
}

}  // namespace txp
