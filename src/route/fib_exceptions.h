// SPDX-License-Identifier: Apache-2.0
// Learnt path MTUs and redirects. Kernel twin: net/ipv4/route.c (struct fib_nh_exception).
#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <vector>

#include "route/route.h"

namespace txp {

class Net;

// Bounded; the oldest leaves. Thread safety: any thread.
class FibExceptions {
 public:
  explicit FibExceptions(Net& net);
  ~FibExceptions();
  // What `e` does not say of an MTU or a gateway stays as it was learnt before.
  void set(const RouteException& e);
  void set_all(const std::vector<RouteException>& all);
  // The exception for `daddr` through `gateway` on `oif`, when one has not expired.
  std::optional<RouteException> find(Ip4 daddr, Ip4 gateway, int oif) const {
    if (count_.load(std::memory_order_acquire) == 0) [[likely]]
      return std::nullopt;
    return search(daddr, gateway, oif);
  }
  std::vector<RouteException> all() const;

 private:
  std::optional<RouteException> search(Ip4 daddr, Ip4 gateway, int oif) const;
  struct Impl;
  std::unique_ptr<Impl> impl_;
  mutable std::atomic<std::size_t> count_{0};  // so that nobody takes the lock while there is none
};

}  // namespace txp
