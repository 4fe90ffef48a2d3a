// SPDX-License-Identifier: Apache-2.0
// The CoDel law (RFC 8289): drops at the head of a queue whose packets have waited longer than
// `target` for a whole `interval`, and then ever more often.
// Kernel twin: include/net/codel.h, include/net/codel_impl.h; times are its: 32 bits of 1024 ns.
//
//   state      packet below target         above target, next drop not due   drop due
//   calm       calm                        calm; dropping after an interval   -
//   dropping   calm                        dropping                           drop or mark, sooner
//   next
#pragma once

#include <algorithm>
#include <cstdint>

#include "base/clock.h"
#include "sched/ecn.h"
#include "skb/skb.h"

namespace txp {

using CodelTime = std::uint32_t;
constexpr CodelTime codel_time(Nanos ns) {
  return static_cast<CodelTime>(static_cast<std::uint64_t>(ns) >> 10);
}
constexpr CodelTime codel_us(std::uint32_t us) {
  return static_cast<CodelTime>(std::uint64_t{us} * 1000 >> 10);
}
constexpr bool codel_after(CodelTime a, CodelTime b) {
  return static_cast<std::int32_t>(a - b) > 0;
}

struct CodelParams {
  CodelTime target = codel_us(5000);
  CodelTime ce_threshold = 0x7fffffff;  // CODEL_DISABLED_THRESHOLD
  CodelTime interval = codel_us(100000);
  std::uint32_t mtu = 0;  // bytes: a queue no longer than this is never dropped from
  bool ecn = false;
  std::uint8_t ce_threshold_selector = 0;
  std::uint8_t ce_threshold_mask = 0;
};

struct CodelStats {
  std::uint32_t maxpacket = 256;
  std::uint32_t drop_count = 0;  // of the dequeue() under way
  std::uint64_t drop_len = 0;
  std::uint64_t ecn_mark = 0;
  std::uint64_t ce_mark = 0;
};

class Codel {
 public:
  // `next` takes the queue's head, out of `backlog` too; `discard` drops one.
  template <typename Next, typename Discard>
  SkbPtr dequeue(Nanos now_ns, const CodelParams& p, CodelStats& st, const std::uint32_t& backlog,
                 Next&& next, Discard&& discard) {
    const CodelTime now = codel_time(now_ns);
    SkbPtr skb = next();
    if (!skb) {
      dropping_ = false;
      return skb;
    }
    const auto kill = [&] {
      st.drop_len += skb->pkt_len;
      ++st.drop_count;
      discard(std::move(skb));
      skb = next();
    };
    bool drop = should_drop(skb.get(), now, p, st, backlog);
    if (dropping_) {
      if (!drop) dropping_ = false;
      while (dropping_ && !codel_after(drop_next_, now)) {
        ++count;
        newton_step();
        if (p.ecn && inet_ecn_set_ce(*skb)) {
          ++st.ecn_mark;
          drop_next_ = control_law(drop_next_, p.interval);
          break;
        }
        kill();
        if (!should_drop(skb.get(), now, p, st, backlog))
          dropping_ = false;
        else
          drop_next_ = control_law(drop_next_, p.interval);
      }
    } else if (drop) {
      if (p.ecn && inet_ecn_set_ce(*skb)) {
        ++st.ecn_mark;
      } else {
        kill();
        (void)should_drop(skb.get(), now, p, st, backlog);
      }
      dropping_ = true;
      // Soon after the last time: the rate that held the queue then is a good start now.
      const std::uint32_t delta = count - lastcount_;
      if (delta > 1 && static_cast<std::int32_t>(now - drop_next_ - 16 * p.interval) < 0) {
        count = delta;
        newton_step();
      } else {
        count = 1;
        rec_inv_sqrt_ = 0xffff;
      }
      lastcount_ = count;
      drop_next_ = control_law(now, p.interval);
    }
    if (skb && codel_after(ldelay_, p.ce_threshold) && ce_selected(*skb, p) &&
        inet_ecn_set_ce(*skb))
      ++st.ce_mark;
    return skb;
  }

  std::uint32_t count = 0;  // drops in this dropping state
  bool dropping() const { return dropping_; }
  CodelTime ldelay() const { return ldelay_; }

 private:
  bool should_drop(const Skb* skb, CodelTime now, const CodelParams& p, CodelStats& st,
                   const std::uint32_t& backlog) {
    if (skb == nullptr) {
      first_above_time_ = 0;
      return false;
    }
    ldelay_ = now - codel_time(skb->qdisc_time);
    st.maxpacket = std::max(st.maxpacket, skb->pkt_len);
    if (static_cast<std::int32_t>(ldelay_ - p.target) < 0 || backlog <= p.mtu) {
      first_above_time_ = 0;
      return false;
    }
    if (first_above_time_ == 0) {
      first_above_time_ = now + p.interval;
      return false;
    }
    return codel_after(now, first_above_time_);
  }
  // One step towards 1/sqrt(count), in 16 bits of fraction.
  void newton_step() {
    const std::uint32_t inv = std::uint32_t{rec_inv_sqrt_} << 16;
    const auto inv2 = static_cast<std::uint32_t>((std::uint64_t{inv} * inv) >> 32);
    std::uint64_t val = (std::uint64_t{3} << 32) - std::uint64_t{count} * inv2;
    val >>= 2;  // leaves room for the next multiplication
    val = (val * inv) >> (32 - 2 + 1);
    rec_inv_sqrt_ = static_cast<std::uint16_t>(val >> 16);
  }
  CodelTime control_law(CodelTime t, CodelTime interval) const {
    const std::uint32_t inv = std::uint32_t{rec_inv_sqrt_} << 16;
    return t + static_cast<CodelTime>((std::uint64_t{interval} * inv) >> 32);
  }
  static bool ce_selected(const Skb& skb, const CodelParams& p) {
    if (p.ce_threshold_mask == 0) return true;
    return (skb.network()[1] & p.ce_threshold_mask) == p.ce_threshold_selector;
  }

  std::uint32_t lastcount_ = 0;
  bool dropping_ = false;
  std::uint16_t rec_inv_sqrt_ = 0;
  CodelTime first_above_time_ = 0;
  CodelTime drop_next_ = 0;
  CodelTime ldelay_ = 0;
};

}  // namespace txp
