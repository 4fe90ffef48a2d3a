// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0
// What the programs keep: the ways to the command, the counts, and their own records.
#ifndef TXPATH_WATCH_MAPS_BPF_H
#define TXPATH_WATCH_MAPS_BPF_H

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
// Counts of the one namespace that is watched, at [point * TXP_WATCH_NEAR + ifindex]; those of
// other namespaces, and of higher ifindexes, in `counts`.
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
  txp_u64 sk;  // of its first packet; what has another one is a softirq's that came in between
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

#endif
