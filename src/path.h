// SPDX-License-Identifier: Apache-2.0
// THE send path, one table: every stage of the kernel's send path in its order, UDP's and, for a
// connection's first segment, TCP's; where IPv6 has a function of its own, it stands beside IPv4's.
// Counters, trace lines, metric names, the JSON report and docs/stages.md are made from it.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace txp {

enum class Stage : std::uint8_t {
  sock_sendmsg,
  inet_sendmsg,
  inet6_sendmsg,
  inet_autobind,
  udp_sendmsg,
  udpv6_sendmsg,
  ip_route_output_flow,
  ip6_dst_lookup_flow,
  ip_make_skb,
  ip6_make_skb,
  udp_send_skb,
  udp_v6_send_skb,
  ip_send_skb,
  ip6_send_skb,
  tcp_v4_connect,
  tcp_transmit_skb,
  ip_queue_xmit,
  ip_local_out,
  ip6_local_out,
  nf_local_out,
  dst_output,
  ip_output,
  ip6_output,
  nf_post_routing,
  ip_finish_output,
  ip6_finish_output,
  ip_finish_output2,
  ip6_finish_output2,
  neigh_output,
  neigh_resolve_output,
  dev_queue_xmit,
  netdev_pick_tx,
  qdisc_enqueue,
  sch_direct_xmit,
  dev_hard_start_xmit,
  dev_queue_xmit_nit,
  ndo_start_xmit,
  net_tx_action,
  loopback_xmit,
};

// Who walks a stage: every packet, a UDP datagram (of either family, or of one), the first segment
// of a TCP connection, or whatever goes over IPv4.
enum class Walker : std::uint8_t { all, ipv4, udp, udp4, udp6, tcp };

// Whether a UDP datagram, or a TCP segment (over IPv4 only), walks a stage of this walker.
constexpr bool walks(Walker w, bool tcp, bool ipv6) {
  switch (w) {
    case Walker::all: return true;
    case Walker::ipv4: return !ipv6;
    case Walker::udp: return !tcp;
    case Walker::udp4: return !tcp && !ipv6;
    case Walker::udp6: return !tcp && ipv6;
    case Walker::tcp: return tcp;
  }
  return false;
}

struct StageInfo {
  Stage stage;
  std::string_view name;    // today's kernel's name; what we print
  std::string_view seed;    // the name in kernel 4.11's drawings, accepted as input too
  std::string_view file;    // its home in src/
  std::string_view kernel;  // its twin in the kernel tree
  std::string_view does;    // one line for people
  Walker walker = Walker::all;
};

inline constexpr std::array kPath = {
    StageInfo{Stage::sock_sendmsg, "sock_sendmsg", "sendto", "socket/sock_sendmsg.cc",
              "net/socket.c", "entry of send, sendto, sendmsg, sendmmsg, write and writev",
              Walker::udp},
    StageInfo{Stage::inet_sendmsg, "inet_sendmsg", "inet_sendmsg", "socket/inet_sendmsg.cc",
              "net/ipv4/af_inet.c", "binds an unbound socket, then hands over to UDP",
              Walker::udp4},
    StageInfo{Stage::inet6_sendmsg, "inet6_sendmsg", "inet6_sendmsg", "socket/inet6_sendmsg.cc",
              "net/ipv6/af_inet6.c", "the same of an IPv6 socket", Walker::udp6},
    StageInfo{Stage::inet_autobind, "inet_autobind", "inet_autobind", "socket/inet_autobind.cc",
              "net/ipv4/af_inet.c", "picks an ephemeral port", Walker::udp},
    StageInfo{Stage::udp_sendmsg, "udp_sendmsg", "udp_sendmsg", "udp/udp_sendmsg.cc",
              "net/ipv4/udp.c", "destination, control messages, cork, broadcast permission",
              Walker::udp4},
    StageInfo{Stage::udpv6_sendmsg, "udpv6_sendmsg", "udpv6_sendmsg", "udp/udpv6_sendmsg.cc",
              "net/ipv6/udp.c", "destination, scope, control messages, flow label, cork",
              Walker::udp6},
    StageInfo{Stage::ip_route_output_flow, "ip_route_output_flow", "ip_route_output_flow",
              "route/ip_route_output_flow.cc", "net/ipv4/route.c",
              "policy rules, FIB, next hop, source address", Walker::ipv4},
    StageInfo{Stage::ip6_dst_lookup_flow, "ip6_dst_lookup_flow", "ip6_dst_lookup_flow",
              "route/ip6_dst_lookup_flow.cc", "net/ipv6/ip6_output.c",
              "policy rules, FIB, router, source address by RFC 6724", Walker::udp6},
    StageInfo{Stage::ip_make_skb, "ip_make_skb", "ip_make_skb", "ip/ip_make_skb.cc",
              "net/ipv4/ip_output.c", "payload into MTU-sized skbs with an IP header",
              Walker::udp4},
    StageInfo{Stage::ip6_make_skb, "ip6_make_skb", "ip6_make_skb", "ip6/ip6_make_skb.cc",
              "net/ipv6/ip6_output.c", "payload into MTU-sized skbs with an IPv6 header",
              Walker::udp6},
    StageInfo{Stage::udp_send_skb, "udp_send_skb", "udp_send_skb", "udp/udp_send_skb.cc",
              "net/ipv4/udp.c", "UDP header, checksum, segmentation request", Walker::udp4},
    StageInfo{Stage::udp_v6_send_skb, "udp_v6_send_skb", "udp_v6_send_skb",
              "udp/udp_v6_send_skb.cc", "net/ipv6/udp.c",
              "UDP header, checksum, segmentation request", Walker::udp6},
    StageInfo{Stage::ip_send_skb, "ip_send_skb", "ip_send_skb", "ip/ip_send_skb.cc",
              "net/ipv4/ip_output.c", "sends; translates the result into an errno", Walker::udp4},
    StageInfo{Stage::ip6_send_skb, "ip6_send_skb", "ip6_send_skb", "ip6/ip6_send_skb.cc",
              "net/ipv6/ip6_output.c", "sends; translates the result into an errno", Walker::udp6},
    StageInfo{Stage::tcp_v4_connect, "tcp_v4_connect", "tcp_v4_connect", "tcp/tcp_v4_connect.cc",
              "net/ipv4/tcp_ipv4.c", "connect() on TCP: source address and port", Walker::tcp},
    StageInfo{Stage::tcp_transmit_skb, "__tcp_transmit_skb", "tcp_transmit_skb",
              "tcp/tcp_transmit_skb.cc", "net/ipv4/tcp_output.c",
              "the SYN's header, options and checksum", Walker::tcp},
    StageInfo{Stage::ip_queue_xmit, "__ip_queue_xmit", "ip_queue_xmit", "tcp/ip_queue_xmit.cc",
              "net/ipv4/ip_output.c", "the IP header of a connection's segment", Walker::tcp},
    StageInfo{Stage::ip_local_out, "__ip_local_out", "__ip_local_out_sk", "ip/ip_local_out.cc",
              "net/ipv4/ip_output.c", "total length and header checksum", Walker::ipv4},
    StageInfo{Stage::ip6_local_out, "__ip6_local_out", "__ip6_local_out", "ip6/ip6_local_out.cc",
              "net/ipv6/output_core.c", "payload length", Walker::udp6},
    StageInfo{Stage::nf_local_out, "nf_hook(LOCAL_OUT)", "NF_INET_LOCAL_OUT",
              "netfilter/nf_hook.cc", "net/netfilter/core.c", "output hooks by priority"},
    StageInfo{Stage::dst_output, "dst_output", "dst_output_sk", "ip/dst_output.cc",
              "include/net/dst.h", "unicast, multicast or broadcast output"},
    StageInfo{Stage::ip_output, "ip_output", "ip_output", "ip/ip_output.cc", "net/ipv4/ip_output.c",
              "device and protocol; multicast loopback copies", Walker::ipv4},
    StageInfo{Stage::ip6_output, "ip6_output", "ip6_output", "ip6/ip6_output.cc",
              "net/ipv6/ip6_output.c", "device and protocol", Walker::udp6},
    StageInfo{Stage::nf_post_routing, "nf_hook(POST_ROUTING)", "NF_INET_POST_ROUTING",
              "netfilter/nf_hook.cc", "net/netfilter/core.c", "postrouting hooks by priority"},
    StageInfo{Stage::ip_finish_output, "ip_finish_output", "ip_finish_output",
              "ip/ip_finish_output.cc", "net/ipv4/ip_output.c", "segmentation and fragmentation",
              Walker::ipv4},
    StageInfo{Stage::ip6_finish_output, "ip6_finish_output", "ip6_finish_output",
              "ip6/ip6_finish_output.cc", "net/ipv6/ip6_output.c", "segmentation and fragmentation",
              Walker::udp6},
    StageInfo{Stage::ip_finish_output2, "ip_finish_output2", "ip_finish_output2",
              "ip/ip_finish_output2.cc", "net/ipv4/ip_output.c", "next hop and its neighbour",
              Walker::ipv4},
    StageInfo{Stage::ip6_finish_output2, "ip6_finish_output2", "ip6_finish_output2",
              "ip6/ip6_finish_output2.cc", "net/ipv6/ip6_output.c",
              "multicast copies; next hop and its neighbour", Walker::udp6},
    StageInfo{Stage::neigh_output, "neigh_output", "dst_neigh_output", "neigh/neigh_output.cc",
              "include/net/neighbour.h", "cached hardware header, or the slow way"},
    StageInfo{Stage::neigh_resolve_output, "neigh_resolve_output", "neigh_resolve_output",
              "neigh/neigh_resolve_output.cc", "net/core/neighbour.c",
              "resolves the next hop; queues while unresolved"},
    StageInfo{Stage::dev_queue_xmit, "__dev_queue_xmit", "dev_queue_xmit", "dev/dev_queue_xmit.cc",
              "net/core/dev.c", "egress hooks and the qdisc"},
    StageInfo{Stage::netdev_pick_tx, "netdev_pick_tx", "netdev_pick_tx", "dev/netdev_pick_tx.cc",
              "net/core/dev.c", "chooses the transmit queue"},
    StageInfo{Stage::qdisc_enqueue, "qdisc_enqueue", "Traffic Control", "sched/qdisc_run.cc",
              "net/sched/sch_generic.c", "the device's discipline: enqueue, run, dequeue"},
    StageInfo{Stage::sch_direct_xmit, "sch_direct_xmit", "sch_direct_xmit",
              "sched/sch_direct_xmit.cc", "net/sched/sch_generic.c",
              "hands packets to the device; requeues what it refuses"},
    StageInfo{Stage::dev_hard_start_xmit, "dev_hard_start_xmit", "dev_hard_start_xmit",
              "dev/dev_hard_start_xmit.cc", "net/core/dev.c",
              "software segmentation and checksum (validate_xmit_skb), then the driver"},
    StageInfo{Stage::dev_queue_xmit_nit, "dev_queue_xmit_nit", "packet taps(AF_PACKET)",
              "tap/dev_queue_xmit_nit.cc", "net/core/dev.c", "a copy to every packet tap"},
    StageInfo{Stage::ndo_start_xmit, "ndo_start_xmit", "ndo_start_xmit", "dev/ndo_start_xmit.cc",
              "include/linux/netdevice.h", "the driver takes the frame, or is busy"},
    StageInfo{Stage::net_tx_action, "net_tx_action", "net_tx_action", "softirq/net_tx_action.cc",
              "net/core/dev.c", "runs again what the driver refused"},
    StageInfo{Stage::loopback_xmit, "loopback_xmit", "loopback", "drivers/loopback.cc",
              "drivers/net/loopback.c", "back to this host's receive path"},
};

inline constexpr std::size_t kStageCount = kPath.size();

namespace path_detail {
consteval bool in_enum_order() {
  for (std::size_t i = 0; i < kPath.size(); ++i)
    if (static_cast<std::size_t>(kPath[i].stage) != i) return false;
  return true;
}
static_assert(in_enum_order(), "kPath lists the stages in the order of enum Stage");
}  // namespace path_detail

constexpr const StageInfo& info(Stage s) { return kPath[static_cast<std::size_t>(s)]; }
constexpr std::string_view name(Stage s) { return info(s).name; }

// Finds a stage by today's name or by the seed drawing's.
constexpr std::optional<Stage> find_stage(std::string_view text) {
  for (const StageInfo& i : kPath)
    if (i.name == text || i.seed == text) return i.stage;
  return std::nullopt;
}

}  // namespace txp
