// SPDX-License-Identifier: Apache-2.0
// The transmit queue of a packet: the one its connected socket used before, the one that the
// sending CPU's XPS map names, or one by the flow's hash.
// Kernel twin: net/core/dev.c (netdev_core_pick_tx(), netdev_pick_tx(), skb_tx_hash()).
//
// Differs: the kernel's hash is keyed with a secret drawn at boot, and drivers may choose for
// themselves (ndo_select_queue); the engine hashes with a key of its own. Where queues treat
// packets differently the trace says that the choice is open (`masked`). No traffic classes (mqprio
// is unknown before this). XPS by receive queue (xps_rxqs) decides nothing here: the kernel looks
// at the queue that a socket last received on, which only TCP keeps. Drops: nothing.
#include <sched.h>

#include <algorithm>
#include <bit>

#include "base/byteorder.h"
#include "dev/netdevice.h"
#include "dev/skb_hash.h"
#include "net.h"
#include "observe/trace.h"
#include "socket/sock.h"
#include "wire/ethernet.h"
#include "wire/ipv6.h"

namespace txp {
namespace {

// reciprocal_scale(): a 32-bit hash onto [0, n).
unsigned scale(std::uint32_t hash, std::size_t n) {
  return static_cast<unsigned>((std::uint64_t{hash} * n) >> 32);
}

// get_xps_queue(): the queues whose mask holds the CPU we run on; -1: none.
int get_xps_queue(const Link& link, Skb& skb, std::size_t queues, bool& hashed) {
  if (link.xps_cpus.empty()) return -1;
  const int cpu = sched_getcpu();
  if (cpu < 0) return -1;
  const auto word = static_cast<std::size_t>(cpu) / 32;
  const std::uint32_t bit = 1U << (static_cast<unsigned>(cpu) % 32);
  const auto has = [&](std::size_t i) {
    const auto& mask = link.xps_cpus[i];
    return word < mask.size() && (mask[word] & bit) != 0;
  };
  const std::size_t n = std::min(link.xps_cpus.size(), queues);
  unsigned members = 0;
  for (std::size_t i = 0; i < n; ++i) members += has(i);
  if (members == 0) return -1;
  hashed = members > 1;
  unsigned pick = hashed ? scale(skb_get_hash(skb), members) : 0;
  for (std::size_t i = 0; i < n; ++i)
    if (has(i) && pick-- == 0) return static_cast<int>(i);
  return -1;
}

// Whether the choice can show: queues with disciplines of different kinds.
bool queues_differ(const NetDevice& dev) {
  for (const auto& txq : dev.tx)
    if (txq->qdisc->spec.kind != dev.tx[0]->qdisc->spec.kind) return true;
  return false;
}

}  // namespace

std::uint32_t skb_get_hash(Skb& skb) {
  if (skb.hash != 0) return skb.hash;
  if (skb.sk != nullptr) skb.hash = skb.sk->txhash.load(std::memory_order_relaxed);
  if (skb.hash != 0) return skb.hash;
  std::uint64_t h = 0;
  std::uint64_t ports = 0;
  if (skb.protocol == kEthPIpv6) {
    const Ipv6View ip(skb.network());
    const Ip6 s = ip.saddr();
    const Ip6 d = ip.daddr();
    h = s.hi ^ std::rotl(s.lo, 13) ^ std::rotl(d.hi, 29) ^ std::rotl(d.lo, 47);
    if (skb.transport() + 4 <= skb.tail) ports = load_be32(skb.transport());
  } else {
    h = (std::uint64_t{skb.fl4.saddr.host} << 32) | skb.fl4.daddr.host;
    ports = (std::uint64_t{skb.fl4.sport} << 16) | skb.fl4.dport;
  }
  h ^= ports * 0x9e3779b97f4a7c15ULL;
  h = (h ^ (h >> 30)) * 0xbf58476d1ce4e5b9ULL;
  h = (h ^ (h >> 27)) * 0x94d049bb133111ebULL;
  skb.hash = static_cast<std::uint32_t>(h >> 32) | 1;
  return skb.hash;
}

unsigned netdev_pick_tx(Net& net, NetDevice& dev, Skb& skb) {
  enter(net, Stage::netdev_pick_tx, skb);
  const std::size_t real = dev.link().real_num_tx_queues;
  const std::size_t queues = real != 0 ? std::min(real, dev.tx.size()) : dev.tx.size();
  unsigned queue = 0;
  if (queues > 1) [[unlikely]] {
    Sock* sk = skb.sk;
    const int cached = sk != nullptr ? sk->tx_queue_mapping.load(std::memory_order_relaxed) : -1;
    if (cached >= 0 && static_cast<std::size_t>(cached) < queues) {
      queue = static_cast<unsigned>(cached);
    } else {
      bool hashed = false;
      const int xps = get_xps_queue(dev.link(), skb, queues, hashed);
      if (xps < 0) hashed = true;
      queue = xps >= 0 ? static_cast<unsigned>(xps) : scale(skb_get_hash(skb), queues);
      if (sk != nullptr && sk->connected)
        sk->tx_queue_mapping.store(static_cast<int>(queue), std::memory_order_relaxed);
      if (skb.trace != nullptr && hashed && queues_differ(dev))
        skb.trace->masked("skb.queue_mapping");
    }
  }
  skb.queue_mapping = static_cast<std::uint16_t>(queue);
  if (skb.trace != nullptr) skb.trace->out(Stage::netdev_pick_tx, "queue", queue);
  return queue;
}

}  // namespace txp
