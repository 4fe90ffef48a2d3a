// SPDX-License-Identifier: Apache-2.0
// The inside of the output route lookup. Kernel twin: net/ipv4/route.c.
#pragma once

#include <optional>

#include "base/result.h"
#include "route/fib_lookup.h"
#include "route/route.h"

namespace txp {

// What a walk remembers of its lookup, for the trace. Kept only while one is asked for.
struct OutputStory {
  FibLookupTrace lookup;
  std::optional<NamedObject> unknown;  // what the engine does not implement
  bool on_link = false;                // no route, but a device was given
  bool source_chosen = false;          // an address of ours was looked for
  std::optional<RouteException> exception;
};

// ip_route_output_key_hash_rcu(). `story` may be null. `res` gets what decided, also on an error.
[[nodiscard]] SockResult<Rtable> ip_route_output_key_hash(Net& net, Flow4& fl4, FibResult& res,
                                                          OutputStory* story);
// __mkroute_output(). `local`: RTCF_LOCAL.
[[nodiscard]] SockResult<Rtable> mkroute_output(Net& net, const FibResult& res, const Flow4& fl4,
                                                int orig_oif, NetDevice& dev, bool local,
                                                OutputStory* story);

// Whether IPv4 runs on a device at all (__in_dev_get_rcu()): not under an MTU of 68 bytes.
bool has_in_dev(const NetDevice& dev);

}  // namespace txp
