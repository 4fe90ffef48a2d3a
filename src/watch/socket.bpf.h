// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0
// The points above packets, and beside them: calls, sockets, routes, neighbours, softirqs.
#ifndef TXPATH_WATCH_SOCKET_BPF_H
#define TXPATH_WATCH_SOCKET_BPF_H

SEC("?tp_btf/sys_enter")
int BPF_PROG(on_sys_enter, struct pt_regs* regs, long nr) {
  bool sends = false;
  for (int i = 0; i < TXP_WATCH_SYSCALLS; ++i) sends |= cfg.syscalls[i] == (txp_u64)nr;
  if (!sends) return 0;
  if (cfg.tgid && this_pid() != cfg.tgid) return 0;
  struct call* c =
      bpf_task_storage_get(&calls, bpf_get_current_task_btf(), 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
  if (!c) return 0;
  c->since = bpf_ktime_get_ns();
  c->id = 0;
  c->nr = nr;
  c->sk = 0;
  c->active = 1;
  c->matched = 0;
  return 0;
}

// A socket's own line: its flow as far as the socket knows it.
static __always_inline void sock_event(const struct sock* sk, struct about* a,
                                       const struct call* call) {
  struct txp_watch_event* e = reserve();
  if (!e) return;
  fill_event(e, a, bpf_ktime_get_ns(), 0, 0, 0);
  if (call && call->active) {
    e->packet = call->id;
    e->since = call->since;
    e->since_point = TXP_POINT_sys_enter;
  }
  no_header(e);
  if (sk->__sk_common.skc_family == 2 && sk->__sk_common.skc_num) {
    e->hdr_len = 42;
    e->hdr[12] = 8;
    e->hdr[14] = 0x45;
    e->hdr[17] = 28;
    e->hdr[23] = sk->sk_protocol;
    *(__be32*)(e->hdr + 26) = sk->__sk_common.skc_rcv_saddr;
    *(__be32*)(e->hdr + 30) = sk->__sk_common.skc_daddr;
    *(__be16*)(e->hdr + 34) = __builtin_bswap16(sk->__sk_common.skc_num);
    *(__be16*)(e->hdr + 36) = sk->__sk_common.skc_dport;
  }
  bpf_ringbuf_submit(e, 0);
}

static __always_inline int on_socket(const struct sock* sk, struct about* a) {
  txp_u32 family = sk->__sk_common.skc_family;
  if (family != 2 && family != 10) return 0;  // AF_INET, AF_INET6
  a->netns = netns_of_sk(sk);
  a->mark = sk->sk_mark;
  if (!wanted(a)) return 0;
  if (cfg.tgid && this_pid() != cfg.tgid) return 0;
  struct call* call = 0;
  if (cfg.track) call = this_call();
  if (cfg.has_filter && !(call && call->active && call->matched)) goto done;
  if (cfg.counts) {
    if (a->value < 0)
      count_error(a->point, a->value, a->netns);
    else
      count(a->point, 0, a->netns, a->len, 1);
  }
  if (cfg.events) sock_event(sk, a, call);
done:
  if (call && a->point == TXP_POINT_sock_send_length) {
    // sendmmsg() goes on with its next message; the others are over.
    call->active = call->nr == cfg.sendmmsg;
    call->since = bpf_ktime_get_ns();
    call->id = call->sk = 0;
    call->matched = 0;
  }
  return 0;
}

SEC("?tp_btf/sock_send_length")
int BPF_PROG(on_sock_send_length, struct sock* sk, int ret, int flags) {
  struct about a = {
      .point = TXP_POINT_sock_send_length, .value = ret < 0 ? ret : 0, .len = ret < 0 ? 0 : ret};
  return on_socket(sk, &a);
}

SEC("?tp_btf/inet_sk_error_report")
int BPF_PROG(on_inet_sk_error_report, const struct sock* sk) {
  struct about a = {.point = TXP_POINT_inet_sk_error_report};
  a.value = -sk->sk_err;
  return on_socket(sk, &a);
}

SEC("?tp_btf/sock_exceed_buf_limit")
int BPF_PROG(on_sock_exceed_buf_limit, struct sock* sk, struct proto* prot, long allocated,
             int kind) {
  struct about a = {.point = TXP_POINT_sock_exceed_buf_limit, .value = kind};
  return on_socket(sk, &a);
}

// Told once for every table that is asked. Those that receiving asks have the device they came by,
// and no protocol.
SEC("?tp_btf/fib_table_lookup")
int BPF_PROG(on_fib_table_lookup, txp_u32 table, const struct flowi4* flow,
             const struct fib_nh_common* nhc, int err) {
  if (flow->__fl_common.flowic_iif != 1 || flow->__fl_common.flowic_proto == 0) return 0;
  if (err == -11) return 0;  // EAGAIN: the next rule is asked
  struct net_device* dev = 0;
  if (nhc) dev = nhc->nhc_dev;
  struct about a = {
      .point = TXP_POINT_fib_table_lookup,
      .value = err,
      .queue = table,
      .mark = flow->__fl_common.flowic_mark,
  };
  if (dev) {
    a.netns = netns_of_dev(dev);
    a.ifindex = dev->ifindex;
  } else {
    a.netns = netns_of_task();
  }
  if (!wanted(&a)) return 0;
  if (cfg.tgid && this_pid() != cfg.tgid) return 0;
  struct call* call = 0;
  if (cfg.track) call = this_call();
  struct header* h = header_of(TXP_POINT_fib_table_lookup);
  if (!h) return 0;
  if (cfg.has_filter || cfg.events) flow_header(flow, h);
  if (cfg.has_filter) {
    if (!filter_match(h)) return 0;
    if (call) call->matched = 1;
  }
  if (cfg.counts) {
    if (err < 0)
      count_error(a.point, err, a.netns);
    else
      count(a.point, a.ifindex, a.netns, 0, 1);
  }
  if (cfg.events) {
    struct txp_watch_event* e = reserve();
    if (e) {
      fill_event(e, &a, bpf_ktime_get_ns(), 0, dev, 0);
      if (call && call->active) {
        struct cpu* cpu = this_cpu();
        if (!call->id && cpu) call->id = (++cpu->next_id << 8) | (bpf_get_smp_processor_id() & 255);
        e->packet = call->id;
        e->since = call->since;
        e->since_point = TXP_POINT_sys_enter;
      }
      header_from(e, h);
      bpf_ringbuf_submit(e, 0);
    }
  }
  return 0;
}

// Neighbours. The event's header carries the address as a destination.
static __always_inline int on_neigh(txp_u32 point, const struct net_device* dev, txp_u32 family,
                                    const void* key, txp_s32 value) {
  struct about a = {
      .point = point, .netns = netns_of_dev(dev), .ifindex = dev->ifindex, .value = value};
  if (cfg.netns && a.netns != cfg.netns) return 0;
  if (cfg.ifindex && a.ifindex != cfg.ifindex) return 0;
  if (cfg.has_mark || cfg.has_filter) return 0;  // it is no one packet's
  // Sending asks for a neighbour in the sender's own call; timers and replies come at any time.
  if (cfg.tgid && (point == TXP_POINT_neigh_timer_handler || point == TXP_POINT_neigh_update ||
                   this_pid() != cfg.tgid))
    return 0;
  if (cfg.counts) count(a.point, a.ifindex, a.netns, 0, 1);
  if (!cfg.events) return 0;
  struct txp_watch_event* e = reserve();
  if (!e) return 0;
  fill_event(e, &a, bpf_ktime_get_ns(), 0, dev, 0);
  no_header(e);
  if (!key) {
  } else if (family == 2) {
    e->hdr_len = 34;
    e->hdr[12] = 8;
    e->hdr[14] = 0x45;
    bpf_probe_read_kernel(e->hdr + 30, 4, key);
  } else {
    e->hdr_len = 54;
    e->hdr[12] = 0x86;
    e->hdr[13] = 0xdd;
    e->hdr[14] = 0x60;
    bpf_probe_read_kernel(e->hdr + 38, 16, key);
  }
  bpf_ringbuf_submit(e, 0);
  return 0;
}

SEC("?tp_btf/neigh_create")
int on_neigh_create(unsigned long long* ctx) {
  struct neigh_table* tbl = (void*)ctx[0];
  struct net_device* dev = (void*)ctx[1];
  // The neighbour's own copy of the address is not written yet. Only volatile keeps the compiler
  // from reading the argument where the kernel does not allow it.
  const void* key = 0;
  if (cfg.const_void) key = (const void*)*(volatile unsigned long long*)&ctx[2];
  return on_neigh(TXP_POINT_neigh_create, dev, tbl->family, key, 0);
}
#define NEIGH(name, value)                                  \
  return on_neigh(TXP_POINT_##name, n->dev, n->tbl->family, \
                  __builtin_preserve_access_index(&n->primary_key), value)
SEC("?tp_btf/neigh_event_send_done")
int BPF_PROG(on_neigh_event_send_done, struct neighbour* n, int rc) {
  NEIGH(neigh_event_send_done, rc);
}
SEC("?tp_btf/neigh_event_send_dead")
int BPF_PROG(on_neigh_event_send_dead, struct neighbour* n, int rc) {
  NEIGH(neigh_event_send_dead, rc);
}
SEC("?tp_btf/neigh_timer_handler")
int BPF_PROG(on_neigh_timer_handler, struct neighbour* n, int err) {
  NEIGH(neigh_timer_handler, n->nud_state);
}
SEC("?tp_btf/neigh_update")
int BPF_PROG(on_neigh_update, struct neighbour* n, const txp_u8* lladdr, txp_u8 state,
             txp_u32 flags, txp_u32 nlmsg_pid) {
  NEIGH(neigh_update, state);
}

SEC("?tp_btf/softirq_entry")
int BPF_PROG(on_softirq_entry, unsigned int vector) {
  if (vector != 2) return 0;  // NET_TX_SOFTIRQ
  // It belongs to no namespace and no packet.
  if (cfg.counts) count(TXP_POINT_softirq_entry, 0, 0, 0, 1);
  if (cfg.events && !cfg.has_filter && !cfg.tgid && !cfg.has_mark && !cfg.ifindex) {
    struct about a = {.point = TXP_POINT_softirq_entry};
    struct txp_watch_event* e = reserve();
    if (!e) return 0;
    fill_event(e, &a, bpf_ktime_get_ns(), 0, 0, 0);
    no_header(e);
    bpf_ringbuf_submit(e, 0);
  }
  return 0;
}

#endif
