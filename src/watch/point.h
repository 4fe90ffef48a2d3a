// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0
// Where the kernel lets itself be watched: every tracepoint (and function, where function tracing
// is allowed) with the stage of src/path.h that it tells of. The one list, for the eBPF programs
// (C) and for the command (C++).
#ifndef TXPATH_WATCH_POINT_H
#define TXPATH_WATCH_POINT_H

// X(point, stage, kind, event)
//   point  the eBPF program's name, on_POINT
//   stage  an enumerator of txp::Stage
//   kind   packet: a packet passes the stage; counted as the stage's packets
//          more:   tells something else about the stage
//          entry:  a function's entry (fentry); counted when no tracepoint tells of the stage
//   event  the kernel's name: group:tracepoint, or the function
#define TXP_WATCH_POINTS(X)                                                             \
  X(sys_enter, sock_sendmsg, more, "raw_syscalls:sys_enter")                            \
  X(sock_send_length, sock_sendmsg, packet, "sock:sock_send_length")                    \
  X(inet_sk_error_report, sock_sendmsg, more, "sock:inet_sk_error_report")              \
  X(sock_exceed_buf_limit, udp_sendmsg, more, "sock:sock_exceed_buf_limit")             \
  X(fib_table_lookup, ip_route_output_flow, packet, "fib:fib_table_lookup")             \
  X(neigh_create, ip_finish_output2, more, "neigh:neigh_create")                        \
  X(neigh_event_send_done, neigh_resolve_output, packet, "neigh:neigh_event_send_done") \
  X(neigh_event_send_dead, neigh_resolve_output, more, "neigh:neigh_event_send_dead")   \
  X(neigh_update, neigh_resolve_output, more, "neigh:neigh_update")                     \
  X(neigh_timer_handler, neigh_resolve_output, more, "neigh:neigh_timer_handler")       \
  X(net_dev_queue, dev_queue_xmit, packet, "net:net_dev_queue")                         \
  X(qdisc_enqueue, qdisc_enqueue, packet, "qdisc:qdisc_enqueue")                        \
  X(qdisc_dequeue, qdisc_enqueue, more, "qdisc:qdisc_dequeue")                          \
  X(net_dev_start_xmit, dev_hard_start_xmit, packet, "net:net_dev_start_xmit")          \
  X(net_dev_xmit, ndo_start_xmit, packet, "net:net_dev_xmit")                           \
  X(softirq_entry, net_tx_action, more, "irq:softirq_entry")                            \
  X(kfree_skb, ndo_start_xmit, end, "skb:kfree_skb")                                    \
  X(consume_skb, ndo_start_xmit, end, "skb:consume_skb")                                \
  X(fn_inet_sendmsg, inet_sendmsg, entry, "inet_sendmsg")                               \
  X(fn_inet_autobind, inet_autobind, entry, "inet_autobind")                            \
  X(fn_udp_sendmsg, udp_sendmsg, entry, "udp_sendmsg")                                  \
  X(fn_ip_make_skb, ip_make_skb, entry, "ip_make_skb")                                  \
  X(fn_udp_send_skb, udp_send_skb, entry, "udp_send_skb")                               \
  X(fn_ip_send_skb, ip_send_skb, entry, "ip_send_skb")                                  \
  X(fn_ip_local_out, ip_local_out, entry, "__ip_local_out")                             \
  X(fn_ip_output, ip_output, entry, "ip_output")                                        \
  X(fn_ip_finish_output, ip_finish_output, entry, "ip_finish_output")                   \
  X(fn_ip_finish_output2, ip_finish_output2, entry, "ip_finish_output2")                \
  X(fn_netdev_pick_tx, netdev_pick_tx, entry, "netdev_core_pick_tx")                    \
  X(fn_sch_direct_xmit, sch_direct_xmit, entry, "sch_direct_xmit")                      \
  X(fn_dev_queue_xmit_nit, dev_queue_xmit_nit, entry, "dev_queue_xmit_nit")             \
  X(fn_loopback_xmit, loopback_xmit, entry, "loopback_xmit")

enum txp_watch_point {
#define X(point, stage, kind, event) TXP_POINT_##point,
  TXP_WATCH_POINTS(X)
#undef X
      TXP_POINT_COUNT
};

#endif
