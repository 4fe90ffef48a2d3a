// SPDX-License-Identifier: Apache-2.0
// The receive side's own functions. Kernel twins: net/ipv4/ip_input.c, net/ipv4/route.c,
// net/ipv4/ip_fragment.c.
#pragma once

#include <cstdint>
#include <expected>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

#include "observe/counters.h"
#include "route/rtable.h"
#include "skb/skb.h"
#include "softirq/timer.h"

namespace txp {

struct NetDevice;

// ip_route_input_noref(): what this host does with a packet that came in on `dev`. The answer's
// type is local, broadcast or multicast (is_local: it is ours), unicast (it would be forwarded) or
// unreachable (not ours, and not forwarded). The error is the martian's drop reason. `proto` is
// the Ethernet protocol that asks. Inside an RcuReader.
std::expected<Rtable, DropReason> ip_route_input(Net& net, NetDevice& dev, Ip4 daddr, Ip4 saddr,
                                                 std::uint8_t tos, std::uint16_t proto);

// ip_local_deliver(): the packet is ours. skb->data is at the IP header.
void ip_local_deliver(Net& net, SkbPtr skb);

// The datagrams that are being put together (struct fqdir), bounded in memory and time.
// Thread safety: any thread.
class IpFrags {
 public:
  explicit IpFrags(Net& net);
  ~IpFrags();
  IpFrags(const IpFrags&) = delete;
  IpFrags& operator=(const IpFrags&) = delete;

  // ip_defrag(): takes a fragment, its data at the IP header; answers the whole datagram when this
  // was its last missing part.
  SkbPtr defrag(SkbPtr skb);

  std::size_t queues() const;                                  // datagrams in parts
  std::size_t memory() const;                                  // bytes, truesize
  static constexpr std::size_t kHighThresh = 4 * 1024 * 1024;  // bytes; net.ipv4.ipfrag_high_thresh
  static constexpr Nanos kTimeout = 30 * kSecond;              // net.ipv4.ipfrag_time

 private:
  struct Key {
    Ip4 saddr;
    Ip4 daddr;
    std::uint16_t id;
    std::uint8_t protocol;
    friend auto operator<=>(const Key&, const Key&) = default;
  };
  struct Queue;
  using Dropped = std::vector<std::pair<SkbPtr, DropReason>>;
  SkbPtr queue(const Key& key, Queue& q, SkbPtr skb, Dropped& dropped);
  SkbPtr reassemble(Queue& q);
  void kill(const Key& key, Queue& q, DropReason reason, Dropped& dropped);
  void expire();
  void tell_timeout(Skb& head);

  Net& net_;
  mutable std::mutex mutex_;
  std::map<Key, Queue> queues_;
  std::map<std::uint64_t, Key> by_age_;  // Queue::serial: all wait equally long
  std::uint64_t serial_ = 0;
  Timer timer_;
  std::size_t memory_ = 0;
};

}  // namespace txp
