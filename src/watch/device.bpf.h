// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0
// The points of packets: on devices, in disciplines, and their ends.
#ifndef TXPATH_WATCH_DEVICE_BPF_H
#define TXPATH_WATCH_DEVICE_BPF_H

SEC("?tp_btf/net_dev_queue")
int BPF_PROG(on_net_dev_queue, struct sk_buff* skb) {
  struct net_device* dev = skb->dev;
  struct about a = {
      .point = TXP_POINT_net_dev_queue,
      .netns = netns_of_dev(dev),
      .ifindex = dev->ifindex,
      .len = skb->len,
      .mark = skb->mark,
      .queue = skb->queue_mapping,
  };
  return on_packet(skb, dev, &a);
}

SEC("?tp_btf/net_dev_start_xmit")
int BPF_PROG(on_net_dev_start_xmit, struct sk_buff* skb, const struct net_device* dev) {
  if (cfg.track || cfg.has_filter || cfg.has_mark) {
    struct cpu* cpu = this_cpu();
    if (!cpu) return 0;
    cpu->skb = (txp_u64)skb;  // an address that may have been another packet's
    cpu->matched = 0;
  }
  struct about a = {
      .point = TXP_POINT_net_dev_start_xmit,
      .netns = netns_of_dev(dev),
      .ifindex = dev->ifindex,
      .len = skb->len,
      .mark = skb->mark,
      .queue = skb->queue_mapping,
  };
  return on_packet(skb, dev, &a);
}

// The skb is the driver's by now, or gone: only its address may be used.
SEC("?tp_btf/net_dev_xmit")
int BPF_PROG(on_net_dev_xmit, struct sk_buff* skb, int rc, struct net_device* dev,
             unsigned int len) {
  struct about a = {
      .point = TXP_POINT_net_dev_xmit,
      .netns = netns_of_dev(dev),
      .ifindex = dev->ifindex,
      .len = len,
      .value = rc,
  };
  struct cpu* cpu = 0;
  struct packet* p = 0;
  txp_u64 now = 0;
  if (cfg.netns && a.netns != cfg.netns) return 0;
  if (cfg.ifindex && a.ifindex != cfg.ifindex) return 0;
  if (cfg.track || cfg.has_filter || cfg.has_mark) {
    cpu = this_cpu();
    if (!cpu || cpu->skb != (txp_u64)skb || !cpu->matched) return 0;
    a.mark = cpu->mark;
  }
  if (cfg.track && cpu) {
    now = bpf_ktime_get_ns();
    p = &cpu->xmit;
    if (cfg.tgid && p->pid != cfg.tgid) return 0;
    if (cfg.latency) measure_packet(p, TXP_POINT_net_dev_xmit, now);
    struct packet* slot = slot_of(p->head);
    if (slot && slot->head == p->head && slot->id == p->id &&
        slot->point == TXP_POINT_net_dev_start_xmit) {
      slot->last = now;
      slot->point = TXP_POINT_net_dev_xmit;
    }
  }
  if (cfg.counts) {
    if (rc == 0)  // NETDEV_TX_OK
      count(a.point, a.ifindex, a.netns, len, 1);
    else
      count_error(a.point, -rc, a.netns);
  }
  if (cfg.events) {
    struct txp_watch_event* e = reserve();
    if (e) {
      fill_event(e, &a, now ? now : bpf_ktime_get_ns(), (txp_u64)skb, dev, p);
      if (cpu) {
        e->hdr_len = cpu->hdr_len;
        __builtin_memcpy(e->hdr, cpu->hdr, sizeof e->hdr);
      } else {
        no_header(e);
      }
      bpf_ringbuf_submit(e, 0);
    }
  }
  if (p) {
    p->last = now;
    p->point = TXP_POINT_net_dev_xmit;
  }
  return 0;
}

static __always_inline void on_qdisc(const struct Qdisc* q, const struct about* a, bool in) {
  struct txp_watch_qdisc_key key = {a->ifindex, a->netns, q->handle};
  struct txp_watch_qdisc* s = bpf_map_lookup_elem(&qdiscs, &key);
  if (!s) {
    struct txp_watch_qdisc zero = {};
    bpf_map_update_elem(&qdiscs, &key, &zero, BPF_NOEXIST);
    s = bpf_map_lookup_elem(&qdiscs, &key);
    if (!s) return lose(LOST_KEYS);
  }
  if (in) {
    __sync_fetch_and_add(&s->enqueued, 1);
    __sync_fetch_and_add(&s->enqueued_bytes, a->len);
  } else {
    __sync_fetch_and_add(&s->dequeued, 1);
    __sync_fetch_and_add(&s->dequeued_bytes, a->len);
  }
  s->backlog_packets = q->q.qlen;
  s->backlog_bytes = q->qstats.backlog;
  if (s->backlog_packets > s->max_packets) s->max_packets = s->backlog_packets;
  if (s->backlog_bytes > s->max_bytes) s->max_bytes = s->backlog_bytes;
}

SEC("?tp_btf/qdisc_enqueue")
int BPF_PROG(on_qdisc_enqueue, struct Qdisc* q, const struct netdev_queue* txq,
             struct sk_buff* skb) {
  struct net_device* dev = txq->dev;
  struct about a = {
      .point = TXP_POINT_qdisc_enqueue,
      .netns = netns_of_dev(dev),
      .ifindex = dev->ifindex,
      .len = skb->len,
      .mark = skb->mark,
      .queue = skb->queue_mapping,
      .q = q,
  };
  if (!wanted(&a)) return 0;
  if (cfg.counts) on_qdisc(q, &a, true);
  return on_packet(skb, dev, &a);
}

SEC("?tp_btf/qdisc_dequeue")
int BPF_PROG(on_qdisc_dequeue, struct Qdisc* q, const struct netdev_queue* txq, int packets,
             struct sk_buff* skb) {
  if (!skb) return 0;
  struct net_device* dev = txq->dev;
  struct about a = {
      .point = TXP_POINT_qdisc_dequeue,
      .netns = netns_of_dev(dev),
      .ifindex = dev->ifindex,
      .len = skb->len,
      .value = packets,
      .mark = skb->mark,
      .queue = skb->queue_mapping,
      .q = q,
  };
  if (!wanted(&a)) return 0;
  if (cfg.counts) {
    // A discipline may hand out a chain at once.
    struct sk_buff* s = skb;
    for (int i = 0; i < 64 && s; ++i) {
      a.len = s->len;
      on_qdisc(q, &a, false);
      s = s->next;
    }
    a.len = skb->len;
  }
  return on_packet(skb, dev, &a);
}

static __always_inline bool last_reference(const struct sk_buff* skb) {
  struct skb_shared_info* shared = (void*)(skb->head + skb->end);
  int ref = BPF_CORE_READ(shared, dataref.counter);
  return (ref & 0xffff) <= 1;
}

// The packet's end, by whom ever: its driver, the receiver at the other end of a veth.
static __always_inline int on_freed(struct sk_buff* skb, txp_u32 point) {
  txp_u64 head = (txp_u64)skb->head;
  struct packet* p = slot_of(head);
  if (!p || p->head != head || !p->id) return 0;
  if (!last_reference(skb)) return 0;  // a clone: the packet lives on
  if (!cfg.tgid || p->pid == cfg.tgid) {
    txp_u64 now = bpf_ktime_get_ns();
    if (cfg.latency) measure_packet(p, TXP_POINT_consume_skb, now);
    if (cfg.events && !cfg.drops_only) {
      struct net_device* dev = skb->dev;
      struct about a = {.point = TXP_POINT_consume_skb, .len = skb->len, .mark = skb->mark};
      struct header* h = header_of(point);
      // A receiver has taken the headers off.
      if (skb->skb_iif) h = 0;
      if (h) read_header(skb, h);
      struct txp_watch_event* e = reserve();
      if (e) {
        if (dev) {
          a.netns = netns_of_dev(dev);
          a.ifindex = dev->ifindex;
        }
        fill_event(e, &a, now, (txp_u64)skb, dev, p);
        if (h)
          header_from(e, h);
        else
          no_header(e);
        bpf_ringbuf_submit(e, 0);
      }
    }
  }
  p->head = 0;
  p->id = 0;
  return 0;
}

SEC("?tp_btf/consume_skb")
int BPF_PROG(on_consume_skb, struct sk_buff* skb) { return on_freed(skb, TXP_POINT_consume_skb); }

SEC("?tp_btf/kfree_skb")
int BPF_PROG(on_kfree_skb, struct sk_buff* skb, void* location, txp_u32 reason) {
  struct net_device* dev = skb->dev;
  struct sock* sk = skb->sk;
  struct about a = {
      .point = TXP_POINT_kfree_skb,
      .len = skb->len,
      .value = reason,
      .mark = skb->mark,
      .queue = skb->queue_mapping,
      .location = (txp_u64)location,
  };
  if (skb->skb_iif) a.flags |= TXP_EVENT_RECEIVED;
  if (dev) {
    a.netns = netns_of_dev(dev);
    a.ifindex = dev->ifindex;
  } else {
    a.flags |= TXP_EVENT_NO_DEV;
    a.netns = sk ? netns_of_sk(sk) : netns_of_task();
  }
  // Dropped by a receiver: for its sender it has arrived.
  if (cfg.track && skb->skb_iif) on_freed(skb, TXP_POINT_kfree_skb);
  if (!wanted(&a)) return 0;
  if (cfg.counts) {
    if (cfg.has_filter) {
      struct header* h = header_of(TXP_POINT_kfree_skb);
      if (!h) return 0;
      read_header(skb, h);
      if (!filter_match(h)) goto tell;
    }
    struct txp_watch_drop_key key = {a.location, reason,          a.ifindex, a.netns,
                                     a.flags,    TXP_POINT_COUNT, 0};
    if (cfg.track) {
      struct packet* p = slot_of((txp_u64)skb->head);
      if (p && p->head == (txp_u64)skb->head && p->id) key.point = p->point;
    }
    struct txp_watch_count* c = bpf_map_lookup_elem(&drops, &key);
    if (c) {
      c->packets += 1;
      c->bytes += a.len;
    } else {
      struct txp_watch_count one = {1, a.len};
      if (bpf_map_update_elem(&drops, &key, &one, BPF_ANY)) lose(LOST_KEYS);
    }
  }
tell:
  if (cfg.events || cfg.latency) {
    // on_packet() must not count it as a stage's packet a second time.
    on_packet(skb, dev, &a);
    if (cfg.track && last_reference(skb)) {
      struct packet* p = slot_of((txp_u64)skb->head);
      if (p && p->head == (txp_u64)skb->head) p->head = p->id = 0;
    }
  }
  return 0;
}

#endif
