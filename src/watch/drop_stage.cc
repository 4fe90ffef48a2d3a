// SPDX-License-Identifier: Apache-2.0
#include "watch/drop_stage.h"

#include <cerrno>

#include "watch/kallsyms.h"

namespace txp {
namespace {

// Reasons that only one stage gives; a trailing * stands for any rest. First match wins.
struct ReasonStage {
  Stage stage;
  std::string_view reason;
};
constexpr ReasonStage kReasons[] = {
    {Stage::ip_route_output_flow, "IP_OUTNOROUTES"},
    {Stage::ip_finish_output, "BPF_CGROUP_EGRESS"},
    {Stage::ip_finish_output2, "NEIGH_CREATEFAIL"},
    {Stage::neigh_resolve_output, "NEIGH_*"},
    {Stage::dev_queue_xmit, "TC_EGRESS"},
    {Stage::dev_queue_xmit, "RECURSION_LIMIT"},
    {Stage::qdisc_enqueue, "QDISC_*"},
    {Stage::qdisc_enqueue, "FQ_*"},
    {Stage::dev_hard_start_xmit, "SKB_GSO_SEG"},
    {Stage::dev_hard_start_xmit, "SKB_CSUM"},
};

// Functions that free packets, by the stage that they are part of.
struct FunctionStage {
  Stage stage;
  std::string_view function;
};
constexpr FunctionStage kFunctions[] = {
    {Stage::udp_sendmsg, "udp_sendmsg"},
    {Stage::ip_make_skb, "ip_make_skb"},
    {Stage::ip_make_skb, "__ip_append_data"},
    {Stage::ip_make_skb, "__ip_make_skb"},
    {Stage::ip_make_skb, "__ip_flush_pending_frames"},
    {Stage::ip_make_skb, "ip_flush_pending_frames"},
    {Stage::udp_send_skb, "udp_send_skb"},
    {Stage::ip_send_skb, "ip_send_skb"},
    {Stage::ip_local_out, "__ip_local_out"},
    {Stage::ip_local_out, "ip_local_out"},
    {Stage::dst_output, "dst_discard_out"},
    {Stage::dst_output, "dst_blackhole_output"},
    {Stage::ip_output, "ip_output"},
    {Stage::ip_output, "ip_mc_output"},
    {Stage::ip_finish_output, "ip_finish_output"},
    {Stage::ip_finish_output, "__ip_finish_output"},
    {Stage::ip_finish_output, "ip_finish_output_gso"},
    {Stage::ip_finish_output, "ip_mc_finish_output"},
    {Stage::ip_finish_output, "ip_fragment"},
    {Stage::ip_finish_output, "ip_do_fragment"},
    {Stage::ip_finish_output2, "ip_finish_output2"},
    {Stage::neigh_resolve_output, "neigh_resolve_output"},
    {Stage::neigh_resolve_output, "neigh_connected_output"},
    {Stage::neigh_resolve_output, "__neigh_event_send"},
    {Stage::neigh_resolve_output, "neigh_invalidate"},
    {Stage::neigh_resolve_output, "neigh_destroy"},
    {Stage::neigh_resolve_output, "neigh_flush_dev"},
    {Stage::neigh_resolve_output, "neigh_update"},
    {Stage::neigh_resolve_output, "__neigh_update"},
    {Stage::neigh_resolve_output, "arp_error_report"},
    {Stage::dev_queue_xmit, "__dev_queue_xmit"},
    {Stage::dev_queue_xmit, "sch_handle_egress"},
    {Stage::qdisc_enqueue, "__dev_xmit_skb"},
    {Stage::qdisc_enqueue, "__qdisc_run"},
    {Stage::qdisc_enqueue, "qdisc_reset"},
    {Stage::qdisc_enqueue, "rtnl_qdisc_drop"},
    {Stage::qdisc_enqueue, "tbf_enqueue"},
    {Stage::sch_direct_xmit, "sch_direct_xmit"},
    {Stage::sch_direct_xmit, "dev_requeue_skb"},
    {Stage::dev_hard_start_xmit, "dev_hard_start_xmit"},
    {Stage::dev_hard_start_xmit, "validate_xmit_skb"},
    {Stage::dev_hard_start_xmit, "validate_xmit_skb_list"},
    {Stage::ndo_start_xmit, "veth_xmit"},
    {Stage::ndo_start_xmit, "tun_net_xmit"},
    {Stage::ndo_start_xmit, "vxlan_xmit"},
    {Stage::ndo_start_xmit, "ifb_xmit"},
    {Stage::ndo_start_xmit, "macvlan_start_xmit"},
    {Stage::ndo_start_xmit, "start_xmit"},
    {Stage::net_tx_action, "net_tx_action"},
    {Stage::loopback_xmit, "loopback_xmit"},
};

bool matches(std::string_view pattern, std::string_view text) {
  if (!pattern.ends_with('*')) return pattern == text;
  return text.starts_with(pattern.substr(0, pattern.size() - 1));
}

}  // namespace

std::optional<Stage> drop_stage(const KernelDrop& drop) {
  // Both hook points free in nf_hook_slow(); ip_output, between them, sets skb->dev.
  if (drop.reason == "NETFILTER_DROP") {
    if (drop.received) return std::nullopt;
    return drop.no_dev ? Stage::nf_local_out : Stage::nf_post_routing;
  }
  for (const ReasonStage& r : kReasons)
    if (matches(r.reason, drop.reason)) return r.stage;
  const std::string_view function = plain_function(drop.function);
  for (const FunctionStage& f : kFunctions)
    if (f.function == function) return f.stage;
  if (drop.received) return std::nullopt;
  return drop.last;
}

std::optional<Stage> error_stage(int error) {
  switch (error) {
    case ENETUNREACH: return Stage::ip_route_output_flow;
    case EDESTADDRREQ: return Stage::udp_sendmsg;
    case EAGAIN: return Stage::ip_make_skb;  // sock_alloc_send_pskb(): the send buffer is full
    default: return std::nullopt;
  }
}

}  // namespace txp
