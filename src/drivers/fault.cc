// SPDX-License-Identifier: Apache-2.0
#include "drivers/fault.h"

#include <charconv>
#include <mutex>
#include <string>
#include <utility>

#include "base/random.h"
#include "dev/netdevice.h"
#include "net.h"
#include "wire/ethernet.h"

namespace txp {
namespace {

class FaultWrapper final : public Driver {
 public:
  FaultWrapper(Net& net, std::unique_ptr<Driver> inner, const FaultOptions& options)
      : net_(net), inner_(std::move(inner)), options_(options), random_(options.seed) {}

  ~FaultWrapper() override {
    if (!held_) return;
    release_taken(net_, *held_dev_, 1);
    drop_taken(net_, *held_dev_, std::move(held_), DropReason::TXPATH_FAULT_INJECTED);
  }

  DriverFeatures features() const override {
    DriverFeatures f = inner_->features();
    f.lltx = false;  // the lock guards the choices
    return f;
  }

  NetdevTx ndo_start_xmit(Net& net, NetDevice& dev, unsigned queue, SkbPtr& skb,
                          bool more) override {
    if (happens(options_.busy, busy_)) return NetdevTx::busy;
    if (happens(options_.drop, dropped_)) {
      drop_taken(net, dev, std::move(skb), DropReason::TXPATH_FAULT_INJECTED);
      release_held(net, dev, more);
      return NetdevTx::ok;
    }
    if (options_.reorder > 0 && hold_back(net, dev, skb, queue)) return NetdevTx::ok;

    SkbPtr twin;
    if (happens(options_.dup, duplicated_)) twin = skb_copy(net, *skb);
    if (skb->headlen() > kEthHlen && happens(options_.corrupt, corrupted_)) {
      const auto at =
          kEthHlen + random_.below(skb->headlen() - static_cast<std::uint32_t>(kEthHlen));
      skb->data[at] = static_cast<std::uint8_t>(skb->data[at] ^ (1U << random_.below(8)));
    }
    const NetdevTx result = inner_->ndo_start_xmit(net, dev, queue, skb, more || twin);
    if (result != NetdevTx::ok) {
      if (twin) free_skb(std::move(twin));
      return result;
    }
    if (twin) {
      born(net);
      delivered(net);
      if (inner_->ndo_start_xmit(net, dev, queue, twin, more) != NetdevTx::ok)
        drop_taken(net, dev, std::move(twin), DropReason::TXPATH_FAULT_INJECTED);
    }
    release_held(net, dev, more);
    return NetdevTx::ok;
  }

  std::size_t poll(Net& net, NetDevice& dev, std::size_t budget) override {
    return inner_->poll(net, dev, budget) + release_held(net, dev, false);
  }
  int fd() const override { return inner_->fd(); }
  std::vector<std::pair<std::string, std::uint64_t>> stats() const override {
    auto all = inner_->stats();
    const auto add = [&all](const char* what, const std::atomic<std::uint64_t>& n) {
      all.emplace_back(what, n.load(std::memory_order_relaxed));
    };
    add("fault_dropped", dropped_);
    add("fault_duplicated", duplicated_);
    add("fault_reordered", reordered_);
    add("fault_corrupted", corrupted_);
    add("fault_busy", busy_);
    return all;
  }

 private:
  bool happens(double probability, std::atomic<std::uint64_t>& count) {
    if (probability <= 0) return false;
    constexpr double kScale = 1.0 / 4294967296.0;
    if (static_cast<double>(random_.u32()) * kScale >= probability) return false;
    count.fetch_add(1, std::memory_order_relaxed);
    return true;
  }

  bool hold_back(Net& net, NetDevice& dev, SkbPtr& skb, unsigned queue) {
    const std::lock_guard guard(mutex_);
    if (held_ || !happens(options_.reorder, reordered_)) return false;
    held_ = std::move(skb);
    held_dev_ = &dev;
    held_queue_ = queue;
    hold_taken(net, dev, 1);
    return true;
  }

  // Sends what was held back; 1 when it went.
  std::size_t release_held(Net& net, NetDevice& dev, bool more) {
    if (options_.reorder <= 0) return 0;
    SkbPtr skb;
    unsigned queue = 0;
    {
      const std::lock_guard guard(mutex_);
      if (!held_) return 0;
      skb = std::move(held_);
      queue = held_queue_;
    }
    if (inner_->ndo_start_xmit(net, dev, queue, skb, more) == NetdevTx::ok) {
      release_taken(net, dev, 1);
      return 1;
    }
    const std::lock_guard guard(mutex_);
    if (!held_) {
      held_ = std::move(skb);
      return 0;
    }
    // Another one is held back by now.
    release_taken(net, dev, 1);
    drop_taken(net, dev, std::move(skb), DropReason::TXPATH_FAULT_INJECTED);
    return 1;
  }

  Net& net_;
  std::unique_ptr<Driver> inner_;
  const FaultOptions options_;
  Random random_;
  std::mutex mutex_;  // held_*
  SkbPtr held_;
  NetDevice* held_dev_ = nullptr;
  unsigned held_queue_ = 0;
  std::atomic<std::uint64_t> dropped_{0};
  std::atomic<std::uint64_t> duplicated_{0};
  std::atomic<std::uint64_t> reordered_{0};
  std::atomic<std::uint64_t> corrupted_{0};
  std::atomic<std::uint64_t> busy_{0};
};

}  // namespace

Result<FaultOptions> FaultOptions::parse(std::string_view text) {
  FaultOptions o;
  const struct {
    std::string_view key;
    double* value;
  } kKeys[] = {{"drop", &o.drop},
               {"dup", &o.dup},
               {"reorder", &o.reorder},
               {"corrupt", &o.corrupt},
               {"busy", &o.busy}};
  while (!text.empty()) {
    const std::size_t comma = text.find(',');
    const std::string_view item = text.substr(0, comma);
    text = comma == std::string_view::npos ? std::string_view{} : text.substr(comma + 1);
    const std::size_t eq = item.find('=');
    const std::string_view key = item.substr(0, eq);
    const std::string_view value =
        eq == std::string_view::npos ? std::string_view{} : item.substr(eq + 1);
    const char* end = value.data() + value.size();
    if (key == "seed") {
      const auto [stop, code] = std::from_chars(value.data(), end, o.seed);
      if (code != std::errc{} || stop != end || value.empty())
        return fail("fault(seed=" + std::string(value) + "): expected a whole number");
      continue;
    }
    bool known = false;
    for (const auto& k : kKeys) {
      if (k.key != key) continue;
      known = true;
      const auto [stop, code] = std::from_chars(value.data(), end, *k.value);
      if (code != std::errc{} || stop != end || value.empty() || !(*k.value >= 0) || *k.value > 1)
        return fail("fault(" + std::string(item) + "): expected a probability from 0 to 1");
    }
    if (!known)
      return fail("fault(" + std::string(item) +
                  "): use drop, dup, reorder, corrupt, busy or seed, each with =VALUE");
  }
  return o;
}

std::unique_ptr<Driver> make_fault(Net& net, std::unique_ptr<Driver> inner,
                                   const FaultOptions& options) {
  return std::make_unique<FaultWrapper>(net, std::move(inner), options);
}

Result<std::unique_ptr<Driver>> make_fault(Net& net, std::unique_ptr<Driver> inner,
                                           std::string_view options) {
  auto parsed = FaultOptions::parse(options);
  if (!parsed) return std::unexpected(parsed.error());
  return make_fault(net, std::move(inner), *parsed);
}

}  // namespace txp
