// SPDX-License-Identifier: Apache-2.0
// ip_route_input: what this host does with a packet that came in.
//
// Kernel twin: net/ipv4/route.c, ip_route_input_rcu(), ip_route_input_slow(),
// ip_mc_validate_source(); net/ipv4/fib_frontend.c, fib_validate_source().
// Differs: rp_filter is off or strict (loose counts as strict); no bc_forwarding, no forwarding of
// multicast, no cached routes; custom routes in the local table do not make the source check full.
#include <algorithm>

#include "dev/netdevice.h"
#include "ip/ip_input.h"
#include "net.h"
#include "route/fib_lookup.h"
#include "route/ip_route.h"
#include "route/output.h"
#include "wire/ethernet.h"

namespace txp {
namespace {

constexpr int kLoopbackIfindex = 1;
using Checked = std::expected<void, DropReason>;

std::unexpected<DropReason> martian(DropReason reason) { return std::unexpected(reason); }

// inet_lookup_ifaddr_rcu().
bool is_own_address(const Net& net, Ip4 addr) {
  return std::ranges::any_of(net.dev->all(), [addr](const NetDevice* dev) {
    return std::ranges::any_of(dev->in_dev().addrs,
                               [addr](const InAddr& a) { return a.local == addr; });
  });
}

bool uses_dev(const FibResult& res, const NetDevice& dev) {  // fib_info_nh_uses_dev()
  for (unsigned i = 0; i < fib_info_num_path(res); ++i)
    if (const FibNh* nh = fib_info_nhc(res, i); nh != nullptr && nh->oif == dev.ifindex)
      return true;
  return false;
}

// __fib_validate_source(): does the way back to `src` lead over `dev`?
Checked full_check(Net& net, const NetDevice& dev, Ip4 src, Ip4 dst, std::uint8_t tos) {
  const InDevice& in_dev = dev.in_dev();
  const bool rpf = in_dev.conf.rp_filter;
  Flow4 fl4;
  fl4.iif = kLoopbackIfindex;
  fl4.daddr = src;
  fl4.saddr = dst;
  fl4.tos = tos;
  FibResult res;
  if (fib_lookup(net, fl4, res, nullptr) != 0)
    return rpf ? Checked(martian(DropReason::IP_RPFILTER)) : Checked{};
  if (res.type != RouteType::unicast && (res.type != RouteType::local || !in_dev.conf.accept_local))
    return martian(DropReason::IP_LOCAL_SOURCE);
  const bool loopback = (dev.flags() & kIffLoopback) != 0;
  if (uses_dev(res, dev) || (res.type == RouteType::local && loopback)) return {};
  return rpf ? Checked(martian(DropReason::IP_RPFILTER)) : Checked{};
}

// fib_validate_source().
Checked validate_source(Net& net, const NetDevice& dev, Ip4 src, Ip4 dst, std::uint8_t tos) {
  const InDevConf& conf = dev.in_dev().conf;
  if (conf.rp_filter) return full_check(net, dev, src, dst, tos);
  if (conf.accept_local) return {};
  if (net.rules->custom()) return full_check(net, dev, src, dst, tos);
  if (is_own_address(net, src)) return martian(DropReason::IP_LOCAL_SOURCE);
  return {};
}

Rtable input_route(NetDevice& dev, RouteType type) {
  Rtable rt;
  rt.dev = &dev;
  rt.iif = dev.ifindex;
  rt.type = type;
  rt.mtu = dev.mtu();
  rt.output = DstOutput::discard;
  rt.is_broadcast = type == RouteType::broadcast;
  rt.is_multicast = type == RouteType::multicast;
  rt.is_local = type == RouteType::local || rt.is_broadcast || rt.is_multicast;
  return rt;
}

std::expected<Rtable, DropReason> route_multicast(Net& net, NetDevice& dev, Ip4 daddr, Ip4 saddr,
                                                  std::uint8_t tos, std::uint16_t proto) {
  if (!ip_check_mc(dev, daddr, saddr)) return martian(DropReason::NOT_SPECIFIED);
  if (saddr.is_multicast() || saddr.is_lbcast()) return martian(DropReason::IP_INVALID_SOURCE);
  if (proto != kEthPIp) return martian(DropReason::INVALID_PROTO);
  if (saddr.is_loopback() && !dev.in_dev().conf.route_localnet)
    return martian(DropReason::IP_LOCALNET);
  if (saddr.is_zeronet()) {
    if (!daddr.is_local_multicast()) return martian(DropReason::IP_INVALID_SOURCE);
  } else if (auto ok = validate_source(net, dev, saddr, Ip4{}, tos); !ok) {
    return martian(ok.error());
  }
  return input_route(dev, RouteType::multicast);
}

std::expected<Rtable, DropReason> route_broadcast(Net& net, NetDevice& dev, Ip4 saddr,
                                                  std::uint8_t tos, std::uint16_t proto) {
  if (proto != kEthPIp) return martian(DropReason::INVALID_PROTO);
  if (!saddr.is_zeronet())
    if (auto ok = validate_source(net, dev, saddr, Ip4{}, tos); !ok) return martian(ok.error());
  return input_route(dev, RouteType::broadcast);
}

}  // namespace

std::expected<Rtable, DropReason> ip_route_input(Net& net, NetDevice& dev, Ip4 daddr, Ip4 saddr,
                                                 std::uint8_t tos, std::uint16_t proto) {
  if (!has_in_dev(dev)) return martian(DropReason::NOT_SPECIFIED);
  if (daddr.is_multicast()) return route_multicast(net, dev, daddr, saddr, tos, proto);
  const InDevConf& conf = dev.in_dev().conf;
  if (saddr.is_multicast() || saddr.is_lbcast()) return martian(DropReason::IP_INVALID_SOURCE);
  if (daddr.is_lbcast() || (saddr.is_zero() && daddr.is_zero()))
    return route_broadcast(net, dev, saddr, tos, proto);
  if (saddr.is_zeronet()) return martian(DropReason::IP_INVALID_SOURCE);
  if (daddr.is_zeronet()) return martian(DropReason::IP_INVALID_DEST);
  if (daddr.is_loopback()) {
    if (!conf.route_localnet) return martian(DropReason::IP_LOCALNET);
  } else if (saddr.is_loopback() && !conf.route_localnet) {
    return martian(DropReason::IP_LOCALNET);
  }
  Flow4 fl4;
  fl4.iif = dev.ifindex;
  fl4.daddr = daddr;
  fl4.saddr = saddr;
  fl4.tos = tos;
  FibResult res;
  const int error = fib_lookup(net, fl4, res, nullptr);
  if (error == 0 && res.type == RouteType::broadcast)
    return route_broadcast(net, dev, saddr, tos, proto);
  if (error == 0 && res.type == RouteType::local) {
    if (auto ok = validate_source(net, dev, saddr, daddr, tos); !ok) return martian(ok.error());
    return input_route(dev, RouteType::local);
  }
  if (error != 0 || !conf.forwarding) return input_route(dev, RouteType::unreachable);
  if (res.type != RouteType::unicast) return martian(DropReason::IP_INVALID_DEST);
  return input_route(dev, RouteType::unicast);
}

}  // namespace txp
