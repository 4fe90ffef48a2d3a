// SPDX-License-Identifier: Apache-2.0
// What flow plans rest on, as counts of changes. A table's writer publishes its change, then calls
// changed(); whoever sends after the writer's call sees the count.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>

#include "plan/reasons.h"

namespace txp {

// Thread safety: any thread.
class Generations {
 public:
  using Seen = std::array<std::uint32_t, kBasisCount>;

  void changed(Basis basis) {
    of_[static_cast<std::size_t>(basis)].fetch_add(1, std::memory_order_release);
    epoch_.fetch_add(1, std::memory_order_release);
  }
  // Counts every change, and is all that a flight looks at. Load it before seen(), and both before
  // the tables: what changes meanwhile then shows as a change, at worst as one too many.
  std::uint64_t epoch() const { return epoch_.load(std::memory_order_acquire); }
  Seen seen() const {
    Seen s;
    for (std::size_t i = 0; i < kBasisCount; ++i) s[i] = of_[i].load(std::memory_order_acquire);
    return s;
  }
  // A socket's state has changed, or is new: a number that no socket had before.
  std::uint64_t new_socket_state() { return sockets_.fetch_add(1, std::memory_order_relaxed); }

 private:
  alignas(64) std::atomic<std::uint64_t> epoch_{1};
  std::array<std::atomic<std::uint32_t>, kBasisCount> of_{};
  alignas(64) std::atomic<std::uint64_t> sockets_{1};
};

}  // namespace txp
