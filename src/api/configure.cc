// SPDX-License-Identifier: Apache-2.0
// Configuration of a txpath::Net by code: ip(8)'s link, address, route and neighbour.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>

#include "api/net_impl.h"
#include "dev/netdevice.h"
#include "neigh/neighbour.h"
#include "route/fib.h"
#include "route/fib_add_ifaddr.h"
#include "wire/ip4.h"

namespace txpath {
namespace {

std::unexpected<Error> refuse(std::string what) { return std::unexpected(Error{std::move(what)}); }

// "10.0.0.1/24", "10.0.0.1", "default".
std::optional<txp::Prefix4> parse_prefix(std::string_view text) {
  if (text == "default") return txp::Prefix4{};
  const std::size_t slash = text.find('/');
  const auto addr = txp::Ip4::parse(text.substr(0, slash));
  if (!addr) return std::nullopt;
  txp::Prefix4 prefix{*addr, 32};
  if (slash == std::string_view::npos) return prefix;
  const std::string_view digits = text.substr(slash + 1);
  const auto [end, error] =
      std::from_chars(digits.data(), digits.data() + digits.size(), prefix.len);
  if (error != std::errc() || end != digits.data() + digits.size() || prefix.len > 32)
    return std::nullopt;
  return prefix;
}

}  // namespace

Result<void> Net::add_link(const LinkConfig& config) {
  txp::Net& net = impl_->net;
  if (config.name.empty() || config.name.size() > 15)
    return refuse(fmt::format("\"{}\" is not a device name: 1 to 15 characters", config.name));
  const std::lock_guard guard(net.rtnl);
  if (net.dev->by_name(config.name) != nullptr)
    return refuse(fmt::format("device {} exists", config.name));
  txp::Link link;
  link.ifindex = 2;
  for (const txp::NetDevice* d : net.dev->all())
    link.ifindex = std::max(link.ifindex, d->ifindex + 1);
  link.name = config.name;
  link.kind = "veth";
  link.flags =
      txp::kIffUp | txp::kIffBroadcast | txp::kIffRunning | txp::kIffMulticast | txp::kIffLowerUp;
  link.mtu = config.mtu;
  link.txqlen = config.txqueuelen;
  link.qdisc = config.qdisc;
  if (config.address.empty()) {
    const std::uint32_t r = net.random.u32();
    link.address = {{0x02, 0, static_cast<std::uint8_t>(r >> 24),
                     static_cast<std::uint8_t>(r >> 16), static_cast<std::uint8_t>(r >> 8),
                     static_cast<std::uint8_t>(r)}};
  } else if (const auto mac = txp::MacAddr::parse(config.address)) {
    link.address = *mac;
  } else {
    return refuse(fmt::format("\"{}\" is not a hardware address", config.address));
  }
  if (config.mtu < 68 || config.mtu > 65535)
    return refuse(fmt::format("mtu {} is not between 68 and 65535", config.mtu));
  // Those that need no options.
  static constexpr std::string_view kQdiscs[] = {"noqueue", "pfifo_fast", "pfifo", "bfifo",
                                                 "codel",   "fq_codel",   "fq",    "sfq"};
  if (std::ranges::find(kQdiscs, config.qdisc) == std::end(kQdiscs))
    return refuse(fmt::format("qdisc {} is not one of {}", config.qdisc, fmt::join(kQdiscs, ", ")));
  net.dev->set_link(link);
  txp::QdiscSpec root;
  root.ifindex = link.ifindex;
  root.kind = config.qdisc;
  root.parent = 0xffffffff;  // TC_H_ROOT
  root.text = fmt::format("qdisc {} 0: dev {} root", config.qdisc, config.name);
  net.dev->set_qdiscs(link.ifindex, {root});
  net.dev->set_mc_groups(link.ifindex, {txp::Ip4{0xe0000001}});  // 224.0.0.1
  return {};
}

Result<void> Net::add_address(const std::string& dev, const std::string& cidr) {
  txp::Net& net = impl_->net;
  const auto prefix = parse_prefix(cidr);
  if (!prefix) return refuse(fmt::format("\"{}\" is not an address: 10.0.0.1/24", cidr));
  const std::lock_guard guard(net.rtnl);
  const txp::NetDevice* device = net.dev->by_name(dev);
  if (device == nullptr) return refuse(fmt::format("no device {}", dev));
  const bool loopback = (device->flags() & txp::kIffLoopback) != 0;
  txp::InAddr addr;
  addr.ifindex = device->ifindex;
  addr.local = addr.peer = prefix->addr;
  addr.prefixlen = prefix->len;
  addr.label = dev;
  if (prefix->addr.is_loopback())
    addr.scope = txp::kScopeHost;
  else if (prefix->len < 31)
    addr.broadcast = {prefix->addr.host | ~txp::inet_make_mask(prefix->len)};
  net.dev->set_addr(addr);
  if (auto ok = txp::fib_add_ifaddr(net, addr, loopback); !ok) return refuse(ok.error().what);
  return {};
}

Result<void> Net::add_route(const RouteConfig& config) {
  txp::Net& net = impl_->net;
  const auto prefix = parse_prefix(config.prefix);
  if (!prefix) return refuse(fmt::format("\"{}\" is not a prefix: 10.0.0.0/8", config.prefix));
  if ((prefix->addr.host & ~txp::inet_make_mask(prefix->len)) != 0)
    return refuse(fmt::format("{} has bits set outside its prefix", config.prefix));
  const std::lock_guard guard(net.rtnl);
  const txp::NetDevice* device = net.dev->by_name(config.dev);
  if (device == nullptr) return refuse(fmt::format("no device {}", config.dev));
  txp::Route route;
  route.table = config.table;
  route.dst = *prefix;
  route.priority = config.metric;
  route.scope = config.via ? txp::kScopeUniverse : txp::kScopeLink;
  if (config.src) route.prefsrc = txp::Ip4{config.src->host};
  route.metrics.value[txp::kRtaxMtu] = config.mtu;
  txp::NextHop hop;
  hop.oif = device->ifindex;
  if (config.via) hop.gateway = txp::Ip4{config.via->host};
  hop.scope = config.via ? txp::kScopeLink : txp::kScopeHost;
  route.nexthops.push_back(hop);
  if (auto ok = net.fib->add(route); !ok) return refuse(ok.error().what);
  return {};
}

Result<void> Net::add_neighbour(const std::string& dev, Ipv4Address ip, const std::string& lladdr) {
  txp::Net& net = impl_->net;
  const auto mac = txp::MacAddr::parse(lladdr);
  if (!mac) return refuse(fmt::format("\"{}\" is not a hardware address", lladdr));
  const std::lock_guard guard(net.rtnl);
  const txp::NetDevice* device = net.dev->by_name(dev);
  if (device == nullptr) return refuse(fmt::format("no device {}", dev));
  txp::NeighSpec spec;
  spec.ifindex = device->ifindex;
  spec.dst = txp::Ip4{ip.host};
  spec.lladdr = *mac;
  spec.has_lladdr = true;
  spec.state = txp::Nud::permanent;
  net.neigh->set(spec);
  return {};
}

}  // namespace txpath
