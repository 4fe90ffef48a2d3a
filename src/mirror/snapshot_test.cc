// SPDX-License-Identifier: Apache-2.0
#include "mirror/snapshot.h"

#include <filesystem>
#include <fstream>
#include <sstream>

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "dev/netdevice.h"
#include "explain/ip_text.h"
#include "mirror/test_netns.h"
#include "neigh/neighbour.h"
#include "net.h"
#include "netfilter/nf_hook.h"
#include "route/fib.h"
#include "route/fib_exceptions.h"
#include "route/fib_rules.h"
#include "route/nexthop.h"

namespace txp {
namespace {

std::string slurp(const std::string& path) {
  std::ifstream in(path);
  std::stringstream all;
  all << in.rdbuf();
  return all.str();
}

// Everything that the tables of a Net say, as text.
std::string state_of(Net& net) {
  const std::lock_guard guard(net.rtnl);
  std::stringstream s;
  const DevNames names = dev_names(net);
  for (const NetDevice* dev : net.dev->all()) {
    const Link& l = dev->link();
    s << ip_text(l, names) << " kind " << l.kind << " peer " << l.peer_ifindex
      << l.peer_in_other_netns << " mac " << l.address.str() << " queues " << dev->tx.size()
      << " features " << l.features.sg << l.features.hw_csum << l.features.ip_csum
      << l.features.gso_udp_l4 << l.features.frag_list << l.features.lltx << "\n";
    for (const auto& words : l.xps_cpus)
      for (const std::uint32_t w : words) s << "  xps " << w << "\n";
    for (const InAddr& a : dev->in_dev().addrs) s << "  " << ip_text(a, names) << "\n";
    for (const Ip4 g : dev->in_dev().mc_groups) s << "  group " << g.str() << "\n";
    const InDevConf& c = dev->in_dev().conf;
    s << "  conf " << c.forwarding << c.rp_filter << c.accept_local << c.route_localnet
      << c.ignore_routes_with_linkdown << c.proxy_arp << int{c.arp_announce} << int{c.arp_ignore}
      << c.arp_accept << c.arp_filter << c.promote_secondaries << c.src_valid_mark << "\n";
    const NeighParms& p = dev->in_dev().arp_parms;
    s << "  neigh " << p.unres_qlen_bytes << " " << p.mcast_solicit << " " << p.retrans_time_ms
      << " " << p.base_reachable_time_ms << " " << p.delay_first_probe_time_ms << " "
      << p.locktime_ms << "\n";
    if (const auto* filters = dev->egress_filters.get())
      for (const FilterSpec& f : *filters) s << "  filter " << f.kind << " " << f.text << "\n";
  }
  net.fib->for_each([&](const Route& r) {
    s << "table " << r.table << " " << ip_text(r, names);
    for (const NextHop& nh : r.nexthops) s << " scope " << int{nh.scope};
    s << "\n";
  });
  for (const FibRule& r : net.rules->all())
    s << "rule " << r.priority << " " << ip_text(r, names) << "\n";
  for (const NexthopSpec& n : net.nexthops->all()) s << "nexthop " << ip_text(n, names) << "\n";
  for (const NeighSpec& n : net.neigh->all()) s << "neigh " << ip_text(n, names) << "\n";
  for (const RouteException& e : net.exceptions->all())
    s << "exception " << e.daddr.str() << " " << e.gateway.str() << " " << e.mtu << "\n";
  for (const NfHook hook : {NfHook::local_out, NfHook::post_routing})
    if (const auto* list = net.nf->at(hook))
      for (const NfHookOps& o : *list)
        s << "hook " << static_cast<int>(hook) << " " << o.priority << " " << o.object.text
          << (o.chain != nullptr ? " known" : " unknown") << "\n";
  if (const auto* obstacles = net.obstacles())
    for (const Net::Obstacle& o : *obstacles) s << "obstacle " << o.kind << " " << o.text << "\n";
  const Sysctls& c = net.sysctl();
  s << c.wmem_default << " " << c.wmem_max << " " << int{c.ip_default_ttl} << " "
    << c.ip_local_port_range[0] << "-" << c.ip_local_port_range[1] << " "
    << c.ip_local_reserved_ports.size() << " " << c.ip_forward << " " << c.default_qdisc << " "
    << int{c.fib_multipath_hash_policy} << " " << c.min_pmtu << "\n";
  return s.str();
}

class Snapshot : public testing::Test {
 protected:
  void SetUp() override {
    char dir[] = "/tmp/txpath-snapshot-XXXXXX";
    ASSERT_NE(mkdtemp(dir), nullptr);
    dir_ = dir;
  }
  void TearDown() override { std::filesystem::remove_all(dir_); }
  std::string file(const std::string& name) const { return dir_ + "/" + name; }
  std::string dir_;
};

constexpr const char* kHeader =
    R"({"type":"txpath-snapshot","version":1,"kernel":"6.1","time":"2026-01-01T00:00:00Z"})"
    "\n";

TEST_F(Snapshot, ImportSaveLoadSaveGivesTheSame) {
  TestNetns ns;
  if (!ns.made()) GTEST_SKIP() << "needs the permission to make a network namespace";
  for (const char* command : {
           "ip link set lo up",
           "ip link add va type veth peer name vb",
           "ip link set va up && ip link set vb up",
           "ip link add vm numtxqueues 4 type veth peer name vn",
           "ip addr add 10.77.0.1/24 dev va && ip addr add 10.77.0.2/24 dev va",
           "ip addr add 10.78.0.1/24 dev vb",
           "ip route add 10.1.0.0/16 via 10.77.0.9 mtu 1300",
           "ip route add 10.2.0.0/16 via 10.77.0.1",
           "ip route add 10.3.0.0/16 nexthop via 10.77.0.9 weight 2 nexthop via 10.78.0.9",
           "ip nexthop add id 5 via 10.77.0.9 dev va && ip route add 10.4.0.0/16 nhid 5",
           "ip rule add from 10.1.0.0/16 fwmark 3 lookup 77",
           "ip neigh add 10.77.0.9 lladdr 02:00:00:00:00:09 dev va",
           "sysctl -w net.ipv4.ip_default_ttl=33 net.ipv4.conf.all.rp_filter=1 "
           "net.ipv4.neigh.va.mcast_solicit=7 net.ipv4.ip_local_reserved_ports=5000,6000-6010",
           "tc qdisc add dev va root pfifo limit 5",
           "tc qdisc add dev vb clsact",
       })
    EXPECT_TRUE(ns.sh(command)) << command;
  const std::string first = file("first.jsonl");
  const std::string second = file("second.jsonl");
  Net live(Net::Options{});
  const auto imported = import_namespace(live, {.netns = ns.path(), .record = {}});
  ASSERT_TRUE(imported.has_value()) << imported.error().what;
  const auto saved = save_snapshot(first, {.netns = ns.path(), .record = {}});
  ASSERT_TRUE(saved.has_value()) << saved.error().what;

  Net loaded(Net::Options{});
  SnapshotWriter writer(second);
  ASSERT_TRUE(writer.open().has_value());
  const auto report = load_snapshot(loaded, first, [&](const Message& m) { writer.add(m); });
  ASSERT_TRUE(report.has_value()) << report.error().what;
  ASSERT_TRUE(writer.commit().has_value());

  EXPECT_EQ(state_of(loaded), state_of(live));
  EXPECT_NE(state_of(live).find("10.2.0.0/16 via 10.77.0.1 dev va scope 254"), std::string::npos)
      << "a gateway that is the host's own address";
  EXPECT_EQ(live.sysctl().ip_default_ttl, 33);
  EXPECT_EQ(live.dev->by_name("va")->in_dev().arp_parms.mcast_solicit, 7U);
  EXPECT_TRUE(live.dev->by_name("vb")->in_dev().conf.rp_filter) << "all folded in";
  std::string one = slurp(first);
  std::string two = slurp(second);
  one.erase(0, one.find('\n'));  // the heading has the time
  two.erase(0, two.find('\n'));
  EXPECT_EQ(one, two);
  EXPECT_NE(one.find("\"text\":\"10.1.0.0/16 via 10.77.0.9 dev va"), std::string::npos);
  std::size_t files = 0;
  for ([[maybe_unused]] const auto& e : std::filesystem::directory_iterator(dir_)) ++files;
  EXPECT_EQ(files, 2U) << "nothing is left beside the file";
}

TEST_F(Snapshot, FileAppearsWholeOrNotAtAll) {
  const std::string path = file("x.jsonl");
  {
    SnapshotWriter writer(path);
    ASSERT_TRUE(writer.open().has_value());
    writer.add({MessageType::sysctl, {}, "never finished"});
  }
  EXPECT_TRUE(std::filesystem::is_empty(dir_));
  EXPECT_EQ(save_snapshot(file("no/such/dir"), {}).error().what,
            file("no/such/dir") + ": No such file or directory");
}

TEST_F(Snapshot, EachBrokenFileHasOneClearError) {
  const auto error = [](const std::string& text) {
    Net net(Net::Options{});
    const auto loaded = load_snapshot_text(net, text, "f");
    return loaded ? "loaded" : loaded.error().what;
  };
  const std::string header = kHeader;
  EXPECT_EQ(error(""), "f: empty");
  EXPECT_EQ(error("hello\n"), "f:1: not a snapshot's JSON object");
  EXPECT_EQ(error("{}\n"), "f:1: not a txpath snapshot");
  EXPECT_EQ(error(R"({"type":"txpath-snapshot","version":2})"
                  "\n"),
            "f:1: format version 2; this program reads version 1");
  EXPECT_EQ(error(header), "f:1: the file is cut off: its last line is missing");
  EXPECT_EQ(error(header + R"({"type":"RTM_NEWROUTE","text":"10)"),
            "f:2: not a snapshot's JSON object");
  EXPECT_EQ(error(header + R"({"type":"RTM_NEWPIGEON","text":"","raw":""})"),
            "f:2: unknown type \"RTM_NEWPIGEON\"");
  EXPECT_EQ(error(header + R"({"type":"RTM_NEWROUTE","text":"","raw":"0g"})"),
            "f:2: \"raw\" is not hexadecimal");
  EXPECT_EQ(error(header + R"({"type":"RTM_NEWROUTE","text":"","raw":"00"})"),
            "f:2: RTM_NEWROUTE: 1 bytes are less than a netlink header");
  EXPECT_EQ(error(header +
                  R"({"type":"RTM_NEWROUTE","text":"","raw":"ff000000000000000000000000000000"})"),
            "f:2: RTM_NEWROUTE: the header says 255 bytes, there are 16");
  EXPECT_EQ(error(header + R"({"type":"end","lines":3})"), "f:2: 3 lines are told, 0 are there");
  EXPECT_EQ(error(header + R"({"type":"end","lines":0})" + "\n{}\n"),
            "f:3: something follows the end");
  EXPECT_EQ(error(header + R"({"type":"sysctl","text":"","raw":"6e65743d31"})" + "\n" +
                  R"({"type":"end","lines":1})"),
            "loaded");
  EXPECT_EQ(error(header + std::string(2'000'000, 'x')), "f:2: longer than 1 MiB, or unreadable");
  EXPECT_EQ(error(header + std::string(100'000, '[')), "f:2: not a snapshot's JSON object");
}

TEST_F(Snapshot, EscapedTextIsReadAndWritten) {
  const std::string path = file("x.jsonl");
  const std::string text = "a \"quoted\" \\ ü";
  const std::string raw = "net/core/nothing=1";
  const void* bytes = raw.data();
  {
    SnapshotWriter writer(path);
    ASSERT_TRUE(writer.open().has_value());
    writer.add({MessageType::sysctl, {static_cast<const std::uint8_t*>(bytes), raw.size()}, text});
    ASSERT_TRUE(writer.commit().has_value());
  }
  Net net(Net::Options{});
  std::string got;
  const auto loaded = load_snapshot(net, path, [&](const Message& m) { got = m.text; });
  ASSERT_TRUE(loaded.has_value()) << loaded.error().what;
  EXPECT_EQ(got, text);
}

TEST(Import, SaysWhichNamespaceIsMissing) {
  Net net(Net::Options{});
  EXPECT_EQ(import_namespace(net, {.netns = "no-such-netns", .record = {}}).error().what,
            "network namespace no-such-netns: No such file or directory");
  EXPECT_NE(import_namespace(net, {.netns = "/dev/null", .record = {}})
                .error()
                .what.find("cannot enter the network namespace /dev/null"),
            std::string::npos);
}

}  // namespace
}  // namespace txp
