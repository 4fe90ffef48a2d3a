// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0
// What every point does with a packet: look at it, filter, know it again, measure, count, tell.
#ifndef TXPATH_WATCH_PACKET_BPF_H
#define TXPATH_WATCH_PACKET_BPF_H

static __always_inline void read_header(const struct sk_buff* skb, struct header* h) {
  unsigned char* head = skb->head;
  txp_u32 network = skb->network_header, mac = skb->mac_header;
  txp_u32 tail = skb->tail;
  txp_u32 data = (txp_u32)((unsigned long)skb->data - (unsigned long)head);
  if (mac != 0xffff && mac + 14 == network) {
    bpf_probe_read_kernel(h->bytes, TXP_WATCH_HDR, head + mac);
  } else {
    __builtin_memset(h->bytes, 0, 16);
    *(__be16*)(h->bytes + 12) = skb->protocol;
    bpf_probe_read_kernel(h->bytes + 14, TXP_WATCH_HDR - 14, head + network);
  }
  txp_u32 linear = tail > network ? tail - network : 0;
  h->valid = 14 + (linear > TXP_WATCH_HDR - 14 ? TXP_WATCH_HDR - 14 : linear);
  h->wirelen = 14 + skb->len + data - network;
}

// A header in the likeness of what a route lookup is asked for.
static __always_inline void flow_header(const struct flowi4* f, struct header* h) {
  __builtin_memset(h->bytes, 0, sizeof h->bytes);
  h->bytes[12] = 8;
  h->bytes[14] = 0x45;
  h->bytes[17] = 28;
  h->bytes[22] = 64;
  h->bytes[23] = f->__fl_common.flowic_proto;
  *(__be32*)(h->bytes + 26) = f->saddr;
  *(__be32*)(h->bytes + 30) = f->daddr;
  *(__be16*)(h->bytes + 34) = f->uli.ports.sport;
  *(__be16*)(h->bytes + 36) = f->uli.ports.dport;
  h->bytes[39] = 8;
  h->valid = h->wirelen = 42;
}

// The place of the pcap filter: the command writes its instructions over the `goto +0`s
// (filter.h), which cost nothing when they stay.
static __always_inline bool filter_match(struct header* h) {
  txp_u64 result;
  if (!cfg.has_filter) return true;
  __builtin_memset(h->memory, 0, sizeof h->memory);
  asm volatile(
      "r1 = %[buffer]\n"
      "r2 = %[valid]\n"
      "r3 = %[wirelen]\n"
      "r0 = 0x70636170\n"
      ".rept 1024\n"
      "goto +0\n"
      ".endr\n"
      "%[result] = r0\n"
      : [result] "=r"(result)
      : [buffer] "r"(h), [valid] "r"((txp_u64)h->valid), [wirelen] "r"((txp_u64)h->wirelen)
      : "r0", "r1", "r2", "r3", "r4", "r5", "memory");
  return result != 0;
}

static __always_inline txp_u32 netns_of_task(void) {
  struct task_struct* task = bpf_get_current_task_btf();
  return task->nsproxy->net_ns->ns.inum;
}
static __always_inline txp_u32 netns_of_dev(const struct net_device* dev) {
  return dev->nd_net.net->ns.inum;
}
static __always_inline txp_u32 netns_of_sk(const struct sock* sk) {
  return sk->__sk_common.skc_net.net->ns.inum;
}

// The current process as its number is in the command's own pid namespace.
static __always_inline txp_u32 this_pid(void) {
  if (!cfg.pidns_inode) return bpf_get_current_pid_tgid() >> 32;
  struct bpf_pidns_info ns;
  if (bpf_get_ns_current_pid_tgid(cfg.pidns_dev, cfg.pidns_inode, &ns, sizeof ns)) return 0;
  return ns.tgid;
}

static __always_inline struct call* this_call(void) {
  return bpf_task_storage_get(&calls, bpf_get_current_task_btf(), 0, 0);
}

static __always_inline void count(txp_u32 point, txp_u32 ifindex, txp_u32 netns, txp_u32 len,
                                  txp_u32 packets) {
  if (cfg.netns && ifindex < TXP_WATCH_NEAR) {
    txp_u32 at = point * TXP_WATCH_NEAR + ifindex;
    struct txp_watch_count* near = bpf_map_lookup_elem(&near_counts, &at);
    if (!near) return;
    near->packets += packets;
    near->bytes += len;
    return;
  }
  struct txp_watch_count_key key = {point, ifindex, netns};
  struct txp_watch_count* c = bpf_map_lookup_elem(&counts, &key);
  if (!c) {
    struct txp_watch_count zero = {};
    bpf_map_update_elem(&counts, &key, &zero, BPF_NOEXIST);
    c = bpf_map_lookup_elem(&counts, &key);
    if (!c) return lose(LOST_KEYS);
  }
  c->packets += packets;
  c->bytes += len;
}

static __always_inline void count_error(txp_u32 point, txp_s32 error, txp_u32 netns) {
  struct txp_watch_error_key key = {point, (txp_u32)-error, netns};
  txp_u64* n = bpf_map_lookup_elem(&errors, &key);
  if (n) {
    *n += 1;
    return;
  }
  txp_u64 one = 1;
  if (bpf_map_update_elem(&errors, &key, &one, BPF_ANY)) lose(LOST_KEYS);
}

static __always_inline void measure(txp_u32 from, txp_u32 to, txp_u64 ns) {
  txp_u32 at = from * TXP_MARK_COUNT + to;
  struct txp_watch_hist* h = bpf_map_lookup_elem(&hists, &at);
  if (!h) return;
  h->count += 1;
  h->sum += ns;
  if (ns > h->max) h->max = ns;
  // The octave, and the three bits below its highest.
  txp_u64 v = ns, octave = 0;
  if (v >> 32) v >>= 32, octave += 32;
  if (v >> 16) v >>= 16, octave += 16;
  if (v >> 8) v >>= 8, octave += 8;
  if (v >> 4) v >>= 4, octave += 4;
  if (v >> 2) v >>= 2, octave += 2;
  if (v >> 1) octave += 1;
  txp_u64 bucket = ns;
  if (octave >= TXP_WATCH_SUB_BITS)
    bucket = ((octave - TXP_WATCH_SUB_BITS + 1) << TXP_WATCH_SUB_BITS) +
             ((ns >> (octave - TXP_WATCH_SUB_BITS)) & ((1 << TXP_WATCH_SUB_BITS) - 1));
  if (bucket >= TXP_WATCH_BUCKETS) bucket = TXP_WATCH_BUCKETS - 1;
  h->bucket[bucket] += 1;
}

static __always_inline txp_u32 mark_of(txp_u32 point) {
  switch (point) {
    case TXP_POINT_sys_enter: return TXP_MARK_call;
    case TXP_POINT_net_dev_queue: return TXP_MARK_queue;
    case TXP_POINT_qdisc_enqueue: return TXP_MARK_enqueue;
    case TXP_POINT_qdisc_dequeue: return TXP_MARK_dequeue;
    case TXP_POINT_net_dev_start_xmit: return TXP_MARK_start;
    case TXP_POINT_net_dev_xmit: return TXP_MARK_xmit;
    case TXP_POINT_consume_skb:
    case TXP_POINT_kfree_skb: return TXP_MARK_freed;
  }
  return TXP_MARK_COUNT;
}

static __always_inline void measure_packet(const struct packet* p, txp_u32 point, txp_u64 now) {
  txp_u32 from = mark_of(p->point), to = mark_of(point);
  // Not where a packet begins again: a later fragment, a stacked device.
  if (from < to && to < TXP_MARK_COUNT && now >= p->last) measure(from, to, now - p->last);
  // The whole way, from the call.
  if (to >= TXP_MARK_xmit && p->point != TXP_POINT_sys_enter && now >= p->born)
    measure(TXP_MARK_call, to, now - p->born);
}

static __always_inline struct packet* slot_of(txp_u64 head) {
  // Newer kernels (6.17) take skb->head for a pointer whatever is computed from it; a copy of its
  // lower half is a number to them.
  txp_u64 low;
  asm volatile(
      "r1 = %[head]\n"
      "w1 = w1\n"
      "%[low] = r1\n"
      : [low] "=r"(low)
      : [head] "r"(head)
      : "r1");
  txp_u32 at = (txp_u32)low * 0x9e3779b1u >> 16;
  _Static_assert(TXP_WATCH_SLOTS == 1 << 16, "all of `at`");
  return bpf_map_lookup_elem(&slots, &at);
}

// Whether `skb` is of the task's call rather than of a softirq that interrupted it.
static __always_inline bool call_of(struct call* call, const struct sk_buff* skb) {
  txp_u64 sk = (txp_u64)skb->sk;
  return call && call->active && sk && (!call->sk || call->sk == sk);
}

// The record of `skb`, made when there is none.
static __always_inline struct packet* adopt(const struct sk_buff* skb, struct packet* p,
                                            txp_u64 now, struct call* call) {
  struct cpu* cpu = this_cpu();
  if (!cpu) return 0;
  txp_u64 sk = (txp_u64)skb->sk;
  bool called = call_of(call, skb);
  if (sk && cpu->parent.id && cpu->parent.sk == sk && now - cpu->parent.last < 50000 &&
      cpu->parent.point != TXP_POINT_net_dev_xmit && (!called || call->id == cpu->parent.id)) {
    *p = cpu->parent;
  } else {
    p->sk = sk;
    if (called) {
      call->sk = sk;
      if (!call->id) call->id = (++cpu->next_id << 8) | (bpf_get_smp_processor_id() & 255);
      p->id = call->id;
      p->born = p->last = call->since;
      p->point = TXP_POINT_sys_enter;
      p->pid = this_pid();
      bpf_get_current_comm(p->comm, sizeof p->comm);
    } else {  // nobody's call: forwarded, an answer, the kernel's own
      p->id = (++cpu->next_id << 8) | (bpf_get_smp_processor_id() & 255);
      p->born = p->last = now;
      p->point = TXP_POINT_COUNT;
      p->pid = 0;
      __builtin_memset(p->comm, 0, sizeof p->comm);
    }
  }
  p->head = (txp_u64)skb->head;
  return p;
}

struct about {  // what an event is told with
  txp_u32 point;
  txp_u32 netns;
  txp_u32 ifindex;
  txp_u32 len;
  txp_s32 value;
  txp_u32 queue;
  txp_u32 mark;
  txp_u32 flags;
  txp_u64 location;
  const struct Qdisc* q;
};

static __always_inline void fill_event(struct txp_watch_event* e, const struct about* a,
                                       txp_u64 now, txp_u64 skb, const struct net_device* dev,
                                       const struct packet* p) {
  e->t = now;
  e->skb = skb;
  e->packet = p ? p->id : 0;
  e->location = a->location;
  e->since = p && p->point < TXP_POINT_COUNT ? p->last : 0;
  e->since_point = p ? p->point : TXP_POINT_COUNT;
  e->point = a->point;
  e->netns = a->netns;
  e->ifindex = a->ifindex;
  e->len = a->len;
  e->value = a->value;
  e->queue = a->queue;
  e->mark = a->mark;
  e->flags = a->flags;
  if (a->q) {
    e->handle = a->q->handle;
    e->backlog_packets = a->q->q.qlen;
    e->backlog_bytes = a->q->qstats.backlog;
  } else {
    e->handle = e->backlog_packets = e->backlog_bytes = 0;
  }
  if (p) {
    e->pid = p->pid;
    __builtin_memcpy(e->comm, p->comm, sizeof e->comm);
  } else {
    e->pid = this_pid();
    bpf_get_current_comm(e->comm, sizeof e->comm);
  }
  if (dev)
    bpf_probe_read_kernel(e->dev, sizeof e->dev, dev->name);
  else
    __builtin_memset(e->dev, 0, sizeof e->dev);
}

static __always_inline struct txp_watch_event* reserve(void) {
  struct txp_watch_event* e = bpf_ringbuf_reserve(&ring, sizeof *e, 0);
  if (!e) lose(LOST_EVENTS);
  return e;
}

static __always_inline void no_header(struct txp_watch_event* e) {
  e->hdr_len = 0;
  __builtin_memset(e->hdr, 0, sizeof e->hdr);
}

static __always_inline void header_from(struct txp_watch_event* e, const struct header* h) {
  e->hdr_len = h->valid > TXP_WATCH_EVENT_HDR ? TXP_WATCH_EVENT_HDR : h->valid;
  __builtin_memcpy(e->hdr, h->bytes, sizeof e->hdr);
}

static __always_inline bool wanted(const struct about* a) {
  if (cfg.netns && a->netns != cfg.netns) return false;
  if (cfg.ifindex && a->ifindex != cfg.ifindex) return false;
  if (cfg.has_mark && a->mark != cfg.mark) return false;
  return true;
}

// The common part of every point that has a packet.
static __always_inline int on_packet(struct sk_buff* skb, const struct net_device* dev,
                                     struct about* a) {
  if (!wanted(a)) return 0;
  struct header* h = header_of(a->point);
  if (!h) return 0;
  struct packet* p = 0;
  struct call* call = 0;
  struct cpu* cpu = 0;
  txp_u64 now = 0;
  if (cfg.has_filter || cfg.events) {
    read_header(skb, h);
  }
  if (cfg.track) {
    now = bpf_ktime_get_ns();
    txp_u64 head = (txp_u64)skb->head;
    p = slot_of(head);
    if (!p) return 0;
    if (p->head != head || !p->id) {
      call = this_call();
      // A later fragment has no ports to be known by, but its call is known.
      bool ours = call_of(call, skb) && call->matched;
      if (cfg.has_filter && !ours && !filter_match(h)) return 0;
      if (cfg.has_filter && call_of(call, skb)) call->matched = 1;
      // What came in and is dropped may share its buffer with one that goes out.
      if (a->flags & TXP_EVENT_RECEIVED)
        p = 0;
      else if (!(p = adopt(skb, p, now, call)))
        return 0;
    }
    if (cfg.tgid && (!p || p->pid != cfg.tgid)) return 0;
    if (cfg.latency && p) measure_packet(p, a->point, now);
  } else if (cfg.has_filter && !filter_match(h)) {
    return 0;
  }
  if (cfg.counts) count(a->point, a->ifindex, a->netns, a->len, 1);
  if (cfg.events) {
    if (!now) now = bpf_ktime_get_ns();
    if (cfg.bytes && a->point == TXP_POINT_net_dev_start_xmit) {
      cpu = this_cpu();
      if (!cpu) return 0;
      struct txp_watch_event* e = &cpu->scratch;
      fill_event(e, a, now, (txp_u64)skb, dev, p);
      header_from(e, h);
      txp_u64 len = a->len > 0xffff ? 0xffff : a->len;
      if (bpf_skb_output(skb, &frames, BPF_F_CURRENT_CPU | (len << 32), e, sizeof *e))
        lose(LOST_EVENTS);
    } else {
      struct txp_watch_event* e = reserve();
      if (e) {
        fill_event(e, a, now, (txp_u64)skb, dev, p);
        header_from(e, h);
        bpf_ringbuf_submit(e, 0);
      }
    }
  }
  if (p) {
    p->last = now;
    p->point = a->point;
  }
  // What the next points on this CPU cannot find out for themselves.
  if ((cfg.track || cfg.has_filter || cfg.has_mark) && a->point != TXP_POINT_kfree_skb &&
      (cpu = this_cpu())) {
    if (a->point == TXP_POINT_net_dev_start_xmit) {
      cpu->matched = 1;
      cpu->mark = a->mark;
      cpu->netns = a->netns;
      if (p) cpu->xmit = *p;
      if (cfg.events) {
        cpu->hdr_len = h->valid > TXP_WATCH_EVENT_HDR ? TXP_WATCH_EVENT_HDR : h->valid;
        __builtin_memcpy(cpu->hdr, h->bytes, sizeof cpu->hdr);
      }
    } else if (p) {
      cpu->parent = *p;
    }
  }
  return 0;
}

#endif
