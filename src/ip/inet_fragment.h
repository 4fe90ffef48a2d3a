// SPDX-License-Identifier: Apache-2.0
// Datagrams that are being put together from their fragments. Kernel twins:
// include/net/inet_frag.h, net/ipv4/inet_fragment.c, net/ipv4/ip_fragment.c,
// net/ipv6/reassembly.c.
#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <vector>

#include "observe/counters.h"
#include "skb/skb.h"
#include "softirq/timer.h"
#include "wire/ip6.h"

namespace txp {

// What both families share (struct fqdir): queues, bounded in memory and time. Thread safety: any
// thread.
class InetFrags {
 public:
  InetFrags(const InetFrags&) = delete;
  InetFrags& operator=(const InetFrags&) = delete;

  std::size_t queues() const;                                  // datagrams in parts
  std::size_t memory() const;                                  // bytes, truesize
  static constexpr std::size_t kHighThresh = 4 * 1024 * 1024;  // bytes; ip*frag_high_thresh

 protected:
  struct Key {
    Ip6 saddr;  // IPv4's mapped
    Ip6 daddr;
    std::uint32_t id = 0;
    std::uint8_t protocol = 0;  // of IPv4
    int iif = 0;                // of link-local and multicast destinations over IPv6
    friend auto operator<=>(const Key&, const Key&) = default;
  };
  // struct inet_frag_queue.
  struct Queue {
    std::uint64_t serial = 0;  // of its coming
    Nanos expires = 0;
    // Runs of adjoining fragments by offset. As in the kernel a fragment joins a run only at the
    // end of the last one; every other starts a run of its own.
    struct Run {
      std::size_t end;
      std::vector<SkbPtr> parts;
    };
    std::map<std::size_t, Run> runs;
    std::size_t len = 0;   // bytes of the whole, as far as is known
    std::size_t meat = 0;  // bytes that are here
    bool first_in = false;
    bool last_in = false;
    std::uint8_t ecn = 0;
    std::size_t max_size = 0;     // of a fragment, with its headers
    std::size_t max_df_size = 0;  // of one with DF
    int iif = 0;
    std::uint32_t nexthdr_at = 0;  // over IPv6, of the first fragment
  };
  // A fragment, as its headers say.
  struct Part {
    std::size_t hlen = 0;    // bytes before its piece of the datagram
    std::size_t offset = 0;  // of the piece
    std::size_t end = 0;
    bool more = false;
    bool df = false;
    std::uint8_t ecn = 0;  // ECN bits
    std::uint32_t nexthdr_at = 0;
  };
  // What a family counts.
  struct Names {
    Snmp reqds, oks, fails, timeout;
    std::optional<Snmp> overlaps;
  };
  InetFrags(Net& net, const Names& names, Nanos timeout);
  ~InetFrags();

  // Takes a fragment; answers the whole datagram when this was its last missing part.
  SkbPtr take(const Key& key, const Part& part, SkbPtr skb);
  // Whole from its parts, in order of offset: null when they make no datagram.
  SkbPtr reassemble(Queue& q);
  // The headers before `first`'s piece, without what only fragments have.
  virtual std::size_t write_headers(const Queue& q, const Skb& first, Skb& whole) = 0;
  // Those headers once the whole is known; false: it is too long.
  virtual bool finish_headers(const Queue& q, Skb& whole, std::uint8_t ecn) = 0;
  // The sender is told that time ran out; `head` is the first fragment, its device set.
  virtual void tell_timeout(Skb& head) = 0;

  // ip_frag_ecn_table: the ECN bits of the whole; -1: they contradict each other (RFC 3168, 5.3).
  static int reassembled_ecn(std::uint8_t seen);

  Net& net_;

 private:
  using Dropped = std::vector<std::pair<SkbPtr, DropReason>>;
  SkbPtr queue(const Key& key, Queue& q, const Part& part, SkbPtr skb, Dropped& dropped);
  void kill(const Key& key, Queue& q, DropReason reason, Dropped& dropped);
  void expire();

  const Names names_;
  const Nanos timeout_;
  mutable std::mutex mutex_;
  std::map<Key, Queue> queues_;
  std::map<std::uint64_t, Key> by_age_;  // Queue::serial: all wait equally long
  std::uint64_t serial_ = 0;
  Timer timer_;
  std::size_t memory_ = 0;
};

class IpFrags final : public InetFrags {
 public:
  explicit IpFrags(Net& net);
  // ip_defrag(): a fragment, its data at the IP header.
  SkbPtr defrag(SkbPtr skb);
  static constexpr Nanos kTimeout = 30 * kSecond;  // net.ipv4.ipfrag_time

 private:
  std::size_t write_headers(const Queue& q, const Skb& first, Skb& whole) override;
  bool finish_headers(const Queue& q, Skb& whole, std::uint8_t ecn) override;
  void tell_timeout(Skb& head) override;
};

class Ip6Frags final : public InetFrags {
 public:
  explicit Ip6Frags(Net& net);
  // ipv6_frag_rcv(): a packet with a fragment header, where its data is; `nexthdr_at` is the byte,
  // from the network header, that leads there. The whole has it at what follows.
  SkbPtr rcv(SkbPtr skb, std::uint32_t& nexthdr_at);
  static constexpr Nanos kTimeout = 60 * kSecond;  // net.ipv6.ip6frag_time

 private:
  std::size_t write_headers(const Queue& q, const Skb& first, Skb& whole) override;
  bool finish_headers(const Queue& q, Skb& whole, std::uint8_t ecn) override;
  void tell_timeout(Skb& head) override;
};

}  // namespace txp
