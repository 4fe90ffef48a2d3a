// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0
// The eBPF programs of `txpath watch`: one for each point of point.h, on BTF tracepoints (tp_btf)
// and, where the kernel allows that, on functions' entries (fentry). They only read.
//
// Order in each: what is cheap (namespace, device, mark), whose packet it is, the pcap filter; then
// times, counts, and last the event.
//
// Identity. A packet is known by the address of its buffer (skb->head), which its clones share. Its
// record lies in a table of slots, by that address; two packets that fall together cost the elder
// one its identity, nothing else. What is not known yet belongs to the call that its task is in
// (fragments of one datagram), or to the packet that this CPU held just before (segments of one
// GSO packet), else it is a new packet.
#include <stdbool.h>

#include "kernel.bpf.h"
// After the kernel's types.
#include "event.h"
#include "point.h"

char LICENSE[] SEC("license") = "GPL";

const volatile struct txp_watch_config cfg = {};

struct {
  __uint(type, BPF_MAP_TYPE_RINGBUF);
  __uint(max_entries, 8 << 20);
} ring SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY);
  __uint(key_size, 4);
  __uint(value_size, 4);
} frames SEC(".maps");

#define PERCPU_HASH(name, key_type, value_type, n) \
  struct {                                         \
    __uint(type, BPF_MAP_TYPE_PERCPU_HASH);        \
    __uint(max_entries, n);                        \
    __type(key, key_type);                         \
    __type(value, value_type);                     \
  } name SEC(".maps")
// Counts of the one namespace that is watched, at [point * TXP_WATCH_NEAR + ifindex]; those of other
// namespaces, and of higher ifindexes, in `counts`.
struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
  __uint(max_entries, TXP_POINT_COUNT* TXP_WATCH_NEAR);
  __type(key, txp_u32);
  __type(value, struct txp_watch_count);
} near_counts SEC(".maps");
PERCPU_HASH(counts, struct txp_watch_count_key, struct txp_watch_count, 8192);
PERCPU_HASH(errors, struct txp_watch_error_key, txp_u64, 1024);
PERCPU_HASH(drops, struct txp_watch_drop_key, struct txp_watch_count, 2048);

struct {  // one for all CPUs: a discipline's backlog is one
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, 1024);
  __type(key, struct txp_watch_qdisc_key);
  __type(value, struct txp_watch_qdisc);
} qdiscs SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
  __uint(max_entries, TXP_MARK_COUNT* TXP_MARK_COUNT);
  __type(key, txp_u32);
  __type(value, struct txp_watch_hist);
} hists SEC(".maps");

enum { LOST_EVENTS, LOST_KEYS, LOST_COUNT };
struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
  __uint(max_entries, LOST_COUNT);
  __type(key, txp_u32);
  __type(value, txp_u64);
} lost SEC(".maps");

// A packet under way.
struct packet {
  txp_u64 head;  // 0: a free slot
  txp_u64 id;
  txp_u64 born;  // the call's begin, or the first point
  txp_u64 last;
  txp_u64 sk;
  txp_u32 point;  // at `last`
  txp_u32 pid;
  char comm[16];
};
struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, TXP_WATCH_SLOTS);
  __type(key, txp_u32);
  __type(value, struct packet);
} slots SEC(".maps");

// A task's system call that sends.
struct call {
  txp_u64 since;
  txp_u64 id;  // of its datagram; 0: none yet
  txp_u64 nr;
  txp_u32 active;
  txp_u32 matched;  // a packet or lookup of it passed the filter
};
struct {
  __uint(type, BPF_MAP_TYPE_TASK_STORAGE);
  __uint(map_flags, BPF_F_NO_PREALLOC);
  __type(key, int);
  __type(value, struct call);
} calls SEC(".maps");

// What this CPU is about.
struct cpu {
  txp_u64 next_id;
  txp_u64 skb;           // net_dev_start_xmit: net_dev_xmit may no longer look into it
  struct packet xmit;    // its record (id 0: not tracked)
  struct packet parent;  // last queued or dequeued: the parent of segments
  txp_u32 netns;
  txp_u32 matched;
  txp_u32 hdr_len;
  txp_u32 mark;
  txp_u8 hdr[TXP_WATCH_EVENT_HDR];
  struct txp_watch_event scratch;  // too large for the stack
};
struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
  __uint(max_entries, 1);
  __type(key, txp_u32);
  __type(value, struct cpu);
} cpus SEC(".maps");

static __always_inline struct cpu* this_cpu(void) {
  txp_u32 zero = 0;
  return bpf_map_lookup_elem(&cpus, &zero);
}

static __always_inline void lose(txp_u32 what) {
  txp_u64* n = bpf_map_lookup_elem(&lost, &what);
  if (n) *n += 1;
}

// A packet's first bytes, and the filter's sixteen words of memory behind them.
struct header {
  txp_u8 bytes[TXP_WATCH_HDR];
  txp_u32 memory[16];
  txp_u32 valid;    // bytes that are there
  txp_u32 wirelen;  // of the whole frame
};
// Not on the stack, which may be read aligned only. One for each program: another one may come
// between in an interrupt, the same one not.
struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
  __uint(max_entries, TXP_POINT_COUNT);
  __type(key, txp_u32);
  __type(value, struct header);
} headers SEC(".maps");
static __always_inline struct header* header_of(txp_u32 point) {
  return bpf_map_lookup_elem(&headers, &point);
}

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

// The record of `skb`, made when there is none. `matched`: whose call or parent passed the filter.
static __always_inline struct packet* adopt(const struct sk_buff* skb, struct packet* p,
                                            txp_u64 now, struct call* call) {
  struct cpu* cpu = this_cpu();
  if (!cpu) return 0;
  txp_u64 sk = (txp_u64)skb->sk;
  if (sk && cpu->parent.id && cpu->parent.sk == sk && now - cpu->parent.last < 50000 &&
      cpu->parent.point != TXP_POINT_net_dev_xmit && (!call || call->id == cpu->parent.id ||
                                                      !call->active)) {
    *p = cpu->parent;
  } else {
    p->sk = sk;
    p->pid = this_pid();
    bpf_get_current_comm(p->comm, sizeof p->comm);
    if (call && call->active && sk) {
      if (!call->id) call->id = (++cpu->next_id << 8) | (bpf_get_smp_processor_id() & 255);
      p->id = call->id;
      p->born = p->last = call->since;
      p->point = TXP_POINT_sys_enter;
    } else {
      p->id = (++cpu->next_id << 8) | (bpf_get_smp_processor_id() & 255);
      p->born = p->last = now;
      p->point = TXP_POINT_COUNT;
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

// ctx-free part of every packet point. `h` holds the header when it was needed.
static __always_inline int on_packet(void* ctx, struct sk_buff* skb, const struct net_device* dev,
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
      bool ours = call && call->active && call->matched && skb->sk;
      if (cfg.has_filter && !ours && !filter_match(h)) {
        if (a->point == TXP_POINT_net_dev_start_xmit && (cpu = this_cpu())) {
          cpu->skb = (txp_u64)skb;
          cpu->matched = 0;
        }
        return 0;
      }
      if (call && cfg.has_filter) call->matched = 1;
      p = adopt(skb, p, now, call);
      if (!p) return 0;
    }
    if (cfg.tgid && p->pid != cfg.tgid) return 0;
    if (cfg.latency) measure_packet(p, a->point, now);
  } else if (cfg.has_filter && !filter_match(h)) {
    if (a->point == TXP_POINT_net_dev_start_xmit && (cpu = this_cpu())) {
      cpu->skb = (txp_u64)skb;
      cpu->matched = 0;
    }
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
  if ((cfg.track || cfg.has_filter) && a->point != TXP_POINT_kfree_skb && (cpu = this_cpu())) {
    if (a->point == TXP_POINT_net_dev_start_xmit) {
      cpu->skb = (txp_u64)skb;
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
  return on_packet(ctx, skb, dev, &a);
}

SEC("?tp_btf/net_dev_start_xmit")
int BPF_PROG(on_net_dev_start_xmit, struct sk_buff* skb, const struct net_device* dev) {
  struct about a = {
      .point = TXP_POINT_net_dev_start_xmit,
      .netns = netns_of_dev(dev),
      .ifindex = dev->ifindex,
      .len = skb->len,
      .mark = skb->mark,
      .queue = skb->queue_mapping,
  };
  return on_packet(ctx, skb, dev, &a);
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
  return on_packet(ctx, skb, dev, &a);
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
  return on_packet(ctx, skb, dev, &a);
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
    struct txp_watch_drop_key key = {a.location, reason, a.ifindex, a.netns, a.flags,
                                     TXP_POINT_COUNT, 0};
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
    on_packet(ctx, skb, dev, &a);
    if (cfg.track && last_reference(skb)) {
      struct packet* p = slot_of((txp_u64)skb->head);
      if (p && p->head == (txp_u64)skb->head) p->head = p->id = 0;
    }
  }
  return 0;
}

SEC("?tp_btf/sys_enter")
int BPF_PROG(on_sys_enter, struct pt_regs* regs, long nr) {
  bool sends = false;
  for (int i = 0; i < TXP_WATCH_SYSCALLS; ++i) sends |= cfg.syscalls[i] == (txp_u64)nr;
  if (!sends) return 0;
  if (cfg.tgid && this_pid() != cfg.tgid) return 0;
  struct call* c = bpf_task_storage_get(&calls, bpf_get_current_task_btf(), 0,
                                        BPF_LOCAL_STORAGE_GET_F_CREATE);
  if (!c) return 0;
  c->since = bpf_ktime_get_ns();
  c->id = 0;
  c->nr = nr;
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
    call->id = 0;
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
        if (!call->id && cpu)
          call->id = (++cpu->next_id << 8) | (bpf_get_smp_processor_id() & 255);
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
  if (family == 2) {
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
int BPF_PROG(on_neigh_create, struct neigh_table* tbl, struct net_device* dev, const void* key,
             const struct neighbour* n, bool exempt) {
  return on_neigh(TXP_POINT_neigh_create, dev, tbl->family, key, 0);
}
#define NEIGH(name, value)                                                            \
  return on_neigh(TXP_POINT_##name, n->dev, n->tbl->family,                           \
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

// Functions. Their packets are known by skb where they have one; above ip_make_skb only counted.
static __always_inline int on_function(void* ctx, txp_u32 point, struct sk_buff* skb) {
  struct net_device* dev = skb->dev;
  struct sock* sk = skb->sk;
  struct about a = {.point = point, .len = skb->len, .mark = skb->mark};
  if (dev) {
    a.netns = netns_of_dev(dev);
    a.ifindex = dev->ifindex;
  } else {
    a.netns = sk ? netns_of_sk(sk) : netns_of_task();
  }
  return on_packet(ctx, skb, dev, &a);
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
  return on_function(ctx, TXP_POINT_fn_udp_send_skb, skb);
}
SEC("?fentry/ip_send_skb")
int BPF_PROG(on_fn_ip_send_skb, struct net* net, struct sk_buff* skb) {
  return on_function(ctx, TXP_POINT_fn_ip_send_skb, skb);
}
#define NET_SK_SKB(name, function)                                                     \
  SEC("?fentry/" function)                                                             \
  int BPF_PROG(on_fn_##name, struct net* net, struct sock* sk, struct sk_buff* skb) {  \
    return on_function(ctx, TXP_POINT_fn_##name, skb);                                 \
  }
NET_SK_SKB(ip_local_out, "__ip_local_out")
NET_SK_SKB(ip_output, "ip_output")
NET_SK_SKB(ip_finish_output, "ip_finish_output")
NET_SK_SKB(ip_finish_output2, "ip_finish_output2")
SEC("?fentry/netdev_core_pick_tx")
int BPF_PROG(on_fn_netdev_pick_tx, struct net_device* dev, struct sk_buff* skb) {
  return on_function(ctx, TXP_POINT_fn_netdev_pick_tx, skb);
}
#define SKB_FIRST(name, function)                         \
  SEC("?fentry/" function)                                \
  int BPF_PROG(on_fn_##name, struct sk_buff* skb) {       \
    return on_function(ctx, TXP_POINT_fn_##name, skb);    \
  }
SKB_FIRST(sch_direct_xmit, "sch_direct_xmit")
SKB_FIRST(dev_queue_xmit_nit, "dev_queue_xmit_nit")
SKB_FIRST(loopback_xmit, "loopback_xmit")
