// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0
// Functions' entries (fentry), where the kernel allows them.
#ifndef TXPATH_WATCH_FUNCTION_BPF_H
#define TXPATH_WATCH_FUNCTION_BPF_H

// Functions. Their packets are known by skb where they have one; above ip_make_skb only counted.
static __always_inline int on_function(txp_u32 point, struct sk_buff* skb) {
  struct net_device* dev = skb->dev;
  struct sock* sk = skb->sk;
  struct about a = {.point = point, .len = skb->len, .mark = skb->mark};
  if (dev) {
    a.netns = netns_of_dev(dev);
    a.ifindex = dev->ifindex;
  } else {
    a.netns = sk ? netns_of_sk(sk) : netns_of_task();
  }
  return on_packet(skb, dev, &a);
}
static __always_inline int on_call(txp_u32 point, const struct sock* sk, txp_u32 len) {
  struct about a = {.point = point, .len = len};
  return on_socket(sk, &a);
}
struct socket {
  struct sock* sk;
} __attribute__((preserve_access_index));

SEC("?fentry/inet_sendmsg")
int BPF_PROG(on_fn_inet_sendmsg, struct socket* sock, void* msg, unsigned long size) {
  return on_call(TXP_POINT_fn_inet_sendmsg, sock->sk, size);
}
SEC("?fentry/inet_autobind")
int BPF_PROG(on_fn_inet_autobind, struct sock* sk) {
  return on_call(TXP_POINT_fn_inet_autobind, sk, 0);
}
SEC("?fentry/udp_sendmsg")
int BPF_PROG(on_fn_udp_sendmsg, struct sock* sk, void* msg, unsigned long len) {
  return on_call(TXP_POINT_fn_udp_sendmsg, sk, len);
}
SEC("?fentry/ip_make_skb")
int BPF_PROG(on_fn_ip_make_skb, struct sock* sk) {
  return on_call(TXP_POINT_fn_ip_make_skb, sk, 0);
}
SEC("?fentry/udp_send_skb")
int BPF_PROG(on_fn_udp_send_skb, struct sk_buff* skb) {
  return on_function(TXP_POINT_fn_udp_send_skb, skb);
}
SEC("?fentry/ip_send_skb")
int BPF_PROG(on_fn_ip_send_skb, struct net* net, struct sk_buff* skb) {
  return on_function(TXP_POINT_fn_ip_send_skb, skb);
}
#define NET_SK_SKB(name, function)                                                    \
  SEC("?fentry/" function)                                                            \
  int BPF_PROG(on_fn_##name, struct net* net, struct sock* sk, struct sk_buff* skb) { \
    return on_function(TXP_POINT_fn_##name, skb);                                     \
  }
NET_SK_SKB(ip_local_out, "__ip_local_out")
NET_SK_SKB(ip_output, "ip_output")
NET_SK_SKB(ip_finish_output, "ip_finish_output")
NET_SK_SKB(ip_finish_output2, "ip_finish_output2")
SEC("?fentry/netdev_core_pick_tx")
int BPF_PROG(on_fn_netdev_pick_tx, struct net_device* dev, struct sk_buff* skb) {
  return on_function(TXP_POINT_fn_netdev_pick_tx, skb);
}
#define SKB_FIRST(name, function) \
  SEC("?fentry/" function)        \
  int BPF_PROG(on_fn_##name, struct sk_buff* skb) { return on_function(TXP_POINT_fn_##name, skb); }
SKB_FIRST(sch_direct_xmit, "sch_direct_xmit")
SKB_FIRST(dev_queue_xmit_nit, "dev_queue_xmit_nit")
SKB_FIRST(loopback_xmit, "loopback_xmit")

#endif
