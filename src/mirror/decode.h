// SPDX-License-Identifier: Apache-2.0
// A message's bytes into the plain structs that the tables are made of. Pure: touches no Net.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "base/result.h"
#include "dev/fdb.h"
#include "dev/link.h"
#include "mirror/message.h"
#include "neigh/neigh_spec.h"
#include "netfilter/nf_hook.h"
#include "netfilter/nft_spec.h"
#include "observe/trace.h"
#include "route/fib_rules.h"
#include "route/route.h"
#include "route/route6.h"

namespace txp {

// The offloads of one device (ETHTOOL_MSG_FEATURES_GET_REPLY).
struct LinkFeatures {
  int ifindex = 0;
  std::string dev;
  DevFeatures features;
};

// /sys/class/net/DEV/queues/tx-N/xps_cpus of every queue. Raw: "IFINDEX MASK MASK ...", each mask
// as the file has it ("-" without XPS).
struct LinkXps {
  int ifindex = 0;
  std::vector<std::vector<std::uint32_t>> cpus;
};

// RTM_NEWLINK of AF_BRIDGE: what a bridge keeps of itself or of a port.
struct BridgeSide {
  int ifindex = 0;
  int master = 0;
  std::optional<BridgePort> port;
  std::optional<std::vector<BridgeVlan>> vlans;
};

// RTM_NEWMULTICAST of AF_INET, and of AF_INET6.
struct McGroup {
  int ifindex = 0;
  Ip4 group;
};
struct McGroup6 {
  int ifindex = 0;
  Ip6 group;
};
// An IPv6 rule, in the words of both families.
struct FibRule6 {
  FibRule rule;
};

// Raw: "net/ipv4/ip_forward=1".
struct SysctlValue {
  std::string path;
  std::string value;
};

// An IPsec policy, any outgoing one of which the engine cannot follow.
struct XfrmPolicy {
  std::uint32_t index = 0;
  bool out = false;
  bool ipv4 = false;
  bool ipv6 = false;
  bool is_default_block = false;
  std::string text;
};

// A netfilter hook that is not nf_tables (iptables-legacy, IPVS). Raw: "HOOK PRIORITY KIND TEXT".
struct ForeignHook {
  NfHook hook = NfHook::local_out;
  int priority = 0;
  std::string kind;
  std::string text;
  friend bool operator==(const ForeignHook&, const ForeignHook&) = default;
};

// A program on a device's egress that is no tc filter (tcx). Raw: "IFINDEX KIND TEXT".
struct EgressHook {
  int ifindex = 0;
  std::string kind;
  std::string text;
  friend bool operator==(const EgressHook&, const EgressHook&) = default;
};

// Raw: "STAGE KIND TEXT", the stage by its name.
struct PathObstacle {
  Stage stage{};
  std::string kind;
  std::string text;
  friend bool operator==(const PathObstacle&, const PathObstacle&) = default;
};

// A message that says nothing about the send path (another family).
struct Irrelevant {};

struct Decoded {
  std::variant<Irrelevant, Link, InAddr, Route, RouteException, FibRule, NexthopSpec, NeighSpec,
               QdiscSpec, ClassSpec, FilterSpec, McGroup, LinkFeatures, LinkXps, SysctlValue,
               NftTable, NftChain, NftRule, NftSetSpec, NftElemsSpec, NftObjectSpec, XfrmPolicy,
               ForeignHook, EgressHook, PathObstacle, In6Addr, Route6, RouteException6, FibRule6,
               McGroup6, AddrLabel, FdbEntry, BridgeSide>
      what;
  bool deleted = false;           // the object went
  std::uint16_t nlmsg_flags = 0;  // NLM_F_REPLACE, NLM_F_APPEND of a notification
};

// Errors: a message that is cut, absurd or hostile. In a RouteException `expires` is relative (ns
// from now). Thread safety: pure.
[[nodiscard]] Result<Decoded> decode(const Message& message);

// By kind of message; `payload` is what follows struct nlmsghdr. Used by decode().
Result<Decoded> decode_link(std::span<const std::uint8_t> payload);
Result<Decoded> decode_features(std::span<const std::uint8_t> payload);
Result<Decoded> decode_addr(std::span<const std::uint8_t> payload);
Result<Decoded> decode_multicast(std::span<const std::uint8_t> payload);
Result<Decoded> decode_route(std::span<const std::uint8_t> payload);
Result<Decoded> decode_rule(std::span<const std::uint8_t> payload);
Result<Decoded> decode_nexthop(std::span<const std::uint8_t> payload);
Result<Decoded> decode_neigh(std::span<const std::uint8_t> payload);
Result<Decoded> decode_qdisc(std::span<const std::uint8_t> payload);
Result<Decoded> decode_class(std::span<const std::uint8_t> payload);
Result<Decoded> decode_filter(std::span<const std::uint8_t> payload);
Result<Decoded> decode_addr6(std::span<const std::uint8_t> payload);
Result<Decoded> decode_multicast6(std::span<const std::uint8_t> payload);
Result<Decoded> decode_route6(std::span<const std::uint8_t> payload);
Result<Decoded> decode_addrlabel(std::span<const std::uint8_t> payload);
Result<Decoded> decode_nft_table(std::span<const std::uint8_t> payload);
Result<Decoded> decode_nft_chain(std::span<const std::uint8_t> payload, std::string_view text);
Result<Decoded> decode_nft_rule(std::span<const std::uint8_t> payload, std::string_view text);
Result<Decoded> decode_nft_set(std::span<const std::uint8_t> payload);
Result<Decoded> decode_nft_elems(std::span<const std::uint8_t> payload);
Result<Decoded> decode_nft_object(std::span<const std::uint8_t> payload);
Result<Decoded> decode_xfrm_policy(std::span<const std::uint8_t> payload);
Result<Decoded> decode_own(const Message& message);

// Whether somebody made the classes of this kind of discipline; those of others (prio's bands,
// sfq's flows) come with it.
bool class_is_configured(std::string_view kind);

// Encoding of our own kinds of message (message.h), for the import.
std::string encode(const LinkXps& xps, const std::vector<std::string>& masks);
std::string encode(const SysctlValue& value);
std::string encode(const ForeignHook& hook);
std::string encode(const EgressHook& hook);
std::string encode(const PathObstacle& obstacle);

// RTA_METRICS of a route of either family.
Result<void> read_metrics(std::span<const std::uint8_t> bytes, RouteMetrics& m);
// RTA_ENCAP in ip's words: "mpls 100", "bpf", "type 9".
std::string lwtunnel_text(std::uint16_t encap_type, std::span<const std::uint8_t> encap);

}  // namespace txp
