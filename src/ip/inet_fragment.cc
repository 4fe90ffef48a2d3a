// SPDX-License-Identifier: Apache-2.0
// What both families do with fragments. Kernel twin: net/ipv4/inet_fragment.c, inet_frag_find(),
// inet_frag_queue_insert(), inet_frag_reasm_prepare(), inet_frag_kill(); the halves of
// ip_frag_queue() and ip6_frag_queue() that are equal.
// Differs: no ipfrag_max_dist (fragments of one source far apart); the whole datagram is copied
// into one block. Drops (as received packets): DUP_FRAG; a datagram with overlapping or
// contradicting fragments goes as a whole, NOT_SPECIFIED as in the kernel; NOMEM beyond
// kHighThresh; FRAG_REASM_TIMEOUT when its time is over.
#include "ip/inet_fragment.h"

#include <algorithm>
#include <cstring>

#include "dev/netdevice.h"
#include "net.h"

namespace txp {
namespace {

constexpr std::uint8_t kEcnNotEct = 1 << 0;
constexpr std::uint8_t kEcnCe = 1 << 3;

}  // namespace

int InetFrags::reassembled_ecn(std::uint8_t seen) {
  if ((seen & kEcnNotEct) != 0 && seen != kEcnNotEct) return -1;
  return (seen & kEcnCe) != 0 && seen != kEcnCe ? 3 : 0;
}

InetFrags::InetFrags(Net& net, const Names& names, Nanos timeout)
    : net_(net), names_(names), timeout_(timeout) {
  timer_.arg = this;
  timer_.function = [](Net&, Timer& t) { static_cast<InetFrags*>(t.arg)->expire(); };
}

InetFrags::~InetFrags() {
  net_.timers.del(timer_);
  for (auto& [key, q] : queues_)
    for (auto& [offset, run] : q.runs)
      for (SkbPtr& part : run.parts) free_skb(std::move(part));
}

std::size_t InetFrags::queues() const {
  const std::lock_guard guard(mutex_);
  return queues_.size();
}

std::size_t InetFrags::memory() const {
  const std::lock_guard guard(mutex_);
  return memory_;
}

SkbPtr InetFrags::take(const Key& key, const Part& part, SkbPtr skb) {
  Dropped dropped;
  SkbPtr whole;
  {
    const std::lock_guard guard(mutex_);
    if (memory_ > kHighThresh) {  // inet_frag_find()
      snmp(net_, names_.fails);
      dropped.emplace_back(std::move(skb), DropReason::NOMEM);
    } else {
      const auto [at, made] = queues_.try_emplace(key);
      if (made) {  // inet_frag_create()
        Queue& q = at->second;
        q.serial = ++serial_;
        q.expires = net_.clock.now() + timeout_;
        if (by_age_.empty()) net_.timers.mod(timer_, q.expires);
        by_age_.emplace(q.serial, key);
      }
      whole = queue(at->first, at->second, part, std::move(skb), dropped);
    }
  }
  for (auto& [gone, reason] : dropped) rx_drop(net_, std::move(gone), reason);
  return whole;
}

SkbPtr InetFrags::queue(const Key& key, Queue& q, const Part& part, SkbPtr skb, Dropped& dropped) {
  const auto refuse = [&] {
    snmp(net_, names_.fails);
    dropped.emplace_back(std::move(skb), DropReason::NOT_SPECIFIED);
    kill(key, q, DropReason::NOT_SPECIFIED, dropped);
    return SkbPtr();
  };
  const std::size_t offset = part.offset;
  const std::size_t end = part.end;
  if (!part.more) {
    if (end < q.len || (q.last_in && end != q.len)) return refuse();
    q.last_in = true;
    q.len = end;
  } else if (end > q.len) {
    if (q.last_in) return refuse();
    q.len = end;
  }
  if (end <= offset) return refuse();
  skb->pull(part.hlen);
  skb->len = static_cast<std::uint32_t>(end - offset);
  skb->tail = skb->data + skb->len;

  // inet_frag_queue_insert().
  const auto last = q.runs.empty() ? q.runs.end() : std::prev(q.runs.end());
  bool overlap = false;
  Queue::Run* join = nullptr;
  if (last != q.runs.end() && last->second.end < end) {
    overlap = offset < last->second.end;
    if (offset == last->second.end) join = &last->second;
  } else {
    for (const auto& [start, run] : q.runs) {
      if (end <= start || offset >= run.end) continue;
      if (offset >= start && end <= run.end) {
        dropped.emplace_back(std::move(skb), DropReason::DUP_FRAG);
        return nullptr;
      }
      overlap = true;
      break;
    }
  }
  if (overlap) {
    if (names_.overlaps) snmp(net_, *names_.overlaps);
    return refuse();
  }
  const std::size_t size = skb->len + static_cast<std::size_t>(skb->data - skb->network());
  NetDevice* dev = skb->dev;
  const Rtable rt = skb->rt;
  q.iif = dev->ifindex;
  q.meat += skb->len;
  q.ecn |= static_cast<std::uint8_t>(1 << part.ecn);
  if (offset == 0) {
    q.first_in = true;
    q.nexthdr_at = part.nexthdr_at;
  }
  q.max_size = std::max(q.max_size, size);
  if (part.df) q.max_df_size = std::max(q.max_df_size, size);
  memory_ += skb->truesize;
  if (join == nullptr) join = &q.runs[offset];
  join->end = end;
  join->parts.push_back(std::move(skb));
  if (!q.first_in || !q.last_in || q.meat != q.len) return nullptr;
  SkbPtr whole = reassemble(q);
  snmp(net_, whole ? names_.oks : names_.fails);
  kill(key, q, DropReason::NOT_SPECIFIED, dropped);
  if (whole) {  // the fragments live on in it
    whole->dev = dev;
    whole->rt = rt;
    for (auto& [gone, reason] : dropped) free_skb(std::move(gone));
    dropped.clear();
  }
  return whole;
}

SkbPtr InetFrags::reassemble(Queue& q) {
  const Skb& first = *q.runs.begin()->second.parts.front();
  const auto room = static_cast<std::size_t>(first.data - first.network());
  const int ecn = reassembled_ecn(q.ecn);
  if (ecn < 0 || q.len > 0xffff) return nullptr;
  SkbPtr whole = alloc_skb(net_, room + q.len);
  if (!whole) return nullptr;
  const std::size_t hlen = write_headers(q, first, *whole);
  whole->truesize = 0;
  for (const auto& [offset, run] : q.runs) {
    for (const SkbPtr& part : run.parts) {
      std::memcpy(whole->put(part->len), part->data, part->len);
      whole->truesize += part->truesize;
    }
  }
  whole->protocol = first.protocol;
  whole->pkt_type = first.pkt_type;
  whole->tstamp = first.tstamp;
  whole->frag_max_size = static_cast<std::uint16_t>(std::max(q.max_size, q.max_df_size));
  whole->set_network_header();
  whole->transport_header = static_cast<std::uint16_t>(whole->network_header + hlen);
  if (finish_headers(q, *whole, static_cast<std::uint8_t>(ecn))) return whole;
  free_skb(std::move(whole));
  return nullptr;
}

// inet_frag_kill() and inet_frag_destroy(): `q` is gone afterwards. `key` may lie in the map.
void InetFrags::kill(const Key& key, Queue& q, DropReason reason, Dropped& dropped) {
  for (auto& [offset, run] : q.runs) {
    for (SkbPtr& part : run.parts) {
      memory_ -= part->truesize;
      dropped.emplace_back(std::move(part), reason);
    }
  }
  by_age_.erase(q.serial);
  queues_.erase(Key(key));
}

// ip_expire() and ip6frag_expire_frag_queue(), for every datagram whose time is over.
void InetFrags::expire() {
  std::vector<Dropped> expired;
  {
    const std::lock_guard guard(mutex_);
    const Nanos now = net_.clock.now();
    while (!by_age_.empty()) {
      const Key key = by_age_.begin()->second;
      Queue& q = queues_.at(key);
      if (q.expires > now) {
        net_.timers.mod(timer_, q.expires);
        break;
      }
      snmp(net_, names_.fails);
      snmp(net_, names_.timeout);
      NetDevice* dev = net_.dev->by_index(q.iif);
      const bool tell = q.first_in && dev != nullptr;
      Dropped parts;
      kill(key, q, DropReason::FRAG_REASM_TIMEOUT, parts);
      // The first fragment carries what the sender is told; its device may be gone since.
      parts.front().first->dev = tell ? dev : nullptr;
      expired.push_back(std::move(parts));
    }
  }
  for (Dropped& parts : expired) {
    if (Skb& head = *parts.front().first; head.dev != nullptr) tell_timeout(head);
    for (auto& [gone, reason] : parts) rx_drop(net_, std::move(gone), reason);
  }
}

}  // namespace txp
