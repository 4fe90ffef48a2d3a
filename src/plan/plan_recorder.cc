// SPDX-License-Identifier: Apache-2.0
// From one walk to a plan.
//
// What is counted needs no list: the thread's counters before and after the walk say it. Nor does
// the frame: its headers are taken as the walk made them, and a plan that could not give them back
// byte for byte is not kept.
#include "plan/plan_recorder.h"

#include <algorithm>
#include <string_view>

#include "dev/netdevice.h"
#include "ip/ip.h"
#include "neigh/neighbour.h"
#include "plan/flight.h"
#include "plan/headers.h"
#include "route/fib_exceptions.h"
#include "route/fib_lookup.h"
#include "socket/sock.h"
#include "wire/ethernet.h"

namespace txp {
namespace {

constexpr std::size_t kStageCounts = 2 * kStageCount;

bool counts_bytes(std::size_t i) {
  if (i < kStageCounts) return i % 2 == 1;
  return i < kStageCounts + kSnmpCount && kSnmp[i - kStageCounts].name.ends_with("Octets");
}

bool went_through(const FlightCounts& counts, Stage s) {
  return counts.each[2 * static_cast<std::size_t>(s)].of != 0;
}

// Straight: the frame is gone when the driver's call returns, and nothing is in the way, so that it
// need not be charged to its sender.
Plan::Way way_of(const NetDevice& dev, const Qdisc& q) {
  if (!dev.features.sync || dev.taps.get() != nullptr || !dev.is_up()) return Plan::Way::walk;
  if (q.has_no_queue) return Plan::Way::straight;
  return q.can_bypass && q.one_txqueue ? Plan::Way::past_queue : Plan::Way::walk;
}

}  // namespace

PlanRecorder::PlanRecorder(Net& net, Cpu& cpu, Sock& sk, const MsgHdr& msg, std::size_t payload)
    : net_(net), cpu_(cpu), sk_(sk), payload_(payload), msg_(msg) {
  plan_.epoch = net.generations.epoch();
  plan_.seen = net.generations.seen();
  plan_.socket = sk.plan_generation.load(std::memory_order_acquire);
  if (msg.name) {
    plan_.daddr = msg.name->addr;
    plan_.dport = msg.name->port;
  }
  each_flight_count(cpu.counters, [this](std::size_t i, Count& c) { before_[i] = c.get(); });
  cpu.recorder = this;
}

void PlanRecorder::route(const Flow4& fl4, const FibResult& res) {
  if (++routes_ != 1) return refuse(Walk::copies);
  if (res.fi != nullptr) {
    plan_.every_neighbour = fib_info_num_path(res) > 1;
    // fib_select_default() remembers what it chose last.
    if (res.prefixlen == 0 && res.type == RouteType::unicast && res.table != nullptr &&
        res.table->num_default.load(std::memory_order_relaxed) > 1)
      refuse(Walk::route);
    if (res.nh != nullptr)
      if (const auto e =
              net_.exceptions->find(fl4.daddr, fib_nh_gateway(net_, *res.nh), res.nh->oif);
          e && e->expires != 0)
        refuse(Walk::route);
  }
}

void PlanRecorder::hook_ends() {
  if (!vouched_) refuse(Walk::netfilter);
}

void PlanRecorder::counter(NftCounter& counter, std::uint32_t len) {
  const std::size_t of = len - payload_;
  if (plan_.counter_count == Plan::kMostCounters || of > 255) return refuse(Walk::netfilter);
  plan_.counter_of[plan_.counter_count] = static_cast<std::uint8_t>(of);
  plan_.counters[plan_.counter_count++] = &counter;
}

void PlanRecorder::device(const Skb& skb) {
  if (skb.sk != &sk_) return refuse(Walk::copies);
  const std::uint16_t frag_off = Ipv4View(skb.head + skb.network_header).frag_off();
  const bool more = (frag_off & kIpMf) != 0;
  if (devices_++ == 0) {
    // A first fragment: its plan is that of such datagrams, which are clearly larger.
    if (more) plan_.parts = 2;
    if (more && payload_ < skb.len + 100) return refuse(Walk::size);
    judge(skb);
  } else {
    if (plan_.parts == 1) return refuse(Walk::copies);
    later_part(skb);
  }
  last_part_ = !more;
  each_flight_count(cpu_.counters, [this](std::size_t i, Count& c) { before_[i] = c.get(); });
}

// What a fragment counts from the one before it to its device, whatever that one did there.
void PlanRecorder::later_part(const Skb& skb) {
  const std::size_t part = skb.len - (plan_.header_len - kUdpHlen);
  FlightCounts counts;
  if (!take_counts(counts, part, 1)) return;
  if (devices_ == 2)
    part_counts_ = counts;
  else if (counts != part_counts_)
    refuse(Walk::form);
  plan_.parts = static_cast<std::uint8_t>(std::min<unsigned>(devices_, 255));
}

// What is counted after the last fragment, but for what every datagram counts at its end.
bool PlanRecorder::take_tail() {
  if (!take_counts(tail_counts_, ~std::size_t{0}, 1)) return false;
  FlightCounts::Linear& sent =
      tail_counts_.each[kStageCounts + static_cast<std::size_t>(Snmp::UdpOutDatagrams)];
  if (sent.of != 1) return false;
  sent.of = 0;
  // A packet that the last fragment's device made (a doubled one) is not the flow's.
  constexpr std::size_t kBorn = kFlightCounts - 1;
  return tail_counts_.each[kBorn].of == 0;
}

void PlanRecorder::judge(const Skb& skb) {
  const NetDevice& dev = *skb.dev;
  if (skb.frag_list != nullptr || sk_.gso_size != 0 || skb.tstamp != 0 || skb.tx_flags != 0 ||
      skb.opt.optlen != 0 || skb.rt.dev != &dev)
    return refuse(Walk::form);
  if (dev.tx.size() > 1 && !dev.link().xps_cpus.empty() &&
      sk_.tx_queue_mapping.load(std::memory_order_relaxed) != int{skb.queue_mapping})
    return refuse(Walk::queue);
  if (!take_counts(counts_, payload_, plan_.parts > 1 ? 0x7fff : 100)) return;
  plan_.next_hop = skb.rt.gateway.is_zero() ? Ipv4View(skb.network()).daddr() : skb.rt.gateway;
  if (!take_headers(skb)) return refuse(Walk::form);
  plan_.way = way_of(dev, *dev.tx[skb.queue_mapping]->qdisc);
  plan_.skb = skb;
  plan_.skb.next = nullptr;
  plan_.skb.sk = nullptr;
  if (went_through(counts_, Stage::neigh_resolve_output))
    plan_.in_doubt = net_.neigh->lookup(dev, plan_.next_hop);
  if (!neighbour_holds(net_, plan_)) return refuse(Walk::neighbour);
}

// The counts since `before_` as of + times * payload; `most`: what bytes may count without it. What
// a device counts is not among them: a flight counts that as it comes.
bool PlanRecorder::take_counts(FlightCounts& counts, std::size_t payload, std::uint64_t most) {
  bool good = true;
  each_flight_count(cpu_.counters, [&](std::size_t i, Count& c) {
    if (i < kStageCounts && i / 2 > static_cast<std::size_t>(Stage::netdev_pick_tx)) return;
    const std::uint64_t gained = c.get() - before_[i];
    const bool times = counts_bytes(i) && gained >= payload;
    const std::uint64_t of = times ? gained - payload : gained;
    if (of > (counts_bytes(i) ? std::max<std::uint64_t>(most, 100) : 1)) good = false;
    counts.each[i].of = static_cast<std::uint16_t>(of & 0x7fff);
    counts.each[i].times = times;
  });
  if (!good) refuse(Walk::copies);
  return good;
}

bool PlanRecorder::take_headers(const Skb& skb) {
  const std::size_t link = static_cast<std::size_t>(skb.network_header) - skb.mac_header;
  plan_.header_len = static_cast<std::uint8_t>(link + kPlanIpUdp);
  if (skb.mac_header + link != kPlanHeadroom || link > kEthHlen || skb.data != skb.mac() ||
      skb.truesize != plan_truesize(net_, skb.len - link))
    return false;
  std::copy_n(skb.data, plan_.header_len, plan_.header.end() - plan_.header_len);
  const Ipv4View ip(skb.network());
  if (ip.hlen() != kIpHlen || ip.protocol() != kIpProtoUdp) return false;
  if (sk_.no_check_tx)
    plan_.check = Plan::Check::none;
  else
    plan_.check = skb.ip_summed == IpSummed::partial ? Plan::Check::device : Plan::Check::software;
  if (!sk_.inet_daddr.is_zero())
    plan_.id = Plan::Id::socket;
  else
    plan_.id = (ip.frag_off() & kIpDf) != 0 && !skb.ignore_df ? Plan::Id::zero : Plan::Id::net;
  plan_sums(plan_);
  const std::uint32_t mtu = std::min(ip_skb_dst_mtu(skb), skb.dev->mtu());
  plan_.max_payload = static_cast<std::uint16_t>(std::min<std::uint32_t>(mtu, kPlanMostMtu) -
                                                 std::uint32_t{kPlanIpUdp});
  const std::size_t first = skb.len - link - kIpHlen;
  if (first != (plan_.parts > 1 ? plan_part(plan_.max_payload) : kUdpHlen + payload_)) return false;
  // The proof: the same headers again.
  std::array<std::uint8_t, 48> again = plan_.header;
  std::uint8_t* at = again.data() + again.size() - kPlanIpUdp;
  Csum sum = 0;
  std::size_t offset = 0;
  for (const iovec& v : msg_.iov) {
    const auto* base = static_cast<const std::uint8_t*>(v.iov_base);
    sum = csum_block_add(sum, csum_partial({base, v.iov_len}, 0), offset);
    offset += v.iov_len;
  }
  if (plan_.parts > 1) {
    plan_patch_fragment(plan_, at, ip.id(), first, kIpMf);
    plan_patch_udp(plan_, at + kIpHlen, payload_, sum);
  } else {
    plan_patch(plan_, at, ip.id(), payload_, sum);
    // A rule may have written into the payload itself.
    const std::uint8_t* payload = skb.data + plan_.header_len;
    if (csum_fold(csum_partial({payload, payload_}, 0)) != csum_fold(sum)) return false;
  }
  return std::equal(skb.data, skb.data + plan_.header_len, again.end() - plan_.header_len);
}

void PlanRecorder::finish(bool sent) {
  cpu_.recorder = nullptr;
  // A datagram of its size says nothing about the flow's next.
  if (plan_.refused == Walk::size) return;
  if (!sent || sk_.plan_generation.load(std::memory_order_acquire) != plan_.socket) return;
  if (plan_.refused == Walk::first && devices_ == 0) refuse(Walk::neighbour);
  if (plan_.refused == Walk::first && plan_.parts > 1 &&
      (!last_part_ || plan_.parts != plan_parts(plan_.max_payload, payload_) || !take_tail()))
    refuse(Walk::form);
  if (plan_.refused == Walk::first && !find_shapes()) refuse(Walk::room);
  if (plan_.parts > 1) {
    // The flow's whole datagrams are yet to be seen; that this one is cut is known by its MTU.
    Plan whole = plan_;
    whole.parts = 1;
    if (whole.refused == Walk::first) whole.refused = Walk::fragments;
    const Plan* known =
        cpu_.plans ? cpu_.plans->find(plan_.socket, plan_.daddr, plan_.dport) : nullptr;
    if (const SockPlan* held = sk_.plan.load(std::memory_order_acquire);
        held != nullptr && held->owner == &cpu_ && held->plan.socket == plan_.socket &&
        plan_.dport == 0)
      known = &held->plan;
    if (known == nullptr || known->epoch != plan_.epoch) keep(whole);
    if (whole.refused != Walk::fragments) return;
  }
  keep(plan_);
}

bool PlanRecorder::find_shapes() {
  const auto find = [this](const FlightCounts& counts, std::uint8_t& to) {
    const std::size_t shape = cpu_.shapes.find(counts);
    to = static_cast<std::uint8_t>(shape);
    return shape != FlightShapes::kMost;
  };
  if (!find(counts_, plan_.shape)) return false;
  if (plan_.parts > 1)
    return find(part_counts_, plan_.part_shape) && find(tail_counts_, plan_.tail_shape);
  FlightCounts sent = counts_;
  const auto passes = [&](std::span<const Stage> stages) {
    for (const Stage stage : stages) {
      const std::size_t at = 2 * static_cast<std::size_t>(stage);
      sent.each[at].of = 1;
      sent.each[at + 1].of = plan_.header_len;
      sent.each[at + 1].times = 1;
    }
  };
  if (plan_.way == Plan::Way::past_queue) passes(kQueueStages);
  passes(kDriverStages);
  sent.each[kStageCounts + static_cast<std::size_t>(Snmp::UdpOutDatagrams)].of = 1;
  return find(sent, plan_.sent_shape);
}

void PlanRecorder::keep(const Plan& plan) {
  if (plan.parts == 1 && plan.dport == 0 && plan.daddr.is_zero()) {
    SockPlan* held = sk_.plan.load(std::memory_order_acquire);
    if (held == nullptr) {
      auto mine = std::make_unique<SockPlan>(SockPlan{&cpu_, {}});
      if (sk_.plan.compare_exchange_strong(held, mine.get(), std::memory_order_acq_rel))
        held = mine.release();
    }
    if (held->owner == &cpu_) {
      held->plan = plan;
      return;
    }
  }
  if (!cpu_.plans) cpu_.plans = std::make_shared<Plans>();
  Plan* place = cpu_.plans->find(plan.socket, plan.daddr, plan.dport, plan.parts);
  if (place == nullptr) place = &cpu_.plans->place(plan.socket, plan.daddr, plan.dport, plan.parts);
  *place = plan;
}

}  // namespace txp
