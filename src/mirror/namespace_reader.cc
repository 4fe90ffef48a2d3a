// SPDX-License-Identifier: Apache-2.0
// The rtnetlink and ethtool parts. The rest: read_proc.cc, read_rulesets.cc, read_bpf.cc.
#include "mirror/namespace_reader.h"

#include <algorithm>
#include <cerrno>
#include <cstring>

#include <fmt/format.h>
#include <linux/ethtool_netlink.h>
#include <linux/fib_rules.h>
#include <linux/genetlink.h>
#include <linux/if_addrlabel.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/netlink.h>
#include <linux/nexthop.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include "mirror/attrs.h"

namespace txp {

namespace {

std::string_view what_of(MirrorPart part) {
  switch (part) {
    case MirrorPart::links: return "links";
    case MirrorPart::addrs: return "addresses";
    case MirrorPart::nexthops: return "next hops";
    case MirrorPart::rules: return "rules";
    case MirrorPart::routes: return "routes";
    case MirrorPart::exceptions: return "cached routes";
    case MirrorPart::neighs: return "neighbours";
    case MirrorPart::bridges: return "forwarding databases";
    case MirrorPart::qdiscs: return "queueing disciplines";
    case MirrorPart::classes: return "traffic classes";
    case MirrorPart::addrs6: return "IPv6 addresses";
    case MirrorPart::rules6: return "IPv6 rules";
    case MirrorPart::routes6: return "IPv6 routes";
    case MirrorPart::exceptions6: return "cached IPv6 routes";
    case MirrorPart::addrlabels: return "address labels";
    default: return "objects";
  }
}

Error dump_error(std::string_view what, int error) {
  if (error == EAGAIN)
    return {fmt::format("the dump of {} was interrupted {} times: the namespace changes too fast",
                        what, NlSocket::kDumpAttempts)};
  return {fmt::format("the dump of {} failed: {}", what, std::strerror(error))};
}

}  // namespace

Result<std::unique_ptr<NamespaceReader>> NamespaceReader::open(const std::string& netns) {
  auto thread = NetnsThread::start(netns);
  if (!thread) return std::unexpected(thread.error());
  std::expected<NlSocket, int> route = std::unexpected(0);
  (*thread)->run([&] { route = NlSocket::open(NETLINK_ROUTE); });
  if (!route) return fail(fmt::format("rtnetlink: {}", std::strerror(route.error())));
  return std::unique_ptr<NamespaceReader>(
      new NamespaceReader(std::move(*thread), std::move(*route)));
}

void NamespaceReader::warn(std::string text) {
  if (std::ranges::find(warnings_, text) == warnings_.end()) warnings_.push_back(std::move(text));
}

Result<void> NamespaceReader::read(MirrorPart part, const MessageTaker& take) {
  Result<void> result;
  thread_->run([&] { result = read_here(part, take); });
  return result;
}

Result<void> NamespaceReader::read_features(int ifindex, const MessageTaker& take) {
  Result<void> result;
  thread_->run([&] { result = read_features_here(ifindex, take); });
  return result;
}

Result<void> NamespaceReader::dump(NlRequest& request, MessageType type, std::string_view what,
                                   const MessageTaker& take) {
  const auto all = route_.dump(request);
  if (!all) return std::unexpected(dump_error(what, all.error()));
  Result<void> result;
  all->for_each([&](const nlmsghdr&, Bytes bytes) {
    result = take({type, bytes, {}});
    return result.has_value();
  });
  return result;
}

Result<void> NamespaceReader::take_own(MessageType type, const std::string& text,
                                       const MessageTaker& take) {
  const void* bytes = text.data();
  return take({type, {static_cast<const std::uint8_t*>(bytes), text.size()}, {}});
}

// Where the kernel has no IPv6 there is nothing to read.
Result<void> NamespaceReader::dump6(NlRequest& request, MessageType type, MirrorPart part,
                                    const MessageTaker& take) {
  auto read = dump(request, type, what_of(part), take);
  if (!read && (read.error().what.ends_with(std::strerror(EOPNOTSUPP)) ||
                read.error().what.ends_with(std::strerror(EAFNOSUPPORT))))
    return {};
  return read;
}

Result<void> NamespaceReader::read_here(MirrorPart part, const MessageTaker& take) {
  switch (part) {
    case MirrorPart::links: {
      NlRequest r(RTM_GETLINK, 0);
      r.put_header<ifinfomsg>()->ifi_family = AF_UNSPEC;
      constexpr std::uint32_t kSkipStats = 1U << 3;  // RTEXT_FILTER_SKIP_STATS
      mnl_attr_put_u32(r.header(), IFLA_EXT_MASK, kSkipStats);
      return dump(r, MessageType::new_link, what_of(part), take);
    }
    case MirrorPart::addrs: {
      NlRequest r(RTM_GETADDR, 0);
      r.put_header<ifaddrmsg>()->ifa_family = AF_INET;
      return dump(r, MessageType::new_addr, what_of(part), take);
    }
    case MirrorPart::nexthops: {
      NlRequest r(RTM_GETNEXTHOP, 0);
      r.put_header<nhmsg>()->nh_family = AF_UNSPEC;
      const auto read = dump(r, MessageType::new_nexthop, what_of(part), take);
      // Before 5.3 there are none.
      if (!read && read.error().what.ends_with(std::strerror(EOPNOTSUPP))) return {};
      return read;
    }
    case MirrorPart::rules: {
      NlRequest r(RTM_GETRULE, 0);
      r.put_header<fib_rule_hdr>()->family = AF_INET;
      return dump(r, MessageType::new_rule, what_of(part), take);
    }
    case MirrorPart::routes: {
      NlRequest r(RTM_GETROUTE, 0);
      r.put_header<rtmsg>()->rtm_family = AF_INET;
      return dump(r, MessageType::new_route, what_of(part), take);
    }
    case MirrorPart::exceptions: {
      NlRequest r(RTM_GETROUTE, 0);
      auto* h = r.put_header<rtmsg>();
      h->rtm_family = AF_INET;
      h->rtm_flags = RTM_F_CLONED;
      return dump(r, MessageType::new_route, what_of(part), take);
    }
    case MirrorPart::neighs: {
      NlRequest r(RTM_GETNEIGH, 0);
      r.put_header<ndmsg>()->ndm_family = AF_INET;
      if (auto read = dump(r, MessageType::new_neigh, what_of(part), take); !read) return read;
      NlRequest proxies(RTM_GETNEIGH, 0);
      auto* h = proxies.put_header<ndmsg>();
      h->ndm_family = AF_INET;
      h->ndm_flags = NTF_PROXY;
      if (auto read = dump(proxies, MessageType::new_neigh, "proxy neighbours", take); !read)
        return read;
      NlRequest six(RTM_GETNEIGH, 0);
      six.put_header<ndmsg>()->ndm_family = AF_INET6;
      return dump(six, MessageType::new_neigh, what_of(part), take);
    }
    case MirrorPart::bridges: return read_bridges(take);
    case MirrorPart::qdiscs: {
      NlRequest r(RTM_GETQDISC, 0);
      r.put_header<tcmsg>()->tcm_family = AF_UNSPEC;
      return dump(r, MessageType::new_qdisc, what_of(part), take);
    }
    case MirrorPart::addrs6: {
      NlRequest r(RTM_GETADDR, 0);
      r.put_header<ifaddrmsg>()->ifa_family = AF_INET6;
      return dump(r, MessageType::new_addr, what_of(part), take);
    }
    case MirrorPart::rules6: {
      NlRequest r(RTM_GETRULE, 0);
      r.put_header<fib_rule_hdr>()->family = AF_INET6;
      return dump6(r, MessageType::new_rule, part, take);
    }
    case MirrorPart::routes6: {
      NlRequest r(RTM_GETROUTE, 0);
      r.put_header<rtmsg>()->rtm_family = AF_INET6;
      return dump6(r, MessageType::new_route, part, take);
    }
    case MirrorPart::exceptions6: {
      NlRequest r(RTM_GETROUTE, 0);
      auto* h = r.put_header<rtmsg>();
      h->rtm_family = AF_INET6;
      h->rtm_flags = RTM_F_CLONED;
      return dump6(r, MessageType::new_route, part, take);
    }
    case MirrorPart::addrlabels: {
      NlRequest r(RTM_GETADDRLABEL, 0);
      r.put_header<ifaddrlblmsg>()->ifal_family = AF_INET6;
      return dump6(r, MessageType::new_addrlabel, part, take);
    }
    case MirrorPart::multicast6: return read_multicast6(take);
    case MirrorPart::classes: return read_classes(take);
    case MirrorPart::filters: return read_filters(take);
    case MirrorPart::multicast: return read_multicast(take);
    case MirrorPart::egress_hooks: return read_egress_hooks(take);
    case MirrorPart::nft: return read_nft(take);
    case MirrorPart::foreign_hooks: return read_foreign_hooks(take);
    case MirrorPart::xfrm: return read_xfrm(take);
    case MirrorPart::obstacles: return read_obstacles(take);
    case MirrorPart::sysctls: return read_sysctls(take);
    case MirrorPart::xps: return read_xps(take);
  }
  return {};
}

// Only where there is a device that has one: the kernel's dump is a long list otherwise.
Result<void> NamespaceReader::read_bridges(const MessageTaker& take) {
  bool any = false;
  bool filtering = false;
  const auto links = read_here(MirrorPart::links, [&](const Message& m) -> Result<void> {
    auto decoded = decode(m);
    if (!decoded) return std::unexpected(decoded.error());
    if (const Link* l = std::get_if<Link>(&decoded->what)) {
      any |= l->kind == "bridge" || l->kind == "vxlan";
      const auto* bridge = l->as<BridgeInfo>();
      filtering |= bridge != nullptr && bridge->vlan_filtering;
    }
    return {};
  });
  if (!links || !any) return links;
  if (filtering) {
    NlRequest r(RTM_GETLINK, 0);
    r.put_header<ifinfomsg>()->ifi_family = AF_BRIDGE;
    constexpr std::uint32_t kBridgeVlans = 1U << 2;  // RTEXT_FILTER_BRVLAN_COMPRESSED
    mnl_attr_put_u32(r.header(), IFLA_EXT_MASK, kBridgeVlans);
    if (auto read = dump(r, MessageType::new_link, "bridges' ports", take); !read) return read;
  }
  NlRequest r(RTM_GETNEIGH, 0);
  r.put_header<ndmsg>()->ndm_family = AF_BRIDGE;
  return dump(r, MessageType::new_neigh, what_of(MirrorPart::bridges), take);
}

Result<std::vector<NamespaceReader::Interface>> NamespaceReader::interfaces() {
  std::vector<Interface> all;
  const auto read = read_here(MirrorPart::links, [&all](const Message& m) -> Result<void> {
    auto decoded = decode(m);
    if (!decoded) return std::unexpected(decoded.error());
    if (const Link* l = std::get_if<Link>(&decoded->what))
      all.push_back({l->ifindex, l->name, l->num_tx_queues});
    return {};
  });
  if (!read) return std::unexpected(read.error());
  return all;
}

// The disciplines on which filters can hang.
Result<std::vector<QdiscSpec>> NamespaceReader::classful_qdiscs() {
  static constexpr std::string_view kPlain[] = {"noqueue", "pfifo_fast", "pfifo", "bfifo",
                                                "mq",      "ingress",    "fq",    "codel"};
  std::vector<QdiscSpec> all;
  const auto read = read_here(MirrorPart::qdiscs, [&](const Message& m) -> Result<void> {
    auto decoded = decode(m);
    if (!decoded) return std::unexpected(decoded.error());
    if (auto* q = std::get_if<QdiscSpec>(&decoded->what);
        q != nullptr && std::ranges::find(kPlain, q->kind) == std::end(kPlain))
      all.push_back(std::move(*q));
    return {};
  });
  if (!read) return std::unexpected(read.error());
  return all;
}

Result<void> NamespaceReader::read_classes(const MessageTaker& take) {
  const auto qdiscs = classful_qdiscs();
  if (!qdiscs) return std::unexpected(qdiscs.error());
  int last = 0;
  for (const QdiscSpec& q : *qdiscs) {
    if (q.ifindex == last || !class_is_configured(q.kind)) continue;  // one dump has a device's
    last = q.ifindex;
    NlRequest r(RTM_GETTCLASS, 0);
    auto* h = r.put_header<tcmsg>();
    h->tcm_family = AF_UNSPEC;
    h->tcm_ifindex = q.ifindex;
    const auto read = dump(r, MessageType::new_class, what_of(MirrorPart::classes), take);
    if (!read && !read.error().what.ends_with(std::strerror(ENODEV))) return read;
  }
  return {};
}

// Of every block: a discipline's own, its classes', and clsact's egress side. Those of a shared
// block do not name their interface.
Result<void> NamespaceReader::read_filters(const MessageTaker& take) {
  const auto qdiscs = classful_qdiscs();
  if (!qdiscs) return std::unexpected(qdiscs.error());
  struct Block {
    int ifindex;
    std::uint32_t parent;
  };
  std::vector<Block> blocks;
  for (const QdiscSpec& q : *qdiscs)
    blocks.push_back(
        {q.ifindex, q.kind == "clsact" ? TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_EGRESS) : q.handle});
  const auto classes = read_classes([&](const Message& m) -> Result<void> {
    auto decoded = decode(m);
    if (!decoded) return std::unexpected(decoded.error());
    // Only an htb's or drr's inner classes have blocks of their own.
    if (const auto* c = std::get_if<ClassSpec>(&decoded->what); c != nullptr && c->kind == "htb")
      blocks.push_back({c->ifindex, c->classid});
    return {};
  });
  if (!classes) return classes;
  for (const auto& [ifindex, parent] : blocks) {
    NlRequest r(RTM_GETTFILTER, 0);
    auto* h = r.put_header<tcmsg>();
    h->tcm_family = AF_UNSPEC;
    h->tcm_ifindex = ifindex;
    h->tcm_parent = parent;
    const auto all = route_.dump(r);
    if (!all && (all.error() == ENODEV || all.error() == EINVAL)) continue;  // gone meanwhile
    if (!all) return std::unexpected(dump_error("filters", all.error()));
    Result<void> result;
    all->for_each([&](const nlmsghdr&, Bytes bytes) {
      tcmsg t{};
      if (bytes.size() < sizeof(nlmsghdr) + sizeof t) return true;
      std::memcpy(&t, bytes.data() + sizeof(nlmsghdr), sizeof t);
      if (t.tcm_ifindex == ifindex)
        result = take({MessageType::new_filter, bytes, {}});
      else
        result =
            take_own(MessageType::egress_hook,
                     encode(EgressHook{ifindex, "filter", "a filter of a shared block"}), take);
      return result.has_value();
    });
    if (!result) return result;
  }
  return {};
}

Result<void> NamespaceReader::read_features_here(int ifindex, const MessageTaker& take) {
  if (!genl_) {
    auto opened = NlSocket::open(NETLINK_GENERIC);
    if (!opened) {
      warn(fmt::format("interfaces' offloads: {}", std::strerror(opened.error())));
      return {};
    }
    genl_ = std::make_unique<NlSocket>(std::move(*opened));
    NlRequest r(GENL_ID_CTRL, 0);
    auto* h = r.put_header<genlmsghdr>();
    h->cmd = CTRL_CMD_GETFAMILY;
    h->version = 1;
    mnl_attr_put_strz(r.header(), CTRL_ATTR_FAMILY_NAME, ETHTOOL_GENL_NAME);
    const auto answer = genl_->ask(r);
    if (answer) {
      answer->for_each([this](const nlmsghdr&, Bytes bytes) {
        Attrs<CTRL_ATTR_MAX> a(
            bytes.subspan(std::min(bytes.size(), sizeof(nlmsghdr) + sizeof(genlmsghdr))));
        ethtool_family_ = a.u16(CTRL_ATTR_FAMILY_ID).value_or(0);
        return false;
      });
    }
  }
  if (ethtool_family_ == 0) {
    warn("interfaces' offloads: this kernel has no ethtool netlink; none are assumed");
    return {};
  }
  NlRequest r(ethtool_family_, 0);
  auto* h = r.put_header<genlmsghdr>();
  h->cmd = ETHTOOL_MSG_FEATURES_GET;
  h->version = ETHTOOL_GENL_VERSION;
  nlattr* nest = mnl_attr_nest_start(r.header(), ETHTOOL_A_FEATURES_HEADER);
  if (ifindex != 0)
    mnl_attr_put_u32(r.header(), ETHTOOL_A_HEADER_DEV_INDEX, static_cast<std::uint32_t>(ifindex));
  mnl_attr_nest_end(r.header(), nest);
  const auto all = ifindex != 0 ? genl_->ask(r) : genl_->dump(r);
  if (!all) {
    if (all.error() == ENODEV) return {};
    return std::unexpected(dump_error("interfaces' features", all.error()));
  }
  Result<void> result;
  all->for_each([&](const nlmsghdr&, Bytes bytes) {
    result = take({MessageType::features, bytes, {}});
    return result.has_value();
  });
  return result;
}

}  // namespace txp
