// SPDX-License-Identifier: Apache-2.0
// What lies in a packet's way and is no route: filters, BPF programs, IPsec, legacy tables; and
// learnt path MTUs. Each against the real kernel.
#include "mirror/import.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <linux/bpf.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <sstream>

#include "dev/netdevice.h"
#include "mirror/namespace_reader.h"
#include "mirror/read_file.h"
#include "mirror/test_netns.h"
#include "net.h"
#include "netfilter/nf_hook.h"
#include "route/fib_exceptions.h"
#include "sched/clsact.h"

namespace txp {
namespace {

constexpr std::uint32_t kTcxEgress = 47;

long bpf(int command, bpf_attr& attr) { return syscall(SYS_bpf, command, &attr, sizeof attr); }

// A program that answers `code` to every packet; -1 without permission.
int load_program(bpf_prog_type type, int code) {
  const std::array<bpf_insn, 2> program{
      {{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 0, .src_reg = 0, .off = 0, .imm = code},
       {.code = BPF_JMP | BPF_EXIT, .dst_reg = 0, .src_reg = 0, .off = 0, .imm = 0}}};
  bpf_attr attr{};
  attr.prog_type = type;
  attr.insn_cnt = program.size();
  attr.insns = reinterpret_cast<std::uintptr_t>(program.data());
  attr.license = reinterpret_cast<std::uintptr_t>("GPL");
  std::string_view("txp_pass").copy(attr.prog_name, sizeof attr.prog_name - 1);
  return static_cast<int>(bpf(BPF_PROG_LOAD, attr));
}

class ImportWays : public testing::Test {
 protected:
  void SetUp() override {
    if (!ns_.made()) GTEST_SKIP() << "needs the permission to make a network namespace";
    ASSERT_TRUE(
        ns_.sh("ip link set lo up && ip link add va type veth peer name vb && "
               "ip link set va up && ip link set vb up && "
               "ip addr add 10.77.0.1/24 dev va"));
  }
  void import() {
    net_ = std::make_unique<Net>(Net::Options{.clock = Clock::manual(5 * kSecond), .seed = 1});
    auto report = import_namespace(*net_, {.netns = ns_.path(), .record = {}});
    ASSERT_TRUE(report.has_value()) << report.error().what;
    report_ = *report;
  }
  const std::vector<FilterSpec>* egress() const {
    return net_->dev->by_name("va")->egress_filters.get();
  }
  TestNetns ns_;
  std::unique_ptr<Net> net_;
  ImportReport report_;
};

TEST_F(ImportWays, NothingLiesInTheWayOfAPlainNamespace) {
  import();
  EXPECT_EQ(net_->nf->at(NfHook::local_out), nullptr);
  EXPECT_EQ(net_->nf->at(NfHook::post_routing), nullptr);
  EXPECT_EQ(egress(), nullptr);
}

TEST_F(ImportWays, JoinedGroups) {
  int fd = -1;
  ns_.run([&] {
    fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    ip_mreqn group{};
    group.imr_multiaddr.s_addr = htonl(0xef010203);
    group.imr_address.s_addr = htonl(0x0a4d0001);
    (void)setsockopt(fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, &group, sizeof group);
  });
  import();
  close(fd);
  std::vector<std::string> groups;
  for (const Ip4 g : net_->dev->by_name("va")->in_dev().mc_groups) groups.push_back(g.str());
  EXPECT_EQ(groups, (std::vector<std::string>{"224.0.0.1", "239.1.2.3"}));
}

TEST_F(ImportWays, XpsMasksOfTheRightNamespace) {
  ASSERT_TRUE(
      ns_.sh("ip link add vm numtxqueues 2 type veth peer name vn && "
             "ip link set vm up && ip link set vn up"));
  if (!ns_.sh("unshare -m sh -c 'mount -t sysfs s /sys && "
              "echo 1 > /sys/class/net/vm/queues/tx-1/xps_cpus'"))
    GTEST_SKIP() << "needs the permission to mount sysfs";
  import();
  EXPECT_EQ(net_->dev->by_name("vm")->link().xps_cpus,
            (std::vector<std::vector<std::uint32_t>>{{}, {1}}));
  EXPECT_TRUE(net_->dev->by_name("va")->link().xps_cpus.empty());
}

TEST_F(ImportWays, FiltersOfClsactEgress) {
  ASSERT_TRUE(ns_.sh("tc qdisc add dev va clsact"));
  import();
  EXPECT_EQ(egress(), nullptr) << "clsact alone does nothing";
  if (!ns_.sh("tc filter add dev va egress protocol ip prio 5 bpf bytecode '1,6 0 0 0,' "
              "direct-action"))
    GTEST_SKIP() << "this kernel has no cls_bpf";
  ns_.sh("tc filter add dev va ingress protocol ip prio 7 bpf bytecode '1,6 0 0 0,'");
  import();
  const Clsact* clsact = net_->dev->by_name("va")->clsact.get();
  ASSERT_NE(clsact, nullptr);
  ASSERT_FALSE(clsact->specs.empty());
  for (const FilterSpec& f : clsact->specs)
    EXPECT_TRUE(f.text.starts_with("filter dev va egress protocol ip pref 5 bpf")) << f.text;
}

// What tc prints, a line each, without its double spaces and notes on hardware.
std::vector<std::string> tc_lines(TestNetns& ns, const std::string& command) {
  std::vector<std::string> lines;
  std::istringstream in(ns.out(command));
  for (std::string line; std::getline(in, line);) {
    std::string words, word;
    std::istringstream split(line);
    while (split >> word) {
      if (word == "not_in_hw") continue;
      if (word.starts_with("*")) word.erase(0, 1);  // "*flowid"
      words += (words.empty() ? "" : " ") + word;
    }
    // A second line goes on with the first: "match 00000035/0000ffff at 20".
    if (words.starts_with("hash ")) continue;
    if (words.starts_with("match ") && !lines.empty())
      lines.back() += " " + words;
    else
      lines.push_back(words);
  }
  return lines;
}

TEST_F(ImportWays, ClassesAndFiltersOfAnHtbInTcsWords) {
  if (!ns_.sh("tc qdisc add dev va root handle 1: htb default 20"))
    GTEST_SKIP() << "this kernel has no htb";
  ASSERT_TRUE(ns_.sh(
      "tc class add dev va parent 1: classid 1:1 htb rate 8mbit ceil 12345kbit burst 15k &&"
      "tc class add dev va parent 1:1 classid 1:10 htb rate 1mbit ceil 8mbit prio 3 &&"
      "tc class add dev va parent 1:1 classid 1:20 htb rate 500kbit overhead 24 &&"
      "tc qdisc add dev va parent 1:10 handle 10: pfifo limit 5 &&"
      "tc filter add dev va parent 1: protocol ip prio 1 u32 match ip dport 53 0xffff flowid 1:10 "
      "&&"
      "tc filter add dev va parent 1: protocol ip prio 5 handle 2: u32 divisor 256 &&"
      "tc filter add dev va parent 1: protocol ip prio 5 u32 ht 800:: match ip dst 10.0.0.0/8 "
      "hashkey mask 0x000000ff at 16 link 2:"));
  import();
  const NetDevice& va = *net_->dev->by_name("va");
  ASSERT_EQ(va.qdisc_trees.size(), 1U);
  const QdiscTree& tree = va.qdisc_trees[0];
  std::vector<std::string> classes, filters;
  for (const ClassSpec& c : tree.classes) {
    std::string text = c.text;
    text.erase(text.find(" dev va"), 7);
    classes.push_back(text);
  }
  for (const FilterSpec& f : tree.filters) {
    std::string text = f.text;
    text.erase(text.find(" dev va parent 1:"), 17);
    filters.push_back(text);
  }
  EXPECT_THAT(classes, testing::UnorderedElementsAreArray(tc_lines(ns_, "tc class show dev va")));
  EXPECT_EQ(filters.size(), tc_lines(ns_, "tc filter show dev va parent 1:").size());
  for (const std::string& line : tc_lines(ns_, "tc filter show dev va parent 1:"))
    EXPECT_TRUE(std::ranges::find(filters, line) != filters.end() || line.find("link") != line.npos)
        << line;
  ASSERT_EQ(tree.children.size(), 1U);
  EXPECT_EQ(tree.children[0].spec.kind, "pfifo");
  EXPECT_TRUE(va.qdiscs[0]->state_is_shared) << "known, and a shaper";
}

TEST_F(ImportWays, FiltersOfASharedBlock) {
  ASSERT_TRUE(ns_.sh("tc qdisc add dev va egress_block 5 clsact"));
  if (!ns_.sh("tc filter add block 5 protocol ip prio 5 bpf bytecode '1,6 0 0 0,'"))
    GTEST_SKIP() << "this kernel has no cls_bpf";
  import();
  ASSERT_NE(egress(), nullptr);
  EXPECT_EQ((*egress())[0].text, "a filter of a shared block");
}

TEST_F(ImportWays, TcxPrograms) {
  const int program = load_program(BPF_PROG_TYPE_SCHED_CLS, 0);
  if (program < 0) GTEST_SKIP() << "needs the permission to load BPF programs";
  int link = -1;
  ns_.run([&] {
    bpf_attr attr{};
    attr.link_create.prog_fd = static_cast<std::uint32_t>(program);
    attr.link_create.target_ifindex = static_cast<std::uint32_t>(std::stoi(
        *read_file("/proc/thread-self/net/dev_snmp6/va").transform([](const std::string& s) {
          return s.substr(s.find_first_of("0123456789"));
        })));
    attr.link_create.attach_type = static_cast<bpf_attach_type>(kTcxEgress);
    link = static_cast<int>(bpf(BPF_LINK_CREATE, attr));
  });
  close(program);
  if (link < 0) GTEST_SKIP() << "this kernel has no tcx";
  import();
  close(link);
  ASSERT_NE(egress(), nullptr);
  EXPECT_EQ((*egress())[0].kind, "tcx");
  EXPECT_NE((*egress())[0].text.find("txp_pass"), std::string::npos) << (*egress())[0].text;
}

TEST_F(ImportWays, IpsecPolicies) {
  if (!ns_.sh("ip xfrm policy add src 10.0.0.0/8 dst 10.9.0.0/16 dir in action allow"))
    GTEST_SKIP() << "no IPsec in this kernel";
  import();
  const auto ipsec = [this] {
    std::vector<std::string> found;
    if (const auto* all = net_->obstacles())
      for (const Net::Obstacle& o : *all)
        if (o.stage == Stage::ip_route_output_flow) found.push_back(o.kind + " " + o.text);
    return found;
  };
  EXPECT_TRUE(ipsec().empty()) << "what comes in does not concern the sender";
  ns_.sh("ip xfrm policy add src 10.0.0.0/8 dst 10.9.0.0/16 dir out action block");
  import();
  ASSERT_EQ(ipsec().size(), 1U);
  EXPECT_TRUE(
      ipsec()[0].starts_with("xfrm-policy src 10.0.0.0/8 dst 10.9.0.0/16 dir out action block"))
      << ipsec()[0];
  ns_.sh("ip xfrm policy flush");
  if (!ns_.sh("ip xfrm policy setdefault in accept fwd accept out block")) return;
  import();
  ASSERT_EQ(ipsec().size(), 1U);
  EXPECT_TRUE(ipsec()[0].starts_with("xfrm-default")) << ipsec()[0];
}

// Asking for a legacy table makes it: empty, with the policy ACCEPT.
TEST_F(ImportWays, AnEmptyLegacyTableIsNotInTheWay) {
  bool made = false;
  ns_.run([&] {
    const int fd = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW);
    if (fd < 0) return;
    struct {
      char name[32];
      std::uint32_t rest[13];
    } info{};
    std::string_view("filter").copy(info.name, 31);
    socklen_t len = sizeof info;
    made = getsockopt(fd, IPPROTO_IP, 64, &info, &len) == 0;
    close(fd);
  });
  std::string names;
  ns_.run([&] { names = read_file("/proc/thread-self/net/ip_tables_names").value_or(""); });
  if (!made || names != "filter\n") GTEST_SKIP() << "no legacy iptables in this kernel";
  import();
  EXPECT_EQ(net_->nf->at(NfHook::local_out), nullptr);
  if (!ns_.sh("iptables-legacy -A OUTPUT -p udp -j ACCEPT")) return;
  import();
  ASSERT_NE(net_->nf->at(NfHook::local_out), nullptr);
  EXPECT_EQ((*net_->nf->at(NfHook::local_out))[0].object.kind, "iptables-legacy");
}

TEST_F(ImportWays, LearntPathMtu) {
  TestNetns router;
  ASSERT_TRUE(router.made());
  std::string tid = router.path();
  tid = tid.substr(tid.find("task/") + 5);
  tid = tid.substr(0, tid.find('/'));
  ASSERT_TRUE(ns_.sh("ip link set vb netns " + tid));
  ASSERT_TRUE(
      router.sh("ip link set vb up && ip addr add 10.77.0.2/24 dev vb && "
                "ip link add vc mtu 1300 type veth peer name vd && ip link set vc up && "
                "ip link set vd up && ip addr add 10.88.0.1/24 dev vc && "
                "ip neigh add 10.88.0.2 lladdr 02:00:00:00:00:02 dev vc && "
                "sysctl -w net.ipv4.ip_forward=1"));
  ASSERT_TRUE(ns_.sh("ip route add 10.88.0.0/24 via 10.77.0.2"));
  if (!ns_.sh("command -v ping")) GTEST_SKIP() << "no ping";
  ns_.sh("ping -c 1 -W 1 -M do -s 1400 10.88.0.2; ping -c 1 -W 1 -M do -s 1400 10.88.0.2");
  ASSERT_NE(ns_.out("ip route show cache").find("mtu 1300"), std::string::npos);
  import();
  const auto all = net_->exceptions->all();
  ASSERT_EQ(all.size(), 1U);
  EXPECT_EQ(all[0].daddr.str(), "10.88.0.2");
  EXPECT_EQ(all[0].gateway.str(), "10.77.0.2");
  EXPECT_EQ(all[0].mtu, 1300U);
  EXPECT_GT(all[0].expires, 5 * kSecond + 500 * kSecond);
  EXPECT_LE(all[0].expires, 5 * kSecond + 600 * kSecond);
}

// In a cgroup of a process of its own, so that nobody else meets the program.
TEST(ImportCgroup, ProgramsOfTheProcess) {
  const auto mounts = read_file("/proc/self/mountinfo").value_or("");
  const std::size_t at = mounts.find(" - cgroup2 ");
  if (at == std::string::npos) GTEST_SKIP() << "no unified cgroups";
  const std::size_t line = mounts.rfind('\n', at) + 1;
  std::string root = mounts.substr(line, at - line);
  for (int skip = 0; skip < 4; ++skip) root.erase(0, root.find(' ') + 1);
  root = root.substr(0, root.find(' '));
  const std::string group = root + "/txpath-test-" + std::to_string(getpid());
  if (mkdir(group.c_str(), 0755) != 0) GTEST_SKIP() << "needs the permission to make a cgroup";
  const int program = load_program(BPF_PROG_TYPE_CGROUP_SKB, 1);
  const int dir = open(group.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  bpf_attr attr{};
  attr.target_fd = static_cast<std::uint32_t>(dir);
  attr.attach_bpf_fd = static_cast<std::uint32_t>(program);
  attr.attach_type = BPF_CGROUP_INET_EGRESS;
  const bool attached = program >= 0 && bpf(BPF_PROG_ATTACH, attr) == 0;
  int status = -1;
  const pid_t child = attached ? fork() : -1;
  if (child == 0) {
    const int procs = open((group + "/cgroup.procs").c_str(), O_WRONLY);
    if (write(procs, "0", 1) != 1) _exit(3);
    int found = 0;
    read_cgroup_programs(
        [&](const PathObstacle& o) {
          if (o.stage == Stage::ip_finish_output && o.text.find("txp_pass") != std::string::npos)
            ++found;
        },
        [](const std::string&) {});
    _exit(found == 1 ? 0 : 4);
  }
  if (child > 0) waitpid(child, &status, 0);
  close(program);
  close(dir);
  rmdir(group.c_str());
  if (!attached) GTEST_SKIP() << "needs the permission to attach BPF programs";
  EXPECT_EQ(status, 0);
}

}  // namespace
}  // namespace txp
