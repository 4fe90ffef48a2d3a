// SPDX-License-Identifier: Apache-2.0
#include "mirror/live.h"

#include <gtest/gtest.h>
#include <poll.h>

#include <algorithm>

#include "dev/netdevice.h"
#include "explain/ip_text.h"
#include "mirror/test_netns.h"
#include "neigh/neighbour.h"
#include "net.h"
#include "netfilter/nf_hook.h"
#include "netfilter/nft_program.h"
#include "route/fib.h"
#include "route/fib_rules.h"
#include "route/nexthop.h"

namespace txp {
namespace {

class LiveFollowing : public testing::Test {
 protected:
  void SetUp() override {
    if (!ns_.made()) GTEST_SKIP() << "needs the permission to make a network namespace";
    ASSERT_TRUE(
        ns_.sh("ip link set lo up && ip link add va type veth peer name vb && "
               "ip link set va up && ip link set vb up && "
               "ip addr add 10.77.0.1/24 dev va && ip route add 10.1.0.0/16 via 10.77.0.9"));
    auto live = Live::open(net_, {.netns = ns_.path(), .record = {}});
    ASSERT_TRUE(live.has_value()) << live.error().what;
    live_ = std::move(*live);
  }
  void pump() {
    const auto n = live_->pump();
    ASSERT_TRUE(n.has_value()) << n.error().what;
  }
  // Until `what` holds: the kernel tells of a carrier a little later.
  template <typename Condition>
  bool pump_until(Condition&& what) {
    for (int i = 0; i < 50; ++i) {
      pump();
      if (what()) return true;
      pollfd p{.fd = live_->fd(), .events = POLLIN, .revents = 0};
      (void)poll(&p, 1, 100);
    }
    return false;
  }
  bool has_route(const std::string& text) {
    bool found = false;
    const std::lock_guard guard(net_.rtnl);
    net_.fib->for_each([&](const Route& r) { found |= ip_text(r, dev_names(net_)) == text; });
    return found;
  }
  std::size_t fresh_import_routes() {
    Net other(Net::Options{});
    const auto report = import_namespace(other, {.netns = ns_.path(), .record = {}});
    EXPECT_TRUE(report.has_value());
    return other.fib->size();
  }
  TestNetns ns_;
  Net net_{Net::Options{.clock = Clock::manual(), .seed = 1}};
  std::unique_ptr<Live> live_;
};

TEST_F(LiveFollowing, RoutesComeChangeAndGo) {
  EXPECT_TRUE(has_route("10.1.0.0/16 via 10.77.0.9 dev va"));
  ns_.sh("ip route add 10.2.0.0/16 via 10.77.0.9 metric 7");
  pump();
  EXPECT_TRUE(has_route("10.2.0.0/16 via 10.77.0.9 dev va metric 7"));
  ns_.sh("ip route replace 10.2.0.0/16 via 10.77.0.8 metric 7");
  pump();
  EXPECT_TRUE(has_route("10.2.0.0/16 via 10.77.0.8 dev va metric 7"));
  EXPECT_FALSE(has_route("10.2.0.0/16 via 10.77.0.9 dev va metric 7"));
  ns_.sh("ip route del 10.2.0.0/16");
  pump();
  EXPECT_FALSE(has_route("10.2.0.0/16 via 10.77.0.8 dev va metric 7"));
}

TEST_F(LiveFollowing, RoutesThatGoUnannouncedWithTheirLink) {
  ns_.sh("ip link set va down");
  pump();
  EXPECT_FALSE(has_route("10.1.0.0/16 via 10.77.0.9 dev va"));
  EXPECT_EQ(net_.fib->size(), fresh_import_routes());
  ns_.sh("ip link set va up && ip route add 10.1.0.0/16 via 10.77.0.9");
  EXPECT_TRUE(pump_until([&] { return has_route("10.1.0.0/16 via 10.77.0.9 dev va"); }));
  ns_.sh("ip link del va");
  pump();
  EXPECT_EQ(net_.dev->by_name("va"), nullptr);
  EXPECT_EQ(net_.fib->size(), fresh_import_routes());
}

TEST_F(LiveFollowing, RoutesThatGoUnannouncedWithTheirSource) {
  ns_.sh("ip addr add 10.77.0.5/24 dev va && ip route add 10.9.0.0/16 via 10.77.0.9 src 10.77.0.5");
  pump();
  EXPECT_TRUE(has_route("10.9.0.0/16 via 10.77.0.9 dev va src 10.77.0.5"));
  ns_.sh("ip addr del 10.77.0.5/24 dev va");
  pump();
  EXPECT_FALSE(has_route("10.9.0.0/16 via 10.77.0.9 dev va src 10.77.0.5"));
  EXPECT_EQ(net_.dev->by_name("va")->in_dev().addrs.size(), 1U);
}

TEST_F(LiveFollowing, RulesLinksNexthopsNeighboursDisciplines) {
  ns_.sh(
      "ip rule add from 10.5.0.0/16 lookup 9 && ip link set va mtu 1400 && "
      "ip nexthop add id 3 via 10.77.0.9 dev va && "
      "ip neigh add 10.77.0.9 lladdr 02:00:00:00:00:09 dev va nud permanent && "
      "tc qdisc replace dev va root pfifo limit 3");
  pump();
  EXPECT_EQ(net_.rules->all().size(), 4U);
  const NetDevice* va = net_.dev->by_name("va");
  EXPECT_EQ(va->mtu(), 1400U);
  EXPECT_NE(net_.nexthops->find(3), nullptr);
  const auto neighbours = net_.neigh->all();
  EXPECT_TRUE(std::ranges::any_of(neighbours, [](const NeighSpec& n) {
    return n.dst == *Ip4::parse("10.77.0.9") && n.state == Nud::permanent;
  }));
  EXPECT_EQ(va->tx[0]->qdisc.get()->spec.kind, "pfifo");
  ns_.sh(
      "ip rule del from 10.5.0.0/16 lookup 9 && ip nexthop del id 3 && "
      "ip neigh del 10.77.0.9 dev va && tc qdisc del dev va root");
  pump();
  EXPECT_EQ(net_.rules->all().size(), 3U);
  EXPECT_EQ(net_.nexthops->find(3), nullptr);
  EXPECT_EQ(va->tx[0]->qdisc.get()->spec.kind, "noqueue");
}

TEST_F(LiveFollowing, NewLinksComeWithTheirFeaturesAndAddresses) {
  ns_.sh(
      "ip link add vc type veth peer name vd && ip link set vc up && ip link set vd up && "
      "ip addr add 10.99.0.1/24 dev vc");
  ASSERT_TRUE(pump_until([&] { return net_.dev->by_name("vc") != nullptr; }));
  const NetDevice* vc = net_.dev->by_name("vc");
  EXPECT_TRUE(vc->link().features.sg);
  EXPECT_TRUE(vc->link().features.hw_csum);
  EXPECT_EQ(vc->in_dev().addrs.size(), 1U);
  EXPECT_FALSE(vc->in_dev().mc_groups.empty());
}

TEST_F(LiveFollowing, OffloadsAreReadAgainWhenTheyChange) {
  const NetDevice* va = net_.dev->by_name("va");
  EXPECT_TRUE(va->link().features.hw_csum);
  if (!ns_.sh("ethtool -K va tx off")) GTEST_SKIP() << "no ethtool";
  pump();
  EXPECT_FALSE(va->link().features.hw_csum);
}

TEST_F(LiveFollowing, SysctlsAreReadEverySecond) {
  ns_.sh("sysctl -w net.ipv4.ip_default_ttl=44 net.ipv4.conf.va.arp_announce=2");
  pump();
  EXPECT_EQ(net_.sysctl().ip_default_ttl, 64);
  net_.clock.advance(kSecond);
  pump();
  EXPECT_EQ(net_.sysctl().ip_default_ttl, 44);
  EXPECT_EQ(net_.dev->by_name("va")->in_dev().conf.arp_announce, 2);
  const InDevice* before = net_.dev->by_name("va")->in_dev_.get();
  net_.clock.advance(kSecond);
  pump();
  EXPECT_EQ(net_.dev->by_name("va")->in_dev_.get(), before) << "nothing changed: nothing published";
}

TEST_F(LiveFollowing, RulesetIsReadAgainWhenItChanges) {
  EXPECT_EQ(net_.nf->at(NfHook::local_out), nullptr);
  if (!ns_.sh("nft 'add table inet f; add chain inet f out { type filter hook output priority 5 ; "
              "policy accept ; }'"))
    GTEST_SKIP() << "no nft, or no nf_tables in this kernel";
  pump();
  const auto* hooks = net_.nf->at(NfHook::local_out);
  ASSERT_NE(hooks, nullptr);
  ASSERT_EQ(hooks->size(), 1U);
  ASSERT_TRUE((*hooks)[0].chain != nullptr);
  EXPECT_TRUE((*hooks)[0].chain->code->first == nullptr) << "no rule yet";
  EXPECT_EQ((*hooks)[0].priority, 5);
  ns_.sh("nft add rule inet f out udp dport 53 counter accept");
  pump();
  hooks = net_.nf->at(NfHook::local_out);
  ASSERT_EQ(hooks->size(), 1U);
  const NfHookOps& ops = (*hooks)[0];
  ASSERT_TRUE(ops.chain != nullptr);
  EXPECT_EQ(ops.object.kind, "nft-chain");
  EXPECT_EQ(ops.object.table, "f");
  EXPECT_TRUE(ops.object.text.starts_with("type filter hook output priority ")) << ops.object.text;
  ASSERT_TRUE(ops.chain->code->first != nullptr);
  EXPECT_EQ(ops.chain->code->first->info->object.text, "udp dport 53 counter accept");
  EXPECT_TRUE(net_.nf->flow_only(NfHook::local_out));
  ns_.sh("nft delete table inet f");
  pump();
  EXPECT_EQ(net_.nf->at(NfHook::local_out), nullptr);
  ns_.sh(
      "nft 'add table ip d; add chain ip d out { type filter hook output priority 0 ; "
      "policy drop ; }'; nft 'add table netdev e; add chain netdev e out { type filter hook "
      "egress device va priority 0 ; }; add rule netdev e out counter'");
  pump();
  hooks = net_.nf->at(NfHook::local_out);
  ASSERT_NE(hooks, nullptr);
  EXPECT_EQ((*hooks)[0].chain->spec.policy, 0U) << "an empty chain drops by its policy";
  const NfEgress* egress = net_.dev->by_name("va")->nf_egress.get();
  ASSERT_NE(egress, nullptr);
  EXPECT_EQ(egress->chains.size(), 1U);
  EXPECT_EQ(net_.dev->by_name("va")->egress_filters.get(), nullptr);
}

TEST_F(LiveFollowing, ResyncsWhenNotificationsWereLost) {
  live_.reset();
  auto live = Live::open(net_, {.netns = ns_.path(), .record = {}, .notification_buffer = 4096});
  ASSERT_TRUE(live.has_value()) << live.error().what;
  live_ = std::move(*live);
  const auto equal = [this] {
    EXPECT_EQ(net_.fib->size(), fresh_import_routes());
    EXPECT_TRUE(has_route("10.1.0.0/16 via 10.77.0.9 dev va"));
  };
  // More than the buffer holds, while nobody reads.
  ns_.sh(
      "seq 1 2000 | awk '{printf \"route add 10.100.%d.%d/32 via 10.77.0.9\\n\", $1/256, "
      "$1%256}' | ip -batch -; ip rule add lookup 5");
  pump();
  EXPECT_EQ(live_->resyncs(), 1U);
  EXPECT_GT(net_.fib->size(), 2000U);
  EXPECT_EQ(net_.rules->all().size(), 4U);
  equal();
  ns_.sh("ip route flush root 10.96.0.0/12; ip rule del lookup 5");
  pump();
  EXPECT_EQ(live_->resyncs(), 2U);
  EXPECT_LT(net_.fib->size(), 20U);
  EXPECT_EQ(net_.rules->all().size(), 3U);
  equal();
}

TEST_F(LiveFollowing, AsksTheKernelToResolve) {
  EXPECT_EQ(net_.neigh->owner, NeighOwner::kernel);
  ASSERT_TRUE(net_.neigh->ask_kernel != nullptr);
  const int va = net_.dev->by_name("va")->ifindex;
  net_.neigh->ask_kernel(va, *Ip4::parse("10.77.0.33"));
  EXPECT_NE(ns_.out("ip neigh show nud all dev va").find("10.77.0.33"), std::string::npos);
}

TEST_F(LiveFollowing, PriorityOfAppendedAndPrependedRoutes) {
  ns_.sh("ip route append 10.1.0.0/16 via 10.77.0.8");
  pump();
  ns_.sh("ip route prepend 10.1.0.0/16 via 10.77.0.7");
  pump();
  std::string order;
  net_.fib->for_each([&](const Route& r) {
    if (r.dst.str() == "10.1.0.0/16") order += r.nexthops[0].gateway.str() + " ";
  });
  EXPECT_EQ(order, "10.77.0.7 10.77.0.9 10.77.0.8 ");
}

}  // namespace
}  // namespace txp
