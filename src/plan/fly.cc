// SPDX-License-Identifier: Apache-2.0
// A flight: the payload into a frame, the plan's headers before it, length, id and checksums in
// them, and on to the device.
//
// Kernel twin: none. It must do what the walk does from sock_sendmsg() to the end of
// dev_queue_xmit(): plan_test.cc and `kernel_diff --fly` hold the two against each other.
// Drops: none of its own; what the discipline and the device do, they do.
#include <cstring>

#include "dev/netdevice.h"
#include "ip/ip.h"
#include "neigh/neighbour.h"
#include "net.h"
#include "plan/flight.h"
#include "socket/sock.h"
#include "softirq/net_tx_action.h"
#include "udp/udp_table.h"

namespace txp {
namespace {

// The datagram as the walk would have it at the device; null: no memory.
[[gnu::always_inline]] inline Skb* make_skb(Cpu& cpu, const Plan& plan,
                                            std::span<const iovec> pieces, std::size_t len,
                                            std::uint16_t id) {
  Skb* skb = blank_skb(cpu, plan, kPlanIpUdp + len);
  if (skb == nullptr) [[unlikely]]
    return nullptr;
  if (plan.counter_count != 0) [[unlikely]]
    count_rules(plan, len);
  std::uint8_t* const ip = skb->head + kPlanHeadroom;
  const Csum sum = PayloadReader(pieces).take(plan, ip + kPlanIpUdp, len);
  plan_patch(plan, ip, id, len, sum);
  return skb;
}

// Past the device's discipline, or by what else is in the way, the frame walks. The call's errno.
int walk_on(Net& net, Cpu& cpu, Sock& sk, const Plan& plan, SkbPtr skb, std::size_t len) {
  NetDevice& dev = *plan.skb.dev;
  skb->truesize = plan_truesize(net, kPlanIpUdp + len);
  skb_set_owner_w(*skb, sk);
  count_shape(cpu, plan.shape, 1, len);
  const bool recverr = sk.recverr;  // the skb, and with it the charge, may be gone below
  const TxResult result =
      dev_queue_xmit_txq(net, std::move(skb), dev, *dev.tx[plan.skb.queue_mapping]);
  return udp_sent(net, ip_sent(net, result), recverr);
}

// The end of a flight whose frame the driver did not take. A discipline keeps it, and the call has
// sent it: true. A device without one drops it: false, and the call's errno is `code`. `asked`: the
// driver was.
[[gnu::noinline]] bool kept(Net& net, Cpu& cpu, Sock& sk, const Plan& plan, PastQueue& queue,
                            SkbPtr skb, bool asked, int& code) {
  const std::uint32_t len = skb->len;
  const std::size_t payload = len - plan.header_len;
  count_shape(cpu, plan.shape, 1, payload);
  if (asked) count_stages(cpu, kDriverStages, 1, len);
  if (plan.way != Plan::Way::past_queue) {
    const TxResult r = drop_noqueue(net, std::move(skb), *plan.skb.dev, DropReason::DEV_READY);
    code = udp_sent(net, ip_sent(net, r), sk.recverr);
    return false;
  }
  count_stages(cpu, kQueueStages, 1, len);
  cpu.counters.at(Snmp::UdpOutDatagrams).add();
  skb->truesize = plan_truesize(net, kPlanIpUdp + payload);
  skb_set_owner_w(*skb, sk);
  queue.requeue(net, *plan.skb.dev->tx[plan.skb.queue_mapping], std::move(skb));
  return true;
}

// One after the other by way of the discipline.
std::size_t fly_on(Net& net, Cpu& cpu, Sock& sk, const Plan& plan, std::span<const iovec> run,
                   int& code) {
  std::size_t sent = 0;
  do {
    if (!fly_pieces(net, cpu, sk, plan, run.subspan(sent, 1), run[sent].iov_len, code)) return sent;
  } while (++sent < run.size() && socket_may_fly(sk));
  return sent;
}

// The plan that the connected socket holds, when nothing speaks against it for `len` bytes. Null:
// find_plan() knows more.
const Plan* held_plan(const Net& net, const Cpu& cpu, const Sock& sk, std::size_t len) {
  const std::uint64_t epoch = net.generations.epoch();
  const SockPlan* held = sk.plan.load(std::memory_order_acquire);
  if (held == nullptr || held->owner != &cpu) return nullptr;
  const Plan& plan = held->plan;
  const bool holds = plan.epoch == epoch &&
                     plan.socket == sk.plan_generation.load(std::memory_order_acquire) &&
                     plan.refused == Walk::first && len - 1 < plan.max_payload &&
                     net.plans.load(std::memory_order_relaxed) && socket_may_fly(sk);
  return holds ? &plan : nullptr;
}

}  // namespace

std::size_t fly_run(Net& net, Sock& sk, const SockAddr4* to, std::span<const iovec> run,
                    int& code) {
  const RcuReader reader;
  Cpu& cpu = net.this_cpu();
  const std::size_t len = run.front().iov_len;
  const Plan* plan = to == nullptr ? held_plan(net, cpu, sk, len) : nullptr;
  Walk why = Walk::first;
  if (plan == nullptr) plan = find_plan(net, cpu, sk, to, len, why);
  if (plan == nullptr) return 0;
  std::size_t sent;
  if (plan->parts > 1) [[unlikely]] {
    sent = fly_fragments(net, cpu, sk, *plan, run.first(1), len, code) ? 1 : 0;
  } else {
    std::size_t n = 1;
    // What loops back is received before the next is sent: an error about it comes in between.
    if (run.size() > 1 && (plan->skb.dev->flags() & kIffLoopback) == 0)
      while (n < run.size() && run[n].iov_len - 1 < plan->max_payload) ++n;
    sent = fly(net, cpu, sk, *plan, run.first(n), code);
  }
  after_send(net, cpu);
  return sent;
}

std::size_t fly(Net& net, Cpu& cpu, Sock& sk, const Plan& plan, std::span<const iovec> run,
                int& code) {
  NetDevice& dev = *plan.skb.dev;
  TxQueue& txq = *dev.tx[plan.skb.queue_mapping];
  touch_neighbour(net, plan);
  if (!straight(cpu, plan)) [[unlikely]]
    return fly_on(net, cpu, sk, plan, run, code);
  PastQueue queue(plan, txq);
  if (!queue) [[unlikely]]
    return fly_on(net, cpu, sk, plan, run, code);
  StraightXmit xmit(net, cpu, dev, txq, queue);
  SkbPtr skb;
  std::uint16_t id = next_id(net, sk, plan.id, run.size());
  const std::uint16_t step = plan.id != Plan::Id::zero ? 1 : 0;
  for (std::size_t i = 0; i < run.size(); ++i, id = static_cast<std::uint16_t>(id + step)) {
    skb.reset(make_skb(cpu, plan, run.subspan(i, 1), run[i].iov_len, id));
    if (!skb || !xmit.send(skb, i + 1 < run.size())) [[unlikely]]
      break;
  }
  const std::size_t sent = xmit.packets();
  count_shape(cpu, plan.sent_shape, sent, xmit.bytes() - sent * plan.header_len);
  if (!skb) [[likely]]
    return sent;
  return kept(net, cpu, sk, plan, queue, std::move(skb), xmit.asked(), code) ? sent + 1 : sent;
}

bool fly_pieces(Net& net, Cpu& cpu, Sock& sk, const Plan& plan, std::span<const iovec> pieces,
                std::size_t len, int& code) {
  touch_neighbour(net, plan);
  SkbPtr skb(make_skb(cpu, plan, pieces, len, next_id(net, sk, plan.id, 1)));
  if (!skb) return false;
  code = walk_on(net, cpu, sk, plan, std::move(skb), len);
  return code == 0;
}

SkbPtr reserve_frame(Net& net, std::size_t len) {
  constexpr std::size_t kBefore = kPlanHeadroom + kPlanIpUdp;
  Skb* skb = net.this_cpu().pool.take(kBefore + len);
  if (skb == nullptr) return nullptr;
  // What its owner and its end look at; the flight says the rest.
  skb->net = &net;
  skb->sk = nullptr;
  skb->frag_list = nullptr;
  skb->head = SkbPool::bytes_of(*skb);
  skb->data = skb->head + kBefore;
  skb->tail = skb->end = skb->data + len;
  return SkbPtr(skb);
}

int fly_frame(Net& net, Cpu& cpu, Sock& sk, const Plan& plan, SkbPtr skb, std::size_t len) {
  NetDevice& dev = *plan.skb.dev;
  TxQueue& txq = *dev.tx[plan.skb.queue_mapping];
  touch_neighbour(net, plan);
  if (plan.counter_count != 0) [[unlikely]]
    count_rules(plan, len);
  Csum sum = 0;
  if (plan.check == Plan::Check::software) sum = csum_partial({skb->data, len}, 0);
  dress_skb(cpu, plan, *skb, skb->head, kPlanIpUdp + len);
  plan_patch(plan, skb->head + kPlanHeadroom, next_id(net, sk, plan.id, 1), len, sum);
  if (!straight(cpu, plan)) return walk_on(net, cpu, sk, plan, std::move(skb), len);
  PastQueue queue(plan, txq);
  if (!queue) return walk_on(net, cpu, sk, plan, std::move(skb), len);
  StraightXmit xmit(net, cpu, dev, txq, queue);
  if (xmit.send(skb, false)) [[likely]] {
    count_shape(cpu, plan.sent_shape, 1, len);
    return 0;
  }
  int code = 0;
  kept(net, cpu, sk, plan, queue, std::move(skb), xmit.asked(), code);
  return code;
}

}  // namespace txp
