// SPDX-License-Identifier: Apache-2.0
// The answer of a lookup as a route to send by. Kernel twins: net/ipv4/route.c (__mkroute_output(),
// rt_set_nexthop(), ipv4_mtu()), include/net/ip.h (ip_dst_mtu_maybe_forward()).
// Differs: no cache; no multicast routing daemon (mc_forwarding); lwtunnel encapsulation is
// unknown.
#include <algorithm>
#include <cerrno>

#include "dev/netdevice.h"
#include "net.h"
#include "route/fib_exceptions.h"
#include "route/ip_route.h"
#include "route/output.h"

namespace txp {
namespace {

constexpr std::uint32_t kIpMaxMtu = 0xffff;           // IP_MAX_MTU
constexpr std::uint32_t kMostMetricMtu = 65535 - 15;  // ip_metrics_convert()
constexpr std::uint32_t kLockedGatewayMtu = 576;

// ipv4_mtu().
std::uint32_t dst_mtu(const FibInfo* fi, const NetDevice& dev,
                      const std::optional<RouteException>& e, bool locked, bool uses_gateway) {
  if (e && e->mtu != 0) return std::min(e->mtu, kIpMaxMtu);
  if (const std::uint32_t metric = fi != nullptr ? fi->metric(kRtaxMtu) : 0; metric != 0)
    return std::min(metric, kMostMetricMtu);
  std::uint32_t mtu = dev.mtu();
  if (locked && uses_gateway) mtu = std::min(mtu, kLockedGatewayMtu);
  return std::min(mtu, kIpMaxMtu);
}

// Fills `rt` where it will be read: to put it together here and copy it then would stall. The
// errno.
int make(Net& net, const FibResult& res, const Flow4& fl4, int orig_oif, NetDevice& dev, bool local,
         OutputStory* story, Rtable& rt) {
  if (!has_in_dev(dev)) return EINVAL;
  const InDevice& in_dev = dev.in_dev();
  const bool loopback = (dev.flags() & kIffLoopback) != 0;
  if (!in_dev.conf.route_localnet && fl4.saddr.is_loopback() && !loopback) return EINVAL;

  const FibInfo* fi = res.fi;
  RouteType type = res.type;
  if (fl4.daddr.is_lbcast()) {
    type = RouteType::broadcast;
    fi = nullptr;  // never by a gateway
  } else if (fl4.daddr.is_multicast()) {
    type = RouteType::multicast;
  } else if (fl4.daddr.is_zero()) {
    return EINVAL;
  }

  rt.dev = &dev;
  rt.iif = orig_oif;
  rt.type = type;
  rt.is_local = local || loopback;
  if (type == RouteType::broadcast) {
    rt.is_broadcast = true;
    rt.is_local = true;
  } else if (type == RouteType::multicast) {
    rt.is_multicast = true;
    rt.is_local = ip_check_mc(dev, fl4.daddr, fl4.saddr);
    // A route shorter than 224.0.0.0/4 lends multicast its device, not its gateway.
    if (res.prefixlen < 4) fi = nullptr;
  }
  if ((rt.is_broadcast || rt.is_multicast) && rt.is_local && !loopback)
    rt.output = DstOutput::ip_mc_output;

  std::optional<RouteException> e;
  bool uses_gateway = false;
  if (fi != nullptr && res.nh != nullptr) {
    const FibNh& nh = *res.nh;
    if (nh.has_encap()) {
      if (story != nullptr)
        story->unknown = NamedObject{.kind = "lwtunnel", .text = "encap " + nh.rare->encap};
      return kUnknown;
    }
    uses_gateway = nh.has_gateway() && fib_nh_scope(net, nh) == kScopeLink;
    if (uses_gateway) {
      rt.gateway_is_v6 = nh.gateway_is_v6();
      if (!rt.gateway_is_v6) rt.gateway = nh.gateway;
    }
    e = net.exceptions->find(fl4.daddr, rt.gateway, nh.oif);
    if (e && !e->redirect.is_zero()) [[unlikely]] {  // fill_route_from_fnhe()
      uses_gateway = true;
      rt.gateway_is_v6 = false;
      rt.gateway = e->redirect;
    }
    if (story != nullptr) story->exception = e;
    rt.hoplimit = static_cast<std::uint8_t>(std::min(fi->metric(kRtaxHoplimit), 255U));
    rt.mtu_locked = fi->metric_locked(kRtaxMtu) || (e && e->mtu_locked);
  }
  rt.onlink_scope = !uses_gateway;
  rt.mtu = dst_mtu(fi, dev, e, rt.mtu_locked, uses_gateway);
  return 0;
}

}  // namespace

SockResult<Rtable> mkroute_output(Net& net, const FibResult& res, const Flow4& fl4, int orig_oif,
                                  NetDevice& dev, bool local, OutputStory* story) {
  SockResult<Rtable> made;
  if (const int error = make(net, res, fl4, orig_oif, dev, local, story, *made)) made = err(error);
  return made;
}

}  // namespace txp
