// SPDX-License-Identifier: Apache-2.0
// A flight of a datagram larger than one MTU: the payload is copied into its fragments while it is
// summed, and they leave one after the other.
//
// Kernel twin: none; it does what ip_append_data(), ip_do_fragment() and what is below them do.
// Drops: as ip_do_fragment(): TXPATH_FRAG_SIBLING, when the device refused one before.
#include <algorithm>
#include <array>

#include "ip/ip.h"
#include "neigh/neighbour.h"
#include "plan/flight.h"
#include "udp/udp_table.h"

namespace txp {
namespace {

struct Fragments {
  std::array<Skb*, kPlanMostParts> skb;
  std::size_t count = 0;
  std::uint32_t truesize = 0;  // of all but the last

  ~Fragments() {
    for (std::size_t i = 0; i < count; ++i)
      if (skb[i] != nullptr) free_skb(SkbPtr(skb[i]));
  }
  SkbPtr take(std::size_t i) { return SkbPtr(std::exchange(skb[i], nullptr)); }
};

// Bytes behind the IP header of fragment `i`.
std::size_t part_len(const Plan& plan, std::size_t i, std::size_t len) {
  const std::size_t part = plan_part(plan.max_payload);
  return i + 1 < plan.parts ? part : len + kUdpHlen - i * part;
}

bool make(Cpu& cpu, const Plan& plan, std::span<const iovec> pieces, std::size_t len,
          std::uint16_t id, Fragments& f) {
  PayloadReader from(pieces);
  Csum sum = 0;
  std::size_t offset = 0;
  std::uint32_t truesize = plan_truesize(*plan.skb.net, kIpHlen + plan_part(plan.max_payload));
  for (std::size_t i = 0; i < plan.parts; ++i) {
    const bool last = i + 1 == plan.parts;
    const std::size_t part = part_len(plan, i, len);
    const std::size_t udp = i == 0 ? kUdpHlen : 0;
    Skb* skb = blank_skb(cpu, plan, kIpHlen + part, kUdpHlen - udp);
    if (skb == nullptr) [[unlikely]]
      return false;
    f.skb[f.count++] = skb;
    if (last)
      truesize = plan_truesize(*plan.skb.net, kIpHlen + part);
    else
      f.truesize += truesize;
    skb->truesize = truesize;
    std::uint8_t* const ip = skb->head + kPlanHeadroom;
    // Every part begins at an even byte.
    sum = csum_add(sum, from.take(plan, ip + kIpHlen + udp, part - udp));
    const std::uint16_t more = last ? 0 : kIpMf;
    plan_patch_fragment(plan, ip, id, part, static_cast<std::uint16_t>(offset >> 3 | more));
    offset += part;
  }
  plan_patch_udp(plan, f.skb[0]->head + kPlanHeadroom + kIpHlen, len, sum);
  return true;
}

// Those from `first` on by way of the discipline; answers how many it took, and of the next why
// not.
std::size_t send_on(Net& net, Sock& sk, const Plan& plan, Fragments& f, std::size_t first,
                    TxResult& result) {
  NetDevice& dev = *plan.skb.dev;
  TxQueue& txq = *dev.tx[plan.skb.queue_mapping];
  for (std::size_t i = first; i < f.count; ++i) skb_set_owner_w(*f.skb[i], sk);
  for (std::size_t i = first; i < f.count; ++i) {
    result = dev_queue_xmit_txq(net, f.take(i), dev, txq);
    if (!result.ok()) return i - first;
  }
  return f.count - first;
}

// Sends them in order; answers how many the device took, and of the next why not.
std::size_t send(Net& net, Cpu& cpu, Sock& sk, const Plan& plan, Fragments& f, TxResult& result) {
  NetDevice& dev = *plan.skb.dev;
  TxQueue& txq = *dev.tx[plan.skb.queue_mapping];
  if (!straight(cpu, plan)) return send_on(net, sk, plan, f, 0, result);
  PastQueue queue(plan, txq);
  if (!queue) return send_on(net, sk, plan, f, 0, result);
  SkbPtr left;  // by the driver
  std::size_t sent;
  {
    StraightXmit xmit(net, cpu, dev, txq, queue);
    for (std::size_t i = 0; i < f.count && !left; ++i) {
      left = f.take(i);
      static_cast<void>(xmit.send(left, false));
    }
    sent = xmit.packets();
    const std::uint64_t more = left ? left->len : 0;
    const std::uint64_t asked = xmit.asked() ? 1 : 0;
    count_stages(cpu, kDriverStages, sent + asked, xmit.bytes() + asked * more);
    if (plan.way == Plan::Way::past_queue)
      count_stages(cpu, kQueueStages, sent + (left ? 1 : 0), xmit.bytes() + more);
  }
  if (!left) [[likely]]
    return sent;
  if (plan.way != Plan::Way::past_queue) {
    result = drop_noqueue(net, std::move(left), dev, DropReason::DEV_READY);
    return sent;
  }
  skb_set_owner_w(*left, sk);
  queue.requeue(net, txq, std::move(left));
  queue.leave();
  ++sent;
  return sent + send_on(net, sk, plan, f, sent, result);
}

}  // namespace

bool fly_fragments(Net& net, Cpu& cpu, Sock& sk, const Plan& plan, std::span<const iovec> pieces,
                   std::size_t len, int& code) {
  Fragments f;
  if (!make(cpu, plan, pieces, len, next_id(net, sk, plan.id, 1), f)) return false;
  // alloc_later_part() looks at what the parts before have been charged.
  const std::uint64_t limit =
      2 * static_cast<std::uint64_t>(sk.sndbuf.load(std::memory_order_relaxed));
  if (sk.wmem_alloc.load(std::memory_order_relaxed) + f.truesize > limit) return false;
  touch_neighbour(net, plan);
  count_rules(plan, len);
  const bool recverr = sk.recverr;
  TxResult result = TxResult::success();
  const std::size_t sent = send(net, cpu, sk, plan, f, result);
  const std::size_t tried = std::min(sent + 1, f.count);
  const std::size_t part = plan_part(plan.max_payload);
  const std::size_t later =  // bytes of the later fragments that were tried
      tried == f.count ? len + kUdpHlen - part : (tried - 1) * part;
  count_shape(cpu, plan.shape, 1, len);
  count_shape(cpu, plan.part_shape, tried - 1, later);
  if (result.ok()) [[likely]] {
    count_shape(cpu, plan.tail_shape, 1, 0);
    cpu.counters.at(Snmp::UdpOutDatagrams).add();
    return true;
  }
  for (std::size_t i = tried; i < f.count; ++i) {
    born(net);
    drop(net, Stage::ip_finish_output, f.take(i), DropReason::TXPATH_FRAG_SIBLING);
  }
  snmp(net, Snmp::IpFragFails);
  code = udp_sent(net, ip_sent(net, result), recverr);
  return code == 0;
}

}  // namespace txp
