// SPDX-License-Identifier: Apache-2.0
// ip_fragment: puts a datagram together from its fragments.
//
// Kernel twin: net/ipv4/ip_fragment.c, ip_defrag(), ip_frag_queue(), ip_frag_reasm(), ip_expire();
// net/ipv4/inet_fragment.c, inet_frag_queue_insert().
// Differs: no ipfrag_max_dist (fragments of one source far apart); the whole datagram is copied
// into one block. Drops (as received packets): DUP_FRAG; a datagram with overlapping or
// contradicting fragments goes as a whole, NOT_SPECIFIED as in the kernel; NOMEM beyond
// kHighThresh; FRAG_REASM_TIMEOUT after kTimeout.
#include <algorithm>
#include <cstring>

#include "dev/netdevice.h"
#include "ip/icmp.h"
#include "ip/ip.h"
#include "ip/ip_input.h"
#include "net.h"
#include "wire/ipv4.h"

namespace txp {
namespace {

constexpr std::uint8_t kEcnNotEct = 1 << 0;
constexpr std::uint8_t kEcnCe = 1 << 3;

// ip_frag_ecn_table: the ECN bits of the whole; -1: they contradict each other (RFC 3168, 5.3).
int reassembled_ecn(std::uint8_t seen) {
  if ((seen & kEcnNotEct) != 0 && seen != kEcnNotEct) return -1;
  return (seen & kEcnCe) != 0 && seen != kEcnCe ? 3 : 0;
}

}  // namespace

struct IpFrags::Queue {
  std::uint64_t serial = 0;  // of its coming
  Nanos expires = 0;
  // Runs of adjoining fragments by offset. As in the kernel a fragment joins a run only at the end
  // of the last one; every other starts a run of its own.
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
  std::size_t max_size = 0;     // of a fragment, with its header
  std::size_t max_df_size = 0;  // of one with DF
  int iif = 0;
};

IpFrags::IpFrags(Net& net) : net_(net) {
  timer_.arg = this;
  timer_.function = [](Net&, Timer& t) { static_cast<IpFrags*>(t.arg)->expire(); };
}

IpFrags::~IpFrags() {
  net_.timers.del(timer_);
  for (auto& [key, q] : queues_)
    for (auto& [offset, run] : q.runs)
      for (SkbPtr& part : run.parts) free_skb(std::move(part));
}

std::size_t IpFrags::queues() const {
  const std::lock_guard guard(mutex_);
  return queues_.size();
}

std::size_t IpFrags::memory() const {
  const std::lock_guard guard(mutex_);
  return memory_;
}

SkbPtr IpFrags::defrag(SkbPtr skb) {
  snmp(net_, Snmp::IpReasmReqds);
  const Ipv4View ip(skb->network());
  const Key key{ip.saddr(), ip.daddr(), ip.id(), ip.protocol()};
  Dropped dropped;
  SkbPtr whole;
  {
    const std::lock_guard guard(mutex_);
    if (memory_ > kHighThresh) {  // inet_frag_find()
      snmp(net_, Snmp::IpReasmFails);
      dropped.emplace_back(std::move(skb), DropReason::NOMEM);
    } else {
      const auto [at, made] = queues_.try_emplace(key);
      if (made) {  // inet_frag_create()
        Queue& q = at->second;
        q.serial = ++serial_;
        q.expires = net_.clock.now() + kTimeout;
        if (by_age_.empty()) net_.timers.mod(timer_, q.expires);
        by_age_.emplace(q.serial, key);
      }
      whole = queue(at->first, at->second, std::move(skb), dropped);
    }
  }
  for (auto& [gone, reason] : dropped) rx_drop(net_, std::move(gone), reason);
  return whole;
}

// ip_frag_queue().
SkbPtr IpFrags::queue(const Key& key, Queue& q, SkbPtr skb, Dropped& dropped) {
  const auto refuse = [&] {
    snmp(net_, Snmp::IpReasmFails);
    dropped.emplace_back(std::move(skb), DropReason::NOT_SPECIFIED);
    kill(key, q, DropReason::NOT_SPECIFIED, dropped);
    return SkbPtr();
  };
  const Ipv4View ip(skb->network());
  const std::uint16_t frag_off = ip.frag_off();
  const std::size_t hlen = ip.hlen();
  const std::size_t offset = std::size_t{static_cast<std::uint16_t>(frag_off & kIpOffset)} * 8;
  std::size_t end = offset + skb->len - hlen;
  if ((frag_off & kIpMf) == 0) {
    if (end < q.len || (q.last_in && end != q.len)) return refuse();
    q.last_in = true;
    q.len = end;
  } else {
    end &= ~std::size_t{7};
    if (end > q.len) {
      if (q.last_in) return refuse();
      q.len = end;
    }
  }
  if (end <= offset) return refuse();
  skb->pull(hlen);
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
    snmp(net_, Snmp::IpExtReasmOverlaps);
    return refuse();
  }
  const std::size_t size = skb->len + hlen;
  NetDevice* dev = skb->dev;
  const Rtable rt = skb->rt;
  q.iif = dev->ifindex;
  q.meat += skb->len;
  q.ecn |= static_cast<std::uint8_t>(1 << (ip.tos() & 3));
  q.first_in |= offset == 0;
  q.max_size = std::max(q.max_size, size);
  if ((frag_off & kIpDf) != 0) q.max_df_size = std::max(q.max_df_size, size);
  memory_ += skb->truesize;
  if (join == nullptr) join = &q.runs[offset];
  join->end = end;
  join->parts.push_back(std::move(skb));
  if (!q.first_in || !q.last_in || q.meat != q.len) return nullptr;
  SkbPtr whole = reassemble(q);
  if (!whole) snmp(net_, Snmp::IpReasmFails);
  kill(key, q, DropReason::NOT_SPECIFIED, dropped);
  if (whole) {  // the fragments live on in it
    whole->dev = dev;
    whole->rt = rt;
    for (auto& [part, reason] : dropped) free_skb(std::move(part));
    dropped.clear();
  }
  return whole;
}

// ip_frag_reasm(): null when the parts make no datagram.
SkbPtr IpFrags::reassemble(Queue& q) {
  const Skb& first = *q.runs.begin()->second.parts.front();
  const std::size_t hlen = Ipv4View(first.network()).hlen();
  const std::size_t total = hlen + q.len;
  const int ecn = reassembled_ecn(q.ecn);
  if (ecn < 0 || total > 0xffff) return nullptr;
  SkbPtr whole = alloc_skb(net_, total);
  if (!whole) return nullptr;
  std::memcpy(whole->put(hlen), first.network(), hlen);
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
  Ipv4View ip(whole->network());
  ip.set_tot_len(static_cast<std::uint16_t>(total));
  ip.set_frag_off(q.max_df_size == q.max_size ? kIpDf : 0);
  ip.set_tos(static_cast<std::uint8_t>(ip.tos() | ecn));
  ip.send_check();
  snmp(net_, Snmp::IpReasmOKs);
  return whole;
}

// inet_frag_kill() and inet_frag_destroy(): `q` is gone afterwards. `key` may lie in the map.
void IpFrags::kill(const Key& key, Queue& q, DropReason reason, Dropped& dropped) {
  for (auto& [offset, run] : q.runs) {
    for (SkbPtr& part : run.parts) {
      memory_ -= part->truesize;
      dropped.emplace_back(std::move(part), reason);
    }
  }
  by_age_.erase(q.serial);
  queues_.erase(Key(key));
}

// ip_expire(), for every datagram whose time is over.
void IpFrags::expire() {
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
      snmp(net_, Snmp::IpReasmFails);
      snmp(net_, Snmp::IpReasmTimeout);
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

void IpFrags::tell_timeout(Skb& head) {
  const Ipv4View ip(head.network());
  const auto rt =
      ip_route_input(net_, *head.dev, ip.daddr(), ip.saddr(), ip.tos() & 0xfc, head.protocol);
  if (!rt || rt->type != RouteType::local) return;
  head.rt = *rt;
  icmp_send(net_, head, kIcmpTimeExceeded, kIcmpExcFragtime, 0);
}

}  // namespace txp
