// SPDX-License-Identifier: Apache-2.0
// The forwarding tables. Kernel twins: net/ipv4/fib_trie.c, net/ipv4/fib_semantics.c.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>

#include "base/result.h"
#include "route/route.h"

namespace txp {

class Net;
struct NetDevice;

// Every table of a Net. Readers inside an RcuReader; writers with net.rtnl held.
class FibTables {
 public:
  explicit FibTables(Net& net);
  ~FibTables();

  // NLM_F_CREATE|NLM_F_APPEND, as a dump or `ip route append` gives it. A route's flags (dead,
  // linkdown) are as given; the kernel has judged them. A route that is there already stays once,
  // and takes over the flags.
  [[nodiscard]] Result<void> add(const Route& route);
  // `ip route replace`: takes the place of the first with the same prefix, tos and priority.
  [[nodiscard]] Result<void> replace(const Route& route);
  // The first that matches prefix, tos, priority, type, scope, protocol and next hops where given.
  // Not given: type unspec, scope nowhere, and zero or empty otherwise.
  bool remove(const Route& route);
  // Whether a route with the same table, prefix, tos and priority is there.
  bool occupied(const Route& route) const;
  // fib_sync_down_dev() and fib_flush(): a device went down, or is gone altogether. Its hops die,
  // and the routes left without a living one go; of a gone device all go that have a hop there. The
  // routes of scope host, our own addresses, stay when it is only down.
  void flush_dev(int ifindex, bool gone);
  void clear();

  std::size_t size() const;    // routes
  std::size_t memory() const;  // bytes held for them
  void for_each(const std::function<void(const Route&)>& visit) const;

  struct Impl;
  Impl& impl() const { return *impl_; }

 private:
  std::unique_ptr<Impl> impl_;
};

}  // namespace txp
