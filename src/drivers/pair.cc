// SPDX-License-Identifier: Apache-2.0
// Kernel twin: drivers/net/veth.c, veth_xmit(), veth_poll().
// Differs: the peer receives when its Net polls; a full ring is BUSY (veth drops). Drops: DEV_READY
// when the other end is gone.
#include "drivers/pair.h"

#include <mutex>
#include <vector>

#include "dev/netdevice.h"
#include "net.h"
#include "softirq/net_tx_action.h"

namespace txp {
namespace {

// One direction: a ring of frames, each slot keeping its memory.
class Ring {
 public:
  explicit Ring(std::size_t slots) : slots_(slots == 0 ? 1 : slots) {}

  enum class Put : std::uint8_t { ok, full, closed };
  Put put(const Skb& skb) {
    const std::lock_guard guard(mutex_);
    if (closed_) return Put::closed;
    if (count_ == slots_.size()) return Put::full;
    std::vector<std::uint8_t>& slot = slots_[(head_ + count_) % slots_.size()];
    const auto bytes = skb.bytes();
    slot.assign(bytes.begin(), bytes.end());
    ++count_;
    return Put::ok;
  }
  // Swaps the oldest frame into `frame`; false when there is none.
  bool take(std::vector<std::uint8_t>& frame) {
    const std::lock_guard guard(mutex_);
    if (count_ == 0) return false;
    frame.swap(slots_[head_]);
    head_ = (head_ + 1) % slots_.size();
    --count_;
    return true;
  }
  bool has_room() const {
    const std::lock_guard guard(mutex_);
    return closed_ || count_ < slots_.size();
  }
  void close() {
    const std::lock_guard guard(mutex_);
    closed_ = true;
    count_ = 0;
  }

 private:
  mutable std::mutex mutex_;
  std::vector<std::vector<std::uint8_t>> slots_;
  std::size_t head_ = 0;
  std::size_t count_ = 0;
  bool closed_ = false;
};

class PairDriver final : public Driver {
 public:
  PairDriver(std::shared_ptr<Ring> out, std::shared_ptr<Ring> in)
      : out_(std::move(out)), in_(std::move(in)) {}
  ~PairDriver() override {
    in_->close();
    out_->close();
  }

  NetdevTx ndo_start_xmit(Net& net, NetDevice& dev, unsigned queue, SkbPtr& skb, bool) override {
    switch (out_->put(*skb)) {
      case Ring::Put::ok: consume(std::move(skb)); return NetdevTx::ok;
      case Ring::Put::closed:
        drop_taken(net, dev, std::move(skb), DropReason::DEV_READY);
        return NetdevTx::ok;
      case Ring::Put::full: break;
    }
    std::atomic<bool>& stopped = dev.tx[queue]->stopped;
    stopped.store(true, std::memory_order_release);
    if (out_->has_room()) stopped.store(false, std::memory_order_release);  // the peer was quick
    return NetdevTx::busy;
  }

  std::size_t poll(Net& net, NetDevice& dev, std::size_t budget) override {
    std::size_t done = 0;
    if (const std::unique_lock guard(receive_mutex_, std::try_to_lock); guard.owns_lock())
      for (; done < budget && in_->take(frame_); ++done) netif_receive_frame(net, dev, frame_);
    if (out_->has_room())
      for (const auto& txq : dev.tx)
        if (txq->stopped.load(std::memory_order_acquire)) {
          netif_tx_wake_queue(net, *txq);
          ++done;
        }
    return done;
  }

 private:
  std::shared_ptr<Ring> out_;
  std::shared_ptr<Ring> in_;
  std::mutex receive_mutex_;  // one thread receives, so that frames keep their order
  std::vector<std::uint8_t> frame_;
};

}  // namespace

std::pair<std::unique_ptr<Driver>, std::unique_ptr<Driver>> make_pair_drivers(std::size_t slots) {
  auto there = std::make_shared<Ring>(slots);
  auto back = std::make_shared<Ring>(slots);
  return {std::make_unique<PairDriver>(there, back), std::make_unique<PairDriver>(back, there)};
}

}  // namespace txp
