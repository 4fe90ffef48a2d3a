// SPDX-License-Identifier: Apache-2.0
// A full ring, or a byte limit that is reached, stops the queue, so that what follows waits in the
// discipline; what the wire has taken wakes it. Frames in the ring count as queued.
// Drops: what is in the ring when the driver goes (DEV_READY).
#include "drivers/link_rate.h"

#include <algorithm>
#include <charconv>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "base/spinlock.h"
#include "dev/netdevice.h"
#include "net.h"
#include "softirq/net_tx_action.h"

namespace txp {
namespace {

class LinkRateDriver final : public Driver {
 public:
  LinkRateDriver(std::unique_ptr<Driver> inner, const LinkRateOptions& o)
      : inner_(std::move(inner)), bits_per_second_(o.mbit * 1e6), ring_(o.slots) {
    timer_.arg = this;
    timer_.function = [](Net& net, Timer& t) { static_cast<LinkRateDriver*>(t.arg)->sent(net); };
  }
  ~LinkRateDriver() override {
    if (net_ == nullptr) return;
    net_->timers.del(timer_);
    while (count_ > 0) {
      release_taken(*net_, *dev_, 1);
      drop_taken(*net_, *dev_, pop(), DropReason::DEV_READY);
    }
  }

  DriverFeatures features() const override {
    DriverFeatures f = inner_->features();
    f.lltx = false;
    f.batch = true;
    return f;
  }

  NetdevTx ndo_start_xmit(Net& net, NetDevice& dev, unsigned queue, SkbPtr& skb, bool) override {
    net_ = &net;
    dev_ = &dev;
    skb->queue_mapping = static_cast<std::uint16_t>(queue);
    const std::lock_guard guard(lock_);
    if (count_ == ring_.size()) {
      dev.tx[queue]->stopped.store(true, std::memory_order_release);
      ++busy_;
      return NetdevTx::busy;
    }
    netdev_tx_sent_queue(*dev.tx[queue], skb->len);
    hold_taken(net, dev, 1);
    ring_[(head_ + count_++) % ring_.size()] = skb.release();
    if (count_ == 1) start(net, net.clock.now());
    return NetdevTx::ok;
  }

  std::size_t poll(Net& net, NetDevice& dev, std::size_t budget) override {
    return inner_->poll(net, dev, budget);
  }
  int fd() const override { return inner_->fd(); }
  std::vector<std::pair<std::string, std::uint64_t>> stats() const override {
    auto all = inner_->stats();
    const std::lock_guard guard(lock_);
    all.emplace_back("rate_busy", busy_);
    all.emplace_back("rate_ring", count_);
    return all;
  }

 private:
  // The head goes onto the wire at `from`.
  void start(Net& net, Nanos from) {
    const double ns = static_cast<double>(ring_[head_]->len) * 8e9 / bits_per_second_;
    done_ = from + static_cast<Nanos>(ns);
    net.timers.mod(timer_, done_);
  }
  SkbPtr pop() {
    SkbPtr skb(std::exchange(ring_[head_], nullptr));
    head_ = (head_ + 1) % ring_.size();
    --count_;
    return skb;
  }

  // The wire has taken the head.
  void sent(Net& net) {
    NetDevice& dev = *dev_;
    unsigned queue = 0;
    {
      const std::lock_guard guard(lock_);
      if (count_ == 0) return;
      queue = ring_[head_]->queue_mapping;
    }
    TxQueue& txq = *dev.tx[queue];
    std::uint32_t len = 0;
    {
      const HardTxLock lock(net.this_cpu(), dev, txq);
      const std::lock_guard guard(lock_);
      SkbPtr skb = pop();
      len = skb->len;
      release_taken(net, dev, 1);
      if (inner_->ndo_start_xmit(net, dev, queue, skb, count_ > 0) != NetdevTx::ok)
        drop_taken(net, dev, std::move(skb), DropReason::FULL_RING);
      if (count_ > 0) start(net, done_);  // one after the other, however late the timer
    }
    netdev_tx_completed_queue(net, txq, len);
    for (const auto& q : dev.tx) netif_tx_wake_queue(net, *q);
  }

  const std::unique_ptr<Driver> inner_;
  const double bits_per_second_;
  mutable Spinlock lock_;  // of the ring; inside the queue's transmit lock
  std::vector<Skb*> ring_;
  std::size_t head_ = 0;
  std::size_t count_ = 0;
  std::uint64_t busy_ = 0;
  Nanos done_ = 0;  // when the head is through
  Timer timer_;
  Net* net_ = nullptr;  // of the last frame
  NetDevice* dev_ = nullptr;
};

}  // namespace

Result<LinkRateOptions> LinkRateOptions::parse(std::string_view text) {
  LinkRateOptions o;
  for (std::string_view rest = text; !rest.empty();) {
    const std::size_t comma = rest.find(',');
    const std::string_view item = rest.substr(0, comma);
    rest = comma == std::string_view::npos ? std::string_view{} : rest.substr(comma + 1);
    const std::size_t equals = item.find('=');
    const std::string_view key = item.substr(0, equals);
    const std::string_view value =
        equals == std::string_view::npos ? std::string_view{} : item.substr(equals + 1);
    const auto read = [&](auto& to) {
      const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), to);
      return error == std::errc() && end == value.data() + value.size();
    };
    const bool good = key == "mbit"    ? read(o.mbit) && o.mbit >= 0.001 && o.mbit <= 1e6
                      : key == "slots" ? read(o.slots) && o.slots >= 1 && o.slots <= 65536
                                       : false;
    if (!good)
      return fail("rate: \"" + std::string(item) +
                  "\": use mbit=0.001...1000000 and slots=1...65536");
  }
  return o;
}

std::unique_ptr<Driver> make_link_rate(std::unique_ptr<Driver> inner,
                                       const LinkRateOptions& options) {
  return std::make_unique<LinkRateDriver>(std::move(inner), options);
}

Result<std::unique_ptr<Driver>> make_link_rate(std::unique_ptr<Driver> inner,
                                               std::string_view options) {
  const auto o = LinkRateOptions::parse(options);
  if (!o) return std::unexpected(o.error());
  return make_link_rate(std::move(inner), *o);
}

}  // namespace txp
