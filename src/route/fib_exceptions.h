// SPDX-License-Identifier: Apache-2.0
// Learnt path MTUs. Kernel twin: net/ipv4/route.c (struct fib_nh_exception).
#pragma once

#include <memory>
#include <vector>

#include "route/route.h"

namespace txp {

class Net;

// Bounded; the oldest leaves. Thread safety: any thread.
class FibExceptions {
 public:
  explicit FibExceptions(Net& net);
  ~FibExceptions();
  void set(const RouteException& e);
  void set_all(const std::vector<RouteException>& all);
  // The exception for `daddr` through `gateway` on `oif`, when one has not expired.
  bool find(Ip4 daddr, Ip4 gateway, int oif, RouteException& found) const;
  std::vector<RouteException> all() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace txp
