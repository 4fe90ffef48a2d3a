// SPDX-License-Identifier: Apache-2.0
// tcp_v4_connect: the route of a connection to be, its source address and port, then the SYN.
//
// Kernel twin: net/ipv4/tcp_ipv4.c, tcp_v4_connect(); include/net/route.h, ip_route_connect(),
// ip_route_newports().
// Differs: connections of other sockets are not known, so every ephemeral port is free; a cgroup
// connect program makes the call unknown.
// Drops: none; a route that leads nowhere fails the call.
#include <netinet/in.h>

#include <cerrno>

#include "net.h"
#include "observe/trace.h"
#include "route/fib_semantics.h"
#include "route/ip_route.h"
#include "tcp/tcp.h"
#include "udp/udp_table.h"

namespace txp {
namespace {

constexpr Stage kConnect = Stage::tcp_v4_connect;

// ip_route_connect_init()
Flow4 question(const Sock& sk, const SockAddr4& to) {
  constexpr std::uint8_t kDscpMask = 0xfc;
  Flow4 fl4;
  fl4.oif = sk.bound_dev_if;
  fl4.mark = sk.mark;
  fl4.uid = sk.uid;
  fl4.tos = sk.tos & kDscpMask;
  fl4.scope = sk.localroute ? kScopeLink : kScopeUniverse;
  fl4.proto = kIpProtoTcp;
  fl4.flags = sk.transparent ? kFlowAnysrc : 0;
  fl4.saddr = sk.inet_saddr;
  fl4.daddr = to.addr;
  fl4.sport = sk.inet_num;
  fl4.dport = to.port;
  return fl4;
}

// inet_hash_connect(): an ephemeral port, unless the socket is bound to one.
SockResult<void> hash_connect(Net& net, Sock& sk, Trace* trace) {
  if (sk.inet_num != 0) return {};
  if (!net.udp->get_port(sk, 0)) return err(EADDRNOTAVAIL);
  sk.port_is_random = true;
  if (trace == nullptr) return {};
  const auto& range = net.sysctl().ip_local_port_range;
  trace->by(kConnect,
            NamedObject{.kind = "sysctl",
                        .text = "net.ipv4.ip_local_port_range = " + std::to_string(range[0]) +
                                "\t" + std::to_string(range[1])});
  trace->masked("tcp.sport");
  return {};
}

SockResult<void> failed(Trace* trace, Errno e) {
  if (trace != nullptr && !e.is_unknown()) trace->result(kConnect, "error");
  return std::unexpected(e);
}

// What a program of the cgroup says of connect(2) is not known.
const Net::Obstacle* connect_program(const Net& net) {
  if (const auto* obstacles = net.obstacles(); obstacles != nullptr)
    for (const Net::Obstacle& o : *obstacles)
      if (o.stage == Stage::udp_sendmsg && o.text.find("sendmsg4") == std::string::npos) return &o;
  return nullptr;
}

}  // namespace

SockResult<void> tcp_v4_connect(Net& net, Sock& sk, const SockAddr4& to, Trace* trace) {
  const RcuReader reader;
  enter(net, kConnect, trace, 0);
  if (const Net::Obstacle* o = connect_program(net)) {
    tell_unknown(net, kConnect, trace, NamedObject{.kind = o->kind, .text = o->text});
    return err(kUnknown);
  }
  Flow4 fl4 = question(sk, to);
  // The kernel asks once for a source address, once more with it, and again with the port: a rule
  // may look at each. The last answer counts and is told; a failure is told where it happens.
  FibResult found;
  if (fl4.daddr.is_zero() || fl4.saddr.is_zero()) {
    Flow4 first = fl4;
    if (auto rt = ip_route_output_flow(net, first, nullptr); !rt) {
      (void)ip_route_output_flow(net, fl4, trace);
      if (rt.error().code == ENETUNREACH) snmp(net, Snmp::IpOutNoRoutes);
      return failed(trace, rt.error());
    }
    fl4.daddr = first.daddr;
    fl4.saddr = first.saddr;
  }
  if (auto bound = hash_connect(net, sk, trace); !bound) return failed(trace, bound.error());
  fl4.sport = sk.inet_num;
  auto rt = ip_route_output_flow(net, fl4, trace, &found);
  if (!rt) {
    if (rt.error().code == ENETUNREACH) snmp(net, Snmp::IpOutNoRoutes);
    return failed(trace, rt.error());
  }
  if (rt->is_multicast || rt->is_broadcast) return failed(trace, Errno{ENETUNREACH});
  sk.inet_saddr = sk.inet_rcv_saddr = fl4.saddr;
  sk.inet_daddr = fl4.daddr;
  sk.inet_dport = to.port;
  sk.txhash = net.random.u32() | 1;
  sk.inet_id = net.random.u32() & 0xffff;
  // The kernel keeps a SYN that did not go and sends it again, so connect(2) does not fail here.
  const TxResult sent =
      tcp_transmit_skb(net, sk, fl4, *rt, tcp_connect_init(net, sk, *rt, found.fi), trace);
  if (sent.is_error() && sent.errno_code() == kUnknown) return err(kUnknown);
  return {};
}

}  // namespace txp
