// SPDX-License-Identifier: Apache-2.0
// The tunables that change a send, with the kernel's names and defaults (6.x).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace txp {

struct Sysctls {
  // net.core
  std::uint32_t wmem_default = 212992;  // bytes
  std::uint32_t wmem_max = 212992;      // bytes
  std::uint32_t rmem_max = 212992;      // bytes
  std::uint32_t rmem_default = 212992;  // bytes
  std::uint32_t dev_weight = 64;        // packets
  std::uint32_t dev_weight_tx_bias = 1;
  std::string default_qdisc = "pfifo_fast";
  // net.ipv4
  std::uint8_t ip_default_ttl = 64;
  std::uint8_t ip_no_pmtu_disc = 0;
  std::uint32_t min_pmtu = 552;     // bytes; net.ipv4.route.min_pmtu
  std::uint32_t mtu_expires = 600;  // seconds; net.ipv4.route.mtu_expires
  std::uint32_t min_adv_mss = 256;
  bool ip_forward = false;
  bool ip_forward_use_pmtu = false;
  bool ip_nonlocal_bind = false;
  bool ip_autobind_reuse = false;
  bool fwmark_reflect = false;
  std::uint16_t ip_local_port_range[2] = {32768, 60999};
  std::vector<std::pair<std::uint16_t, std::uint16_t>> ip_local_reserved_ports;
  std::uint32_t ip_unprivileged_port_start = 1024;
  std::uint8_t fib_multipath_hash_policy = 0;
  std::uint32_t fib_multipath_hash_fields = 0x7;
  std::uint32_t fib_multipath_hash_seed = 0;
  bool fib_multipath_use_neigh = false;
  std::uint64_t udp_mem[3] = {0, 0, 0};  // pages; zero: no limit
  std::uint32_t udp_wmem_min = 4096;     // bytes
  bool icmp_echo_ignore_all = false;
  // What a SYN offers.
  std::uint8_t tcp_ecn = 2;
  bool tcp_sack = true;
  std::uint8_t tcp_timestamps = 1;
  bool tcp_window_scaling = true;
  bool tcp_workaround_signed_windows = false;
  std::uint32_t tcp_rmem[3] = {4096, 131072, 6291456};  // bytes
  int optmem_max = 131072;                              // bytes
  int igmp_max_memberships = 20;
  int igmp_max_msf = 10;
  // net.ipv6
  bool bindv6only = false;
  std::uint8_t auto_flowlabels = 1;
  bool flowlabel_state_ranges = false;
  bool ip6_nonlocal_bind = false;
  bool ip6_forwarding = false;      // net.ipv6.conf.all.forwarding
  std::uint8_t ip6_hop_limit = 64;  // net.ipv6.conf.all.hop_limit
  std::uint8_t ip6_multipath_hash_policy = 0;
  std::uint32_t ip6_multipath_hash_fields = 0x7;
  bool ip6_fwmark_reflect = false;
  std::uint32_t ip6_mtu_expires = 600;  // seconds; net.ipv6.route.mtu_expires
  bool use_optimistic = false;          // net.ipv6.conf.all.use_optimistic
  // How the kernel was built (mirror/read_kernel.cc).
  std::uint32_t hz = 250;              // CONFIG_HZ, which rounds a socket's timeouts
  std::uint32_t sk_buff = 256;         // bytes: SKB_DATA_ALIGN(sizeof(struct sk_buff))
  std::uint32_t mip6 = 1;              // CONFIG_IPV6_MIP6: routing headers of type 2
  std::uint32_t skb_small_head = 576;  // bytes: SKB_SMALL_HEAD_CACHE_SIZE
  friend bool operator==(const Sysctls&, const Sysctls&) = default;
};

// net.ipv4.conf.DEV, with `all` folded in as the kernel's IN_DEV_*() macros do.
struct InDevConf {
  bool forwarding = false;
  bool rp_filter = false;
  bool accept_local = false;
  bool route_localnet = false;
  bool ignore_routes_with_linkdown = false;
  bool proxy_arp = false;
  std::uint8_t arp_announce = 0;
  std::uint8_t arp_ignore = 0;
  bool arp_accept = false;
  bool arp_filter = false;
  bool disable_policy = false;
  bool promote_secondaries = false;
  bool src_valid_mark = false;
  std::uint8_t accept_redirects = 2;  // how many of the two, the device and `all`, say yes
  bool shared_media = true;
  bool secure_redirects = true;
  friend bool operator==(const InDevConf&, const InDevConf&) = default;
};

// net.ipv6.conf.DEV (struct ipv6_devconf). Nothing is folded in: `all` is asked where the kernel
// asks it.
struct Inet6DevConf {
  bool disable_ipv6 = false;
  bool forwarding = false;
  std::uint8_t hop_limit = 64;
  std::uint32_t mtu = 1500;  // bytes: mtu6
  std::uint8_t use_tempaddr = 0;
  bool optimistic_dad = false;
  bool use_optimistic = false;
  bool use_oif_addrs_only = false;
  bool ignore_routes_with_linkdown = false;
  std::uint8_t ndisc_tclass = 0;
  friend bool operator==(const Inet6DevConf&, const Inet6DevConf&) = default;
};

// net.ipv4.neigh.DEV, net.ipv6.neigh.DEV (struct neigh_parms).
struct NeighParms {
  std::uint32_t unres_qlen_bytes = 212992;  // bytes
  std::uint32_t mcast_solicit = 3;
  std::uint32_t ucast_solicit = 3;
  std::uint32_t app_solicit = 0;
  std::uint32_t mcast_resolicit = 0;
  std::uint32_t retrans_time_ms = 1000;
  std::uint32_t base_reachable_time_ms = 30000;
  std::uint32_t delay_first_probe_time_ms = 5000;
  std::uint32_t gc_stale_time_ms = 60000;
  std::uint32_t locktime_ms = 1000;
  friend bool operator==(const NeighParms&, const NeighParms&) = default;
};

// net.ipv4.neigh.default, net.ipv6.neigh.default: the table's garbage collection limits.
struct NeighGc {
  std::uint32_t thresh1 = 128;
  std::uint32_t thresh2 = 512;
  std::uint32_t thresh3 = 1024;
  friend bool operator==(const NeighGc&, const NeighGc&) = default;
};

}  // namespace txp
