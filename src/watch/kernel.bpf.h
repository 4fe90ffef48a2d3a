// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0
// The kernel's structs as far as the programs read them. Names and types are the kernel's; places
// are not: libbpf finds them in the running kernel's BTF (CO-RE), so that one build serves any
// kernel and needs no vmlinux.h.
#ifndef TXPATH_WATCH_KERNEL_H
#define TXPATH_WATCH_KERNEL_H

#include <linux/bpf.h>
#include <linux/types.h>
// After the types they need:
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct ns_common {
  unsigned int inum;
};
struct net {
  struct ns_common ns;
};
typedef struct {
  struct net* net;
} possible_net_t;
struct nsproxy {
  struct net* net_ns;
};
struct task_struct {
  struct nsproxy* nsproxy;
};

struct net_device {
  unsigned int flags;
  int ifindex;
  char name[16];
  possible_net_t nd_net;
};

struct sock_common {
  __be32 skc_daddr;
  __be32 skc_rcv_saddr;
  __be16 skc_dport;
  __u16 skc_num;
  short unsigned int skc_family;
  possible_net_t skc_net;
};
struct sock {
  struct sock_common __sk_common;
  __u16 sk_protocol;
  __u32 sk_mark;
  int sk_err;
};

typedef struct {
  int counter;
} atomic_t;
struct skb_shared_info {
  atomic_t dataref;
};

struct sk_buff {
  struct sk_buff* next;
  struct net_device* dev;
  struct sock* sk;
  unsigned int len;
  __u16 queue_mapping;
  __u32 mark;
  int skb_iif;
  __be16 protocol;
  __u16 network_header;
  __u16 mac_header;
  unsigned int tail;
  unsigned int end;
  unsigned char* head;
  unsigned char* data;
};

struct qdisc_skb_head {
  __u32 qlen;
};
struct gnet_stats_queue {
  __u32 backlog;
};
struct Qdisc {
  __u32 handle;
  struct qdisc_skb_head q;
  struct gnet_stats_queue qstats;
};
struct netdev_queue {
  struct net_device* dev;
};

struct flowi_common {
  int flowic_iif;
  __u32 flowic_mark;
  __u8 flowic_proto;
};
union flowi_uli {
  struct {
    __be16 dport;
    __be16 sport;
  } ports;
};
struct flowi4 {
  struct flowi_common __fl_common;
  __be32 saddr;
  __be32 daddr;
  union flowi_uli uli;
};
struct fib_nh_common {
  struct net_device* nhc_dev;
};

struct neigh_table {
  int family;
};
struct neighbour {
  struct neigh_table* tbl;
  __u8 nud_state;
  struct net_device* dev;
  __u8 primary_key[0];
};

#pragma clang attribute pop

struct pt_regs;
struct proto;

#endif
