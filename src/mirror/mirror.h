// SPDX-License-Identifier: Apache-2.0
// Applies messages to a Net's tables: the one place where a namespace's state becomes the engine's.
// Import, notifications and snapshot files all come through apply().
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <unordered_set>
#include <utility>
#include <vector>

#include "base/result.h"
#include "mirror/decode.h"
#include "mirror/sysctl_tree.h"
#include "net.h"

namespace txp {

struct NetDevice;

// The parts of a namespace that are read again as a whole.
enum class MirrorPart : std::uint8_t {
  links,
  addrs,
  nexthops,
  rules,
  routes,
  exceptions,
  neighs,
  qdiscs,
  classes,
  filters,
  multicast,
  egress_hooks,
  nft,
  foreign_hooks,
  xfrm,
  obstacles,
  sysctls,
  xps,
  addrs6,
  rules6,
  routes6,
  exceptions6,
  multicast6,
  addrlabels,
  bridges,  // forwarding databases, ports and VLANs
};
inline constexpr std::size_t kMirrorPartCount = 25;

// Everything with net.rtnl held. Thread safety: none of its own.
class Mirror {
 public:
  explicit Mirror(Net& net);

  // One message. Its effect is in the tables after commit() at the latest. Errors: decode()'s, and
  // those of the tables.
  [[nodiscard]] Result<void> apply(const Message& message);
  [[nodiscard]] Result<void> apply(Decoded&& decoded);
  // Publishes what is gathered before it takes effect (qdiscs, filters, rulesets, sysctls) and
  // frees what was replaced.
  void commit();

  // Between begin() and end() come all the objects of a part; end() removes from the tables what
  // did not come, and changes only what differs. Without begin() objects are added one by one.
  void begin(MirrorPart part);
  void end(MirrorPart part);

  // The words for a snapshot's line.
  std::string text(const Message& message, const Decoded& decoded) const;

  // A follower's way: notifications about rules, addresses, disciplines, filters and memberships
  // only mark their part as stale, since their order or their list cannot be told from one message.
  void follow() { following_ = true; }
  // Set by apply() when a message hints that the kernel changed `part` without saying how; the one
  // who follows reads it again and clears it.
  bool stale(MirrorPart part) const { return stale_[static_cast<std::size_t>(part)]; }
  void set_stale(MirrorPart part, bool stale) { stale_[static_cast<std::size_t>(part)] = stale; }
  // Interfaces whose features must be asked for.
  std::vector<int> take_featureless() { return std::exchange(featureless_, {}); }

  std::size_t routes() const { return routes_seen_; }

 private:
  struct Device {
    std::vector<QdiscSpec> qdiscs;
    std::vector<ClassSpec> classes;
    std::vector<FilterSpec> filters;        // of clsact's egress
    std::vector<FilterSpec> qdisc_filters;  // of disciplines and classes
    std::vector<EgressHook> egress_hooks;
    std::vector<EgressHook> old_egress_hooks;  // from begin() to end()
    std::set<std::uint32_t> mc_groups;
    std::set<std::uint32_t> old_mc_groups;  // from begin() to end()
    DevFeatures features;
    std::vector<BridgeVlan> bridge_vlans;
    bool has_features = false;
    std::vector<std::vector<std::uint32_t>> xps_cpus;
    std::uint32_t real_num_tx_queues = 0;
    bool qdiscs_changed = false;
    bool filters_changed = false;
    bool mc_changed = false;
  };
  // What the routes that compete for a packet in an order have in common.
  struct RouteKey {
    std::uint32_t table;
    Prefix4 dst;
    std::uint8_t tos;
    std::uint32_t priority;
    friend auto operator<=>(const RouteKey&, const RouteKey&) = default;
  };
  static RouteKey key_of(const Route& r) { return {r.table, r.dst, r.tos, r.priority}; }

  Result<void> add(Link&& link, const Decoded& d);
  Result<void> add(InAddr&& addr, const Decoded& d);
  Result<void> add(Route&& route, const Decoded& d);
  Result<void> add(RouteException&& e, const Decoded& d);
  Result<void> add(FibRule&& rule, const Decoded& d);
  Result<void> add(NexthopSpec&& nexthop, const Decoded& d);
  Result<void> add(NeighSpec&& neigh, const Decoded& d);
  Result<void> add(QdiscSpec&& qdisc, const Decoded& d);
  Result<void> add(ClassSpec&& c, const Decoded& d);
  Result<void> add(FilterSpec&& filter, const Decoded& d);
  Result<void> add(McGroup&& group, const Decoded& d);
  Result<void> add(LinkFeatures&& features, const Decoded& d);
  Result<void> add(LinkXps&& xps, const Decoded& d);
  Result<void> add(SysctlValue&& value, const Decoded& d);
  Result<void> add(NftTable&& table, const Decoded& d);
  Result<void> add(NftChain&& chain, const Decoded& d);
  Result<void> add(NftRule&& rule, const Decoded& d);
  Result<void> add(NftSetSpec&& set, const Decoded& d);
  Result<void> add(NftElemsSpec&& elems, const Decoded& d);
  Result<void> add(NftObjectSpec&& object, const Decoded& d);
  Result<void> add(XfrmPolicy&& policy, const Decoded& d);
  Result<void> add(ForeignHook&& hook, const Decoded& d);
  Result<void> add(EgressHook&& hook, const Decoded& d);
  Result<void> add(PathObstacle&& obstacle, const Decoded& d);
  Result<void> add(FdbEntry&& entry, const Decoded& d);
  Result<void> add(BridgeSide&& side, const Decoded& d);
  // IPv6 (mirror_ipv6.cc).
  Result<void> add(In6Addr&& addr, const Decoded& d);
  Result<void> add(Route6&& route, const Decoded& d);
  Result<void> add(RouteException6&& e, const Decoded& d);
  Result<void> add(FibRule6&& rule, const Decoded& d);
  Result<void> add(McGroup6&& group, const Decoded& d);
  Result<void> add(AddrLabel&& label, const Decoded& d);
  Result<void> add(Irrelevant&&, const Decoded&) { return {}; }

  bool gathering(MirrorPart part) const { return gathering_[static_cast<std::size_t>(part)]; }
  // True when `part` must be read again instead of applied; marks it so.
  bool left_to_reader(MirrorPart part);
  void link_changed(const Link& link, const NetDevice* old);
  void link_went(int ifindex);
  void fix_nexthop_scope(NextHop& nh) const;
  void end_routes();
  void end_links();
  void end_addrs();
  void end_nexthops();
  void end_neighs();
  void end_run();
  void begin_ipv6(MirrorPart part);
  void commit_ipv6();
  void commit_ruleset();
  void commit_egress(std::vector<const NftBaseChain*> chains,
                     const std::shared_ptr<const NftProgram>& program);
  void commit_devices();
  void commit_sysctls();

  Net& net_;
  std::array<bool, kMirrorPartCount> gathering_{};
  std::array<bool, kMirrorPartCount> stale_{};
  bool following_ = false;
  std::vector<int> featureless_;
  std::map<int, Device> devices_;
  std::unordered_set<std::uint32_t> local_addrs_;
  std::size_t routes_seen_ = 0;

  // Gathered until end().
  std::vector<Link> links_;
  std::vector<InAddr> addrs_;
  std::vector<std::uint64_t> route_hashes_;
  std::map<RouteKey, std::vector<Route>> route_groups_;  // routes of one key, where several
  std::vector<Route> route_run_;                         // the newest routes of one key
  std::vector<RouteException> exceptions_;
  std::vector<FibRule> rules_;
  std::vector<NexthopSpec> nexthops_;
  std::vector<NeighSpec> neighs_;
  std::vector<FdbEntry> fdb_;

  // IPv6, as a whole until commit().
  std::vector<In6Addr> addrs6_;
  std::vector<Route6> routes6_;
  std::vector<RouteException6> exceptions6_;
  std::vector<FibRule> rules6_;
  std::vector<McGroup6> groups6_;
  std::vector<AddrLabel> labels_;
  bool addrs6_changed_ = false;
  bool routes6_changed_ = false;
  bool exceptions6_changed_ = false;
  bool rules6_changed_ = false;
  bool labels_changed_ = false;
  NeighGc gc6_;

  // Gathered until commit().
  NftRuleset nft_;
  std::vector<ForeignHook> foreign_hooks_;
  std::vector<ForeignHook> old_foreign_hooks_;
  std::vector<XfrmPolicy> xfrm_;
  std::vector<PathObstacle> path_obstacles_;
  std::vector<PathObstacle> old_path_obstacles_;
  SysctlTree sysctls_;
  NeighGc gc_;
  bool rules_changed_ = false;
  bool ruleset_changed_ = false;
  bool obstacles_changed_ = false;
  bool sysctls_changed_ = false;
};

// Everything that makes two routes two; not the next hops' flags.
std::uint64_t route_hash(const Route& route);

}  // namespace txp
