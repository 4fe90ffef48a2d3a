// SPDX-License-Identifier: Apache-2.0
// Next-hop objects (`ip nexthop`). Kernel twin: net/ipv4/nexthop.c.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "observe/trace.h"

namespace txp {

// Readers inside an RcuReader; writers with net.rtnl held.
class Nexthops {
 public:
  explicit Nexthops(Net& net);
  ~Nexthops();
  void set(const NexthopSpec& spec);  // adds or replaces; routes that use it follow at once
  void remove(std::uint32_t id);      // and the routes that use it, as the kernel does
  const NexthopSpec* find(std::uint32_t id) const;
  std::vector<NexthopSpec> all() const;

  struct Impl;
  Impl& impl() const;

 private:
  std::unique_ptr<Impl> impl_;
};

}  // namespace txp
