// SPDX-License-Identifier: Apache-2.0
#include "mirror/live.h"

#include <array>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <mutex>
#include <optional>

#include <arpa/inet.h>
#include <fmt/format.h>
#include <linux/ethtool_netlink.h>
#include <linux/genetlink.h>
#include <linux/neighbour.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/xfrm.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "dev/netdevice.h"
#include "mirror/attrs.h"
#include "mirror/importer.h"
#include "mirror/mirror.h"
#include "mirror/namespace_reader.h"
#include "neigh/neighbour.h"
#include "net.h"
#include "netfilter/nf_hook.h"

namespace txp {

namespace {

constexpr int kReceiveBuffer = 32 * 1024 * 1024;  // bytes; some 100,000 route changes
constexpr Nanos kSlowPeriod = kSecond;            // how old what the kernel never announces may be
constexpr Nanos kManyDevicesPeriod = 10 * kSecond;  // the same where there is much to read
constexpr std::size_t kManyDevices = 64;
constexpr Nanos kExceptionsPeriod = 10 * kSecond;  // with a large table the kernel walks all of it
constexpr std::size_t kLargeTable = 100'000;       // routes
constexpr unsigned kIpv4McaddrGroup = 37;          // RTNLGRP_IPV4_MCADDR, since 6.15

std::optional<MessageType> rtnetlink_type(std::uint16_t type) {
  switch (type) {
    case RTM_NEWLINK: return MessageType::new_link;
    case RTM_DELLINK: return MessageType::del_link;
    case RTM_NEWADDR: return MessageType::new_addr;
    case RTM_DELADDR: return MessageType::del_addr;
    case RTM_NEWROUTE: return MessageType::new_route;
    case RTM_DELROUTE: return MessageType::del_route;
    case RTM_NEWRULE: return MessageType::new_rule;
    case RTM_DELRULE: return MessageType::del_rule;
    case RTM_NEWNEXTHOP: return MessageType::new_nexthop;
    case RTM_DELNEXTHOP: return MessageType::del_nexthop;
    case RTM_NEWNEIGH: return MessageType::new_neigh;
    case RTM_DELNEIGH: return MessageType::del_neigh;
    case RTM_NEWQDISC: return MessageType::new_qdisc;
    case RTM_DELQDISC: return MessageType::del_qdisc;
    case RTM_NEWTCLASS: return MessageType::new_class;
    case RTM_DELTCLASS: return MessageType::del_class;
    case RTM_NEWTFILTER: return MessageType::new_filter;
    case RTM_DELTFILTER: return MessageType::del_filter;
    case 56:  // RTM_NEWMULTICAST, in the headers since 6.14
      return MessageType::new_multicast;
    case 57: return MessageType::del_multicast;
    default: return std::nullopt;
  }
}

}  // namespace

struct Live::Impl {
  Net& net;
  Mirror mirror;
  std::unique_ptr<NamespaceReader> reader;
  std::unique_ptr<NlSocket> route;
  std::unique_ptr<NlSocket> nft;
  std::unique_ptr<NlSocket> xfrm;
  std::unique_ptr<NlSocket> asker;  // sends only: requests for neighbours, from any thread
  int confirmer = -1;               // a UDP socket of the namespace that sends nothing
  int confirmer6 = -1;              // and one of AF_INET6, where there is IPv6
  int epoll = -1;
  Nanos slow_read = 0;
  Nanos exceptions_read = 0;
  ImportReport report;
  std::size_t resyncs = 0;

  explicit Impl(Net& n) : net(n), mirror(n) {}
  ~Impl() {
    if (epoll >= 0) close(epoll);
    if (confirmer >= 0) close(confirmer);
    if (confirmer6 >= 0) close(confirmer6);
  }

  Result<void> subscribe(int receive_buffer);
  void watch(const NlSocket& s) const {
    epoll_event e{};
    e.events = EPOLLIN;
    e.data.fd = s.fd();
    (void)epoll_ctl(epoll, EPOLL_CTL_ADD, s.fd(), &e);
  }
  void ask_kernel(int ifindex, Ip4 next_hop) const;
  void confirm_kernel(int ifindex, Ip4 next_hop) const;
  void ask_kernel6(int ifindex, const Ip6& next_hop) const;
  void confirm_kernel6(int ifindex, const Ip6& next_hop) const;
  Result<std::size_t> drain(bool& lost);
  Result<void> reread(MirrorPart part);
  Result<void> reread_stale();
};

Result<void> Live::Impl::subscribe(int receive_buffer) {
  Result<void> result;
  reader->thread().run([&] {
    const auto open = [&](int bus, std::unique_ptr<NlSocket>& into) {
      auto s = NlSocket::open(bus);
      if (!s) return s.error();
      into = std::make_unique<NlSocket>(std::move(*s));
      into->set_receive_buffer(receive_buffer);
      return 0;
    };
    int error = open(NETLINK_ROUTE, route);
    if (error == 0) error = open(NETLINK_ROUTE, asker);
    confirmer = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    confirmer6 = ::socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    for (const unsigned group : {RTNLGRP_LINK, RTNLGRP_NEIGH, RTNLGRP_TC, RTNLGRP_IPV4_IFADDR,
                                 RTNLGRP_IPV4_ROUTE, RTNLGRP_IPV4_RULE, RTNLGRP_IPV4_NETCONF})
      if (error == 0) error = route->join(group);
    for (const unsigned group :
         {RTNLGRP_IPV6_IFADDR, RTNLGRP_IPV6_ROUTE, RTNLGRP_IPV6_RULE, RTNLGRP_IPV6_NETCONF})
      if (error == 0) error = route->join(group);
    if (error != 0) {
      result = fail(fmt::format("rtnetlink notifications: {}", std::strerror(error)));
      return;
    }
    // Younger groups: without them what they tell is read again now and then.
    (void)route->join(RTNLGRP_NEXTHOP);
    (void)route->join(kIpv4McaddrGroup);
    watch(*route);
    // Not every kernel has these, and not every user may listen to them.
    if (open(NETLINK_NETFILTER, nft) == 0 && nft->join(NFNLGRP_NFTABLES) == 0)
      watch(*nft);
    else
      nft.reset();
    if (open(NETLINK_XFRM, xfrm) == 0 && xfrm->join(XFRMNLGRP_POLICY) == 0)
      watch(*xfrm);
    else
      xfrm.reset();
  });
  return result;
}

// neigh_event_send() by remote: creates the entry when needed and starts its resolution.
void Live::Impl::ask_kernel(int ifindex, Ip4 next_hop) const {
  NlRequest r(RTM_NEWNEIGH, NLM_F_CREATE);
  auto* h = r.put_header<ndmsg>();
  h->ndm_family = AF_INET;
  h->ndm_ifindex = ifindex;
  h->ndm_flags = NTF_USE;
  h->ndm_state = NUD_NONE;
  mnl_attr_put_u32(r.header(), NDA_DST, htonl(next_hop.host));
  (void)asker->send(r);
}

// MSG_CONFIRM with MSG_PROBE and no payload sends nothing and confirms the neighbour.
void Live::Impl::confirm_kernel(int ifindex, Ip4 next_hop) const {
  constexpr int kMsgProbeFlag = 0x10;
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(9);
  to.sin_addr.s_addr = htonl(next_hop.host);
  alignas(cmsghdr) std::array<std::uint8_t, CMSG_SPACE(sizeof(in_pktinfo))> control{};
  cmsghdr head{};
  head.cmsg_level = IPPROTO_IP;
  head.cmsg_type = IP_PKTINFO;
  head.cmsg_len = CMSG_LEN(sizeof(in_pktinfo));
  in_pktinfo by{};
  by.ipi_ifindex = ifindex;
  std::memcpy(control.data(), &head, sizeof head);
  std::memcpy(control.data() + CMSG_LEN(0), &by, sizeof by);
  msghdr m{};
  m.msg_name = &to;
  m.msg_namelen = sizeof to;
  m.msg_control = control.data();
  m.msg_controllen = control.size();
  (void)::sendmsg(confirmer, &m, MSG_CONFIRM | kMsgProbeFlag | MSG_DONTWAIT | MSG_NOSIGNAL);
}

void Live::Impl::ask_kernel6(int ifindex, const Ip6& next_hop) const {
  NlRequest r(RTM_NEWNEIGH, NLM_F_CREATE);
  auto* h = r.put_header<ndmsg>();
  h->ndm_family = AF_INET6;
  h->ndm_ifindex = ifindex;
  h->ndm_flags = NTF_USE;
  h->ndm_state = NUD_NONE;
  std::uint8_t bytes[16];
  next_hop.store(bytes);
  mnl_attr_put(r.header(), NDA_DST, sizeof bytes, bytes);
  (void)asker->send(r);
}

void Live::Impl::confirm_kernel6(int ifindex, const Ip6& next_hop) const {
  constexpr int kMsgProbeFlag = 0x10;
  sockaddr_in6 to{};
  to.sin6_family = AF_INET6;
  to.sin6_port = htons(9);
  next_hop.store(to.sin6_addr.s6_addr);
  to.sin6_scope_id = static_cast<std::uint32_t>(ifindex);
  (void)::sendto(confirmer6, nullptr, 0, MSG_CONFIRM | kMsgProbeFlag | MSG_DONTWAIT | MSG_NOSIGNAL,
                 reinterpret_cast<const sockaddr*>(&to), sizeof to);
}

// Notifications that have come. `lost`: the kernel had to throw some away.
Result<std::size_t> Live::Impl::drain(bool& lost) {
  std::size_t n = 0;
  Result<void> result;
  const int error = route->receive([&](const nlmsghdr& h, Bytes bytes) {
    ++n;
    if (!result) return;
    if (h.nlmsg_type == RTM_NEWNETCONF) mirror.set_stale(MirrorPart::sysctls, true);
    const auto type = rtnetlink_type(h.nlmsg_type);
    if (type) result = mirror.apply({*type, bytes, {}});
  });
  if (error == ENOBUFS) {
    // What is still queued is older than the dump that must follow, and the kernel tells of the
    // next loss only after the queue was empty once.
    lost = true;
    while (route->receive([&n](const nlmsghdr&, Bytes) { ++n; }) == ENOBUFS) continue;
    result = {};
  } else if (error != 0) {
    return fail(fmt::format("rtnetlink notifications: {}", std::strerror(error)));
  }
  if (!result) return std::unexpected(result.error());
  const auto hint = [&](const std::unique_ptr<NlSocket>& s, MirrorPart part) {
    if (!s) return;
    bool any = false;
    while (s->receive([&any](const nlmsghdr&, Bytes) { any = true; }) == ENOBUFS) any = true;
    if (any) mirror.set_stale(part, true);
    n += any ? 1 : 0;
  };
  hint(nft, MirrorPart::nft);
  hint(xfrm, MirrorPart::xfrm);
  // Whoever never reads the answers to his requests is not sent any more.
  (void)asker->receive([](const nlmsghdr&, Bytes) {});
  return n;
}

Result<void> Live::Impl::reread(MirrorPart part) {
  mirror.begin(part);
  auto read =
      reader->read(part, [this](const Message& m) -> Result<void> { return mirror.apply(m); });
  mirror.end(part);
  return read;
}

Result<void> Live::Impl::reread_stale() {
  for (const int ifindex : mirror.take_featureless())
    if (auto read = reader->read_features(
            ifindex, [this](const Message& m) -> Result<void> { return mirror.apply(m); });
        !read)
      return read;
  for (const MirrorPart part :
       {MirrorPart::xps,        MirrorPart::sysctls,       MirrorPart::addrs,
        MirrorPart::nexthops,   MirrorPart::rules,         MirrorPart::routes,
        MirrorPart::exceptions, MirrorPart::qdiscs,        MirrorPart::classes,
        MirrorPart::filters,    MirrorPart::egress_hooks,  MirrorPart::multicast,
        MirrorPart::nft,        MirrorPart::foreign_hooks, MirrorPart::xfrm,
        MirrorPart::obstacles,  MirrorPart::addrs6,        MirrorPart::rules6,
        MirrorPart::routes6,    MirrorPart::exceptions6,   MirrorPart::multicast6,
        MirrorPart::addrlabels, MirrorPart::bridges}) {
    if (!mirror.stale(part)) continue;
    if (auto read = reread(part); !read) return read;
  }
  return {};
}

Live::Live(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

Live::~Live() {
  impl_->net.neigh->ask_kernel = nullptr;
  impl_->net.neigh->confirm_kernel = nullptr;
  impl_->net.neigh6->ask_kernel6 = nullptr;
  impl_->net.neigh6->confirm_kernel6 = nullptr;
}

Result<std::unique_ptr<Live>> Live::open(Net& net, const ImportOptions& options) {
  auto impl = std::make_unique<Impl>(net);
  auto reader = NamespaceReader::open(options.netns);
  if (!reader) return std::unexpected(reader.error());
  impl->reader = std::move(*reader);
  impl->epoll = epoll_create1(EPOLL_CLOEXEC);
  if (impl->epoll < 0) return fail(fmt::format("epoll: {}", std::strerror(errno)));
  if (auto subscribed = impl->subscribe(options.notification_buffer); !subscribed)
    return std::unexpected(subscribed.error());
  const std::lock_guard guard(net.rtnl);
  net.nf->conntrack.mode = CtMode::unknown;  // the kernel's table does not see our packets
  net.neigh->owner = net.neigh6->owner = NeighOwner::kernel;  // first: nothing arms a timer
  const auto messages = import_all(*impl->reader, impl->mirror, false, options.record);
  if (!messages) return std::unexpected(messages.error());
  impl->report = {
      .warnings = impl->reader->warnings(), .messages = *messages, .routes = impl->mirror.routes()};
  impl->mirror.follow();
  impl->slow_read = impl->exceptions_read = net.clock.now();
  net.neigh->ask_kernel = [raw = impl.get()](int ifindex, Ip4 next_hop) {
    raw->ask_kernel(ifindex, next_hop);
  };
  net.neigh->confirm_kernel = [raw = impl.get()](int ifindex, Ip4 next_hop) {
    raw->confirm_kernel(ifindex, next_hop);
  };
  net.neigh6->ask_kernel6 = [raw = impl.get()](int ifindex, const Ip6& next_hop) {
    raw->ask_kernel6(ifindex, next_hop);
  };
  net.neigh6->confirm_kernel6 = [raw = impl.get()](int ifindex, const Ip6& next_hop) {
    raw->confirm_kernel6(ifindex, next_hop);
  };
  return std::unique_ptr<Live>(new Live(std::move(impl)));
}

void Live::doubt_exceptions() { impl_->mirror.set_stale(MirrorPart::exceptions, true); }

int Live::fd() const { return impl_->epoll; }
const ImportReport& Live::report() const { return impl_->report; }
std::size_t Live::resyncs() const { return impl_->resyncs; }

Result<std::size_t> Live::pump() {
  Impl& i = *impl_;
  const std::lock_guard guard(i.net.rtnl);
  bool lost = false;
  auto n = i.drain(lost);
  if (!n) return n;
  if (lost) {
    ++i.resyncs;
    if (auto all = import_all(*i.reader, i.mirror, true, {}); !all)
      return std::unexpected(all.error());
    return *n + 1;
  }
  const Nanos now = i.net.clock.now();
  const bool many = i.net.dev->all().size() > kManyDevices;
  if (now - i.slow_read >= (many ? kManyDevicesPeriod : kSlowPeriod)) {
    i.slow_read = now;
    for (const MirrorPart p :
         {MirrorPart::sysctls, MirrorPart::egress_hooks, MirrorPart::xps, MirrorPart::foreign_hooks,
          MirrorPart::obstacles, MirrorPart::multicast, MirrorPart::multicast6,
          MirrorPart::addrlabels, MirrorPart::exceptions6})
      i.mirror.set_stale(p, true);
    if (i.mirror.routes() < kLargeTable || now - i.exceptions_read >= kExceptionsPeriod) {
      i.exceptions_read = now;
      i.mirror.set_stale(MirrorPart::exceptions, true);
    }
  }
  if (auto read = i.reread_stale(); !read) return std::unexpected(read.error());
  i.mirror.commit();
  return n;
}

}  // namespace txp
