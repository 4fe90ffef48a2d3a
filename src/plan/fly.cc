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
#include "udp/udp_table.h"

namespace txp {
namespace {

// The payload to `to`; its sum when the engine does the checksum.
Csum take_payload(const Plan& plan, const MsgHdr& msg, std::uint8_t* to, std::size_t len) {
  if (msg.iov.size() == 1) [[likely]] {
    const auto* base = static_cast<const std::uint8_t*>(msg.iov.front().iov_base);
    if (plan.check == Plan::Check::software) return csum_partial_copy({base, len}, to, 0);
    std::memcpy(to, base, len);
    return 0;
  }
  IovReader from(msg.iov);
  if (plan.check == Plan::Check::software) return from.csum_and_copy(to, len);
  from.copy(to, len);
  return 0;
}

// The datagram as the walk would have it at the device; null: no memory.
Skb* make_skb(Cpu& cpu, const Plan& plan, const MsgHdr& msg, std::size_t len, std::uint16_t id) {
  Skb* skb = blank_skb(cpu, plan, kPlanIpUdp + len);
  if (skb == nullptr) [[unlikely]]
    return nullptr;
  if (plan.counter_count != 0) [[unlikely]]
    count_rules(plan, len);
  const Csum sum = take_payload(plan, msg, skb->data + plan.header_len, len);
  plan_patch(plan, skb->network(), id, len, sum);
  return skb;
}

// The end of a frame that a device without a queue did not take; `asked`: its driver was. The
// call's errno.
[[gnu::noinline]] int refused(Net& net, Cpu& cpu, const Sock& sk, const Plan& plan, SkbPtr skb,
                              bool asked) {
  FlightShape& shape = cpu.shapes[plan.shape];
  shape.packets.add();
  shape.bytes.add(skb->len - plan.header_len);
  if (asked) count_xmit(cpu, skb->len);
  const TxResult result = drop_noqueue(net, std::move(skb), *plan.skb.dev, DropReason::DEV_READY);
  return udp_sent(net, ip_sent(net, result), sk.recverr);
}

// Past the device's discipline, or by what else is in the way, the frame walks. The call's errno.
int fly_walking_on(Net& net, Cpu& cpu, Sock& sk, const Plan& plan, const MsgHdr& msg,
                   std::size_t len, NetDevice& dev, TxQueue& txq) {
  SkbPtr skb(make_skb(cpu, plan, msg, len, next_id(net, sk, plan.id, 1)));
  if (!skb) return ENOBUFS;
  skb->truesize = plan_truesize(net, kPlanIpUdp + len);
  skb_set_owner_w(*skb, sk);
  FlightShape& shape = cpu.shapes[plan.shape];
  shape.packets.add();
  shape.bytes.add(len);
  const bool recverr = sk.recverr;  // the skb, and with it the charge, may be gone below
  const TxResult result = dev_queue_xmit_txq(net, std::move(skb), dev, txq);
  return udp_sent(net, ip_sent(net, result), recverr);
}

}  // namespace

std::size_t fly(Net& net, Cpu& cpu, Sock& sk, const Plan& plan, std::span<const MsgHdr> run,
                int& code) {
  if (plan.parts > 1) [[unlikely]]
    return fly_fragments(net, cpu, sk, plan, run.front(), run.front().len(), code) ? 1 : 0;
  NetDevice& dev = *plan.skb.dev;
  TxQueue& txq = *dev.tx[plan.skb.queue_mapping];
  // neigh_event_send()
  if (plan.in_doubt != nullptr) [[unlikely]]
    plan.in_doubt->used.store(net.clock.now(), std::memory_order_relaxed);
  std::size_t tried = 0;
  std::size_t bytes = 0;
  bool busy = false;
  if (!straight(cpu, dev, txq)) {
    do {
      code = fly_walking_on(net, cpu, sk, plan, run[tried], run[tried].len(), dev, txq);
      if (code != 0) return tried;
    } while (++tried < run.size() && socket_may_fly(sk));
    return tried;
  }
  SkbPtr skb;
  bool stopped = false;
  {
    std::uint16_t id = next_id(net, sk, plan.id, run.size());
    const HardTxLock lock(cpu, dev, txq);
    ++cpu.xmit_recursion;
    while (tried < run.size() && !busy) {
      const std::size_t len = run[tried].len();
      skb.reset(make_skb(cpu, plan, run[tried], len, id));
      if (!skb) [[unlikely]]
        break;
      if (plan.id != Plan::Id::zero) ++id;
      ++tried;
      stopped = txq.xoff();
      busy = stopped || !xmit(net, cpu, skb, dev, txq, tried < run.size());
      if (!busy) [[likely]]
        bytes += len;
    }
    --cpu.xmit_recursion;
  }
  const std::size_t sent = tried - (busy ? 1 : 0);
  FlightShape& shape = cpu.shapes[plan.sent_shape];
  shape.packets.add(sent);
  shape.bytes.add(bytes);
  if (busy) [[unlikely]]
    code = refused(net, cpu, sk, plan, std::move(skb), !stopped);
  return sent;
}

}  // namespace txp
