// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0
// What the eBPF programs and the command tell each other. C and C++; sizes are fixed and without
// holes, as the kernel refuses to copy what was not written.
#ifndef TXPATH_WATCH_EVENT_H
#define TXPATH_WATCH_EVENT_H

#ifdef __cplusplus
#include <cstdint>
using txp_u64 = std::uint64_t;
using txp_u32 = std::uint32_t;
using txp_s32 = std::int32_t;
using txp_u16 = std::uint16_t;
using txp_u8 = std::uint8_t;
#else
typedef __u64 txp_u64;
typedef __u32 txp_u32;
typedef __s32 txp_s32;
typedef __u16 txp_u16;
typedef __u8 txp_u8;
#endif

// Bytes of a packet that filters and flows are read from, an Ethernet header first (made up from
// skb->protocol where the packet has none yet, or its device has none).
enum {
  TXP_WATCH_HDR = 128,
  TXP_WATCH_EVENT_HDR = 96,
  TXP_WATCH_NEAR = 256,     // devices of one namespace that are counted without hashing
  TXP_WATCH_SLOTS = 65536,  // packets under way whose identity is kept
  TXP_WATCH_SYSCALLS = 8,
  TXP_WATCH_BUCKETS = 304,  // TXP_WATCH_SUB a power of two of nanoseconds, up to 2^38
  TXP_WATCH_SUB_BITS = 3,
};

// What the programs do, written before they are loaded: the verifier removes the rest.
struct txp_watch_config {
  txp_u32 netns;    // inode; 0: any
  txp_u32 ifindex;  // 0: any
  txp_u32 tgid;     // 0: any; in the pid namespace below
  txp_u32 mark;
  txp_u8 has_mark;
  txp_u8 has_filter;  // a pcap filter was written over the placeholders
  txp_u8 counts;
  txp_u8 events;
  txp_u8 track;    // keep identities
  txp_u8 latency;  // histograms between points
  txp_u8 drops_only;
  txp_u8 bytes;  // events carry the whole frame (perf buffer instead of ring buffer)
  txp_u64 syscalls[TXP_WATCH_SYSCALLS];  // that send; unused ones are ~0
  txp_u64 pidns_dev;                     // whose numbers processes are told by,
  txp_u64 pidns_inode;                   // 0: the first namespace's
  txp_u64 sendmmsg;
  txp_u64 const_void;  // programs may read arguments that are const void* (6.16)
};

enum txp_watch_flag {
  TXP_EVENT_NO_DEV = 1,    // skb->dev is not set yet: before ip_output
  TXP_EVENT_RECEIVED = 2,  // skb_iif is set: it came in by a device
};

struct txp_watch_event {
  txp_u64 t;         // ns, CLOCK_MONOTONIC
  txp_u64 skb;       // its address
  txp_u64 packet;    // identity, kept by clones, fragments and segments; 0: none
  txp_u64 location;  // kfree_skb: the freeing instruction
  txp_u64 since;     // when the packet was at its previous point, and which it was; 0: none
  txp_u32 since_point;
  txp_u32 point;
  txp_u32 pid;    // process (tgid) that sent it; 0: none did
  txp_u32 netns;  // inode
  txp_u32 ifindex;
  txp_u32 len;
  txp_s32 value;  // errno, drop reason, driver's answer, NUD state, system call: by point
  txp_u32 queue;
  txp_u32 mark;
  txp_u32 handle;           // qdisc
  txp_u32 backlog_packets;  // qdisc
  txp_u32 backlog_bytes;
  txp_u32 flags;  // txp_watch_flag
  txp_u32 hdr_len;
  char comm[16];
  char dev[16];
  txp_u8 hdr[TXP_WATCH_EVENT_HDR];
};

struct txp_watch_count_key {
  txp_u32 point;
  txp_u32 ifindex;
  txp_u32 netns;
};
struct txp_watch_count {
  txp_u64 packets;
  txp_u64 bytes;
};

struct txp_watch_error_key {  // an errno (positive) at a point
  txp_u32 point;
  txp_u32 error;
  txp_u32 netns;
};

struct txp_watch_drop_key {
  txp_u64 location;
  txp_u32 reason;
  txp_u32 ifindex;
  txp_u32 netns;
  txp_u32 flags;
  txp_u32 point;   // where the packet was last seen; TXP_POINT_COUNT: nowhere
  txp_u32 unused;  // zero
};

struct txp_watch_qdisc_key {
  txp_u32 ifindex;
  txp_u32 netns;
  txp_u32 handle;
};
struct txp_watch_qdisc {
  txp_u64 enqueued;
  txp_u64 enqueued_bytes;
  txp_u64 dequeued;
  txp_u64 dequeued_bytes;
  txp_u32 backlog_packets;  // when last seen
  txp_u32 backlog_bytes;
  txp_u32 max_packets;
  txp_u32 max_bytes;
};

// The points of a packet's way between which time is measured.
enum txp_watch_mark {
  TXP_MARK_call,
  TXP_MARK_queue,
  TXP_MARK_enqueue,
  TXP_MARK_dequeue,
  TXP_MARK_start,
  TXP_MARK_xmit,
  TXP_MARK_freed,
  TXP_MARK_COUNT
};

struct txp_watch_hist {  // at [from * TXP_MARK_COUNT + to]
  txp_u64 count;
  txp_u64 sum;
  txp_u64 max;
  txp_u64 bucket[TXP_WATCH_BUCKETS];
};

#endif
