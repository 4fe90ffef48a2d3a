// SPDX-License-Identifier: Apache-2.0
#include "support/lab.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/ethtool.h>
#include <linux/if_packet.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <linux/netlink.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <fstream>
#include <span>

namespace txp::test {
namespace {

struct Wire {
  std::string_view here;
  std::string_view there;
  int net;  // the third octet's neighbour: 10.NET.0.0/24
};
constexpr Wire kWires[] = {{"va", "vb", 77}, {"vc", "vd", 78}};

// IPv6 without what moves by itself: no duplicate address detection, no router solicitations, MLD
// reports at once and once.
Result<void> quiet_ipv6() {
  for (const std::string conf : {"all", "default"})
    for (const auto& [name, value] : {std::pair("disable_ipv6", "0"), std::pair("accept_dad", "0"),
                                      std::pair("dad_transmits", "0"), std::pair("accept_ra", "0"),
                                      std::pair("router_solicitations", "0"),
                                      std::pair("mldv2_unsolicited_report_interval", "1")})
      if (Result<void> done = set_sysctl("net.ipv6.conf." + conf + "." + name, value); !done)
        return done;
  (void)set_sysctl("net.ipv6.mld_qrv", "1");
  return set_sysctl("net.ipv6.auto_flowlabels", "0");
}

Result<void> quiet_namespace(bool ipv6) {
  if (ipv6) {
    if (Result<void> done = quiet_ipv6(); !done) return done;
    return set_sysctl("net.ipv4.igmp_link_local_mcast_reports", "0");
  }
  for (const char* name : {"net.ipv6.conf.all.disable_ipv6", "net.ipv6.conf.default.disable_ipv6"})
    (void)set_sysctl(name, "1");  // a kernel without IPv6 has neither
  // Joining a group must not put IGMP reports between the frames of a test.
  return set_sysctl("net.ipv4.igmp_link_local_mcast_reports", "0");
}

// Until the kernel's work queue has taken the tentative mark off every IPv6 address of the calling
// thread's namespace.
void wait_for_addresses() {
  constexpr unsigned kTentative = 0x40;
  for (int round = 0; round < 200; ++round) {
    std::ifstream file("/proc/thread-self/net/if_inet6");
    std::string address, index, len, scope, flags, dev;
    bool waits = false;
    while (file >> address >> index >> len >> scope >> flags >> dev)
      waits |= (std::stoul(flags, nullptr, 16) & kTentative) != 0;
    if (!waits) return;
    usleep(2000);
  }
}

// ETHTOOL_GLINK makes the kernel finish its pending carrier work for the device
// (linkwatch_sync_dev()).
void sync_device(const std::string& name) {
  const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return;
  ethtool_value value{};
  value.cmd = ETHTOOL_GLINK;
  ifreq request{};
  name.copy(request.ifr_name, IFNAMSIZ - 1);
  request.ifr_data = reinterpret_cast<char*>(&value);
  (void)ioctl(fd, SIOCETHTOOL, &request);
  close(fd);
}

// The kernel forgets this namespace's connections (IPCTNL_MSG_CT_DELETE of everything), which
// outlive the ruleset that had them tracked.
void forget_connections() {
  const int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER);
  if (fd < 0) return;
  struct {
    nlmsghdr header;
    nfgenmsg family;
  } request{};
  request.header.nlmsg_len = sizeof request;
  request.header.nlmsg_type = NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_DELETE;
  request.header.nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
  request.family.nfgen_family = AF_INET;
  char answer[256];
  if (send(fd, &request, sizeof request, 0) > 0) (void)recv(fd, answer, sizeof answer, 0);
  close(fd);
}

}  // namespace

Result<Lab> Lab::make(Wires wires, bool ipv6) {
  Result<NetNs> peer = NetNs::make();
  if (!peer) return std::unexpected(peer.error());
  Result<NetNs> sender = NetNs::make();
  if (!sender) return std::unexpected(sender.error());
  Lab lab(std::move(*sender), std::move(*peer));
  lab.wires_ = wires;
  lab.ipv6_ = ipv6;

  const std::size_t count = wires == Wires::two ? 2 : 1;
  std::string links = "link set lo up\n";
  std::string near;
  std::string far =
      "link set lo up\n"
      "rule add pref 10 lookup local\n"
      "rule del pref 0\n"
      "rule add pref 5 ipproto udp blackhole\n";
  // ip opens the path itself, so it needs a descriptor that survives exec.
  const int peer_fd = dup(lab.peer_.fd());
  for (const Wire& w : std::span(kWires, count)) {
    links += fmt::format(
        "link add {0} address 02:00:00:{2}:00:01 type veth peer name {1} address "
        "02:00:00:{2}:00:02 netns /proc/self/fd/{3}\n",
        w.here, w.there, w.net, peer_fd);
    far += fmt::format("addr add 10.{0}.0.2/24 dev {1}\nlink set {1} up\n", w.net, w.there);
    near += fmt::format("addr add 10.{0}.0.1/24 dev {1}\nlink set {1} up\n", w.net, w.here);
    if (ipv6) {
      far += fmt::format(
          "addr add 2001:db8:{0}::2/64 dev {1} nodad\n"
          "neigh add 2001:db8:{0}::1 dev {1} lladdr 02:00:00:{0}:00:01 nud permanent\n"
          "neigh add fe80::ff:fe{0}:1 dev {1} lladdr 02:00:00:{0}:00:01 nud permanent\n",
          w.net, w.there);
      near += fmt::format(
          "addr add 2001:db8:{0}::1/64 dev {1} nodad\n"
          "neigh add 2001:db8:{0}::2 dev {1} lladdr 02:00:00:{0}:00:02 nud permanent\n"
          "neigh add fe80::ff:fe{0}:2 dev {1} lladdr 02:00:00:{0}:00:02 nud permanent\n",
          w.net, w.here);
    }
    lab.sender_links_.emplace_back(w.here);
    lab.peer_links_.emplace_back(w.there);
  }
  constexpr std::string_view kFar6 =
      "rule add pref 10 lookup local\n"
      "rule del pref 0\n"
      "rule add pref 5 ipproto udp blackhole\n";
  Result<void> done = lab.sender_.enter();
  if (done) done = quiet_namespace(ipv6);
  if (done) done = run({"ip", "-batch", "-"}, links);
  close(peer_fd);
  if (done) {
    const InNetNs there(lab.peer_);
    done = quiet_namespace(ipv6);
    if (done) done = run({"ip", "-batch", "-"}, far);
    if (done && ipv6) done = run({"ip", "-6", "-batch", "-"}, kFar6);
    for (std::size_t i = 0; done && i < count; ++i) {
      Result<WireCapture> capture =
          WireCapture::open(std::string(kWires[i].here), std::string(kWires[i].there),
                            WireCapture::Direction::arriving);
      if (!capture) return std::unexpected(capture.error());
      lab.captures_.push_back(std::move(*capture));
    }
  }
  if (done) done = run({"ip", "-batch", "-"}, near);
  if (!done) return fail(fmt::format("the laboratory cannot be made: {}", done.error().what));
  lab.sync_carrier();
  if (ipv6) {
    {
      const InNetNs there(lab.peer_);
      wait_for_addresses();
    }
    wait_for_addresses();
    usleep(30'000);  // and MLD has told both ends' groups
    (void)lab.frames();
  }
  return lab;
}

Result<void> Lab::reset() {
  const Touched touched = std::exchange(touched_, {});
  const InNetNs here(sender_);
  for (const auto& [name, value] : touched.sysctls)
    if (Result<void> done = set_sysctl(name, value); !done) return done;
  // Each line may find nothing to do, so failures are only seen by what follows them.
  std::string lines =
      "rule flush\n"
      "rule add pref 0 lookup local\n"
      "rule add pref 32766 lookup main\n"
      "rule add pref 32767 lookup default\n"
      "nexthop flush\n"
      "link set lo up mtu 65536\n"
      "addr flush dev lo\n";
  if (touched.links)
    for (const std::string& link : other_links()) lines += fmt::format("link del {}\n", link);
  for (const std::string& link : sender_links_)
    lines += fmt::format(
        "link set {0} up arp on mtu 1500 group default txqueuelen 1000\naddr flush dev {0}\n",
        link);
  lines +=
      "route flush table all\n"
      "neigh flush nud permanent\n"
      "neigh flush nud noarp\n"
      "neigh flush nud all\n";
  (void)run({"ip", "-4", "-force", "-batch", "-"}, lines);
  std::string addresses = "addr add 127.0.0.1/8 scope host dev lo\n";
  for (std::size_t i = 0; i < sender_links_.size(); ++i)
    addresses += fmt::format("addr add 10.{}.0.1/24 dev {}\n", kWires[i].net, kWires[i].here);
  if (Result<void> done = run({"ip", "-batch", "-"}, addresses); !done) return done;
  for (const std::string& link : sender_links_) {
    if (touched.tc) (void)run({"tc", "qdisc", "del", "dev", link, "root"});
    if (touched.ethtool)
      (void)run({"ethtool", "-K", link, "tx", "on", "sg", "on", "gso", "on", "tx-udp-segmentation",
                 "on"});
  }
  if (touched.ruleset) {
    (void)run({"nft", "flush", "ruleset"});
    forget_connections();
  }
  if (touched.peer) {
    const InNetNs there(peer_);
    std::string far = "rule add pref 5 ipproto udp blackhole\n";
    for (const std::string& link : peer_links_)
      far += fmt::format("link set {} up mtu 1500\n", link);
    (void)run({"ip", "-force", "-batch", "-"}, far);
  }
  sync_carrier();
  (void)frames();
  return {};
}

std::string Lab::link_with_address(std::span<const std::uint8_t, 6> address) const {
  const InNetNs here(sender_);
  std::string found;
  const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  struct if_nameindex* all = if_nameindex();
  for (const struct if_nameindex* i = all; i != nullptr && i->if_index != 0; ++i) {
    ifreq request{};
    std::string_view(i->if_name).copy(request.ifr_name, IFNAMSIZ - 1);
    if (ioctl(fd, SIOCGIFHWADDR, &request) == 0 &&
        std::memcmp(request.ifr_hwaddr.sa_data, address.data(), address.size()) == 0)
      found = i->if_name;
  }
  if_freenameindex(all);
  close(fd);
  return found;
}

// Links that a scenario made.
std::vector<std::string> Lab::other_links() const {
  std::vector<std::string> others;
  struct if_nameindex* all = if_nameindex();
  for (const struct if_nameindex* i = all; i != nullptr && i->if_index != 0; ++i)
    if (const std::string name = i->if_name;
        name != "lo" && std::ranges::find(sender_links_, name) == sender_links_.end())
      others.push_back(name);
  if_freenameindex(all);
  return others;
}

// sysctl(8) without a process: the values as they were are kept for reset().
Result<void> Lab::sysctl(const std::vector<std::string>& argv) {
  for (std::size_t i = 2; i < argv.size(); ++i) {
    const std::size_t equal = argv[i].find('=');
    if (equal == std::string::npos)
      return fail(fmt::format("sysctl wants NAME=VALUE, not {}", argv[i]));
    const std::string name = argv[i].substr(0, equal);
    Result<std::string> before = get_sysctl(name);
    if (!before) return std::unexpected(before.error());
    touched_.sysctls.try_emplace(name, std::move(*before));
    if (Result<void> done = set_sysctl(name, argv[i].substr(equal + 1)); !done) return done;
  }
  return {};
}

Result<void> Lab::in_sender(const std::vector<std::string>& argv, std::string_view input) {
  const InNetNs here(sender_);
  if (argv[0] == "sysctl" && argv.size() > 2 && argv[1] == "-w") return sysctl(argv);
  touched_.links |= argv[0] == "ip";
  touched_.tc |= argv[0] == "tc";
  touched_.ethtool |= argv[0] == "ethtool";
  touched_.ruleset |= argv[0] == "nft" || argv[0].starts_with("iptables");
  return run(argv, input);
}

Result<void> Lab::in_peer(const std::vector<std::string>& argv) {
  touched_.peer = true;
  const InNetNs there(peer_);
  return run(argv);
}

Result<void> Lab::peer_answers() {
  if (ipv6_)
    if (Result<void> done = in_peer({"ip", "-6", "rule", "del", "pref", "5"}); !done) return done;
  return in_peer({"ip", "rule", "del", "pref", "5"});
}

Result<void> Lab::peer_sends(std::span<const std::uint8_t> frame) {
  const InNetNs there(peer_);
  const int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
  if (fd < 0) return fail("the peer has no packet socket");
  sockaddr_ll to{};
  to.sll_family = AF_PACKET;
  to.sll_ifindex = static_cast<int>(if_nametoindex(peer_links_.front().c_str()));
  const ssize_t sent =
      sendto(fd, frame.data(), frame.size(), 0, reinterpret_cast<const sockaddr*>(&to), sizeof to);
  close(fd);
  if (sent != static_cast<ssize_t>(frame.size())) return fail("the peer's frame was not sent");
  return {};
}

void Lab::sync_carrier() {
  {
    const InNetNs there(peer_);
    for (const std::string& name : peer_links_) sync_device(name);
  }
  const InNetNs here(sender_);
  // Those that a scenario made on top of them too, from the lowest up.
  struct if_nameindex* all = if_nameindex();
  for (const struct if_nameindex* i = all; i != nullptr && i->if_index != 0; ++i)
    sync_device(i->if_name);
  if_freenameindex(all);
}

std::vector<WireFrame> Lab::frames() {
  std::vector<WireFrame> all;
  for (WireCapture& c : captures_) c.take(all);
  return all;
}

std::vector<int> Lab::capture_fds() const {
  std::vector<int> fds;
  for (const WireCapture& c : captures_) fds.push_back(c.fd());
  return fds;
}

}  // namespace txp::test
