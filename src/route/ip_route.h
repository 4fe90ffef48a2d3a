// SPDX-License-Identifier: Apache-2.0
// Route lookup for what this host sends. Kernel twins: net/ipv4/route.c, net/ipv4/fib_frontend.c,
// net/ipv4/devinet.c. All of it inside an RcuReader, from any thread.
#pragma once

#include <cstdint>

#include "base/result.h"
#include "route/route.h"
#include "route/rtable.h"

namespace txp {

class Net;
class Trace;
struct NetDevice;
struct FibResult;
struct Skb;

// ip_route_output_flow(): the route of `fl4`; fills in fl4.saddr, fl4.daddr and fl4.oif as the
// kernel does. Errors: ENETUNREACH, EHOSTUNREACH, EACCES, EINVAL, ENODEV, and kUnknown (the trace
// names the object). `trace` may be null. `found`, when not null, gets the route that decided, for
// its metrics.
[[nodiscard]] SockResult<Rtable> ip_route_output_flow(Net& net, Flow4& fl4, Trace* trace,
                                                      FibResult* found = nullptr);

// Input-side questions.
// inet_addr_type(): what `addr` is to this host, by the local table.
RouteType inet_addr_type(Net& net, Ip4 addr);
// inet_addr_type_dev_table(): the same, with `dev` preferred when not null.
RouteType inet_dev_addr_type(Net& net, const NetDevice* dev, Ip4 addr);
// inet_select_addr(): a source address on `dev` (any device when null) towards `dst`.
Ip4 inet_select_addr(Net& net, const NetDevice* dev, Ip4 dst, std::uint8_t scope);
// __ip_dev_find(): the device that owns `addr`, or null.
NetDevice* ip_dev_find(Net& net, Ip4 addr);
// fib_compute_spec_dst(): this host's address as the sender of a received `skb` should know it.
Ip4 fib_compute_spec_dst(Net& net, const Skb& skb);
// ip_check_mc_rcu(): whether one who joined `group` on `dev` hears `source` (any: not known yet).
bool ip_check_mc(const NetDevice& dev, Ip4 group, Ip4 source);

// __ip_rt_update_pmtu(): a router said that packets of `rt`, the route of `fl4`, must not exceed
// `mtu` bytes.
void ip_rt_update_pmtu(Net& net, const Rtable& rt, const Flow4& fl4, std::uint32_t mtu);
// __ip_do_redirect(): `from`, heard on `dev`, says that packets of `rt`, the route of `fl4`, had
// better go by `to`. `code`: ICMP_REDIR_*.
void ip_do_redirect(Net& net, const Rtable& rt, const Flow4& fl4, const NetDevice& dev, Ip4 from,
                    Ip4 to, std::uint8_t code);

}  // namespace txp
