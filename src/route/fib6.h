// SPDX-License-Identifier: Apache-2.0
// The IPv6 forwarding tables, learnt path MTUs and address labels. Kernel twins:
// net/ipv6/ip6_fib.c, net/ipv6/addrlabel.c.
//
// Differs: a table is an immutable list by prefix length, made anew when a route changes and
// published whole; a lookup asks the lengths that there are, the longest first. No subtrees: a
// lookup that comes to a source-specific route is unknown.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "base/rcu.h"
#include "base/result.h"
#include "route/route6.h"
#include "route/rt6.h"

namespace txp {

class Net;

// struct fib6_info with its siblings: one route, all its next hops.
struct Fib6Info {
  Route6 route;
  std::vector<int> upper_bound;  // fib_nh_upper_bound by next hop (rt6_multipath_rebalance())
};

// struct fib6_node that has routes: those of one prefix, by metric, equals as they came.
struct Fib6Node {
  Ip6 addr;
  std::vector<Fib6Info> leaf;
};

struct Fib6Table {
  struct Level {
    std::uint8_t len = 0;
    std::vector<Fib6Node> nodes;  // by address
  };
  std::uint32_t id = 0;
  std::vector<Level> levels;  // the longest first
};

// Every table of a Net. Readers inside an RcuReader; writers with net.rtnl held.
class Fib6Tables {
 public:
  explicit Fib6Tables(Net& net);
  ~Fib6Tables();

  // All routes, in the kernel's order.
  void set_all(std::vector<Route6> routes);
  void add(const Route6& route);
  bool remove(const Route6& route);
  std::vector<Route6> all() const;

  const Fib6Table* get_table(std::uint32_t id) const;  // null: none

  // Learnt path MTUs. Any thread.
  void set_exception(const RouteException6& e);
  void set_exceptions(std::vector<RouteException6> all);
  bool find_exception(const Ip6& daddr, const Ip6& gateway, int oif, RouteException6& found) const;

  // The policy table of RFC 6724, longest prefix first (net/ipv6/addrlabel.c).
  void set_labels(std::vector<AddrLabel> labels);
  const std::vector<AddrLabel>& labels() const { return *labels_; }

 private:
  struct Tables;
  void publish(std::vector<Route6> routes);
  Net& net_;
  RcuPtr<const Tables> tables_;
  RcuPtr<const std::vector<AddrLabel>> labels_;
  mutable std::mutex exceptions_mutex_;
  std::vector<RouteException6> exceptions_;
};

// struct fib6_result.
struct Fib6Result {
  const Fib6Info* f6i = nullptr;  // null: the null entry
  const NextHop6* nh = nullptr;   // null: a reject route without a device
  RouteType type = RouteType::unspec;
  bool reject = false;  // RTF_REJECT
  NextHop6 object{};    // of a next-hop object: what `nh` points at
};

struct NamedObject;

// fib6_table_lookup(): what `fl6` meets in a table. False: unknown, and `why` says so when not
// null.
[[nodiscard]] bool fib6_table_lookup(Net& net, const Fib6Table& table, int oif, const Flow6& fl6,
                                     int strict, Fib6Result& res, NamedObject* why);
// fib6_select_path(): which of several next hops. False as above.
[[nodiscard]] bool fib6_select_path(Net& net, Fib6Result& res, Flow6& fl6, int oif,
                                    bool have_oif_match, int strict, NamedObject* why);
// rt6_score_route(): negative: not to be used.
int rt6_score_route(Net& net, const NextHop6& nh, std::uint8_t pref, int oif, int strict);
// ip6_rt_type_to_error().
int ip6_rt_type_to_error(RouteType type);

}  // namespace txp
