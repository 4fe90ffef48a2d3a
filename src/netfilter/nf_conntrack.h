// SPDX-License-Identifier: Apache-2.0
// Connection tracking: which connection a packet belongs to, and what was said of it.
// Kernel twins: include/net/netfilter/nf_conntrack.h, include/net/netfilter/nf_nat.h.
#pragma once

#include <atomic>
#include <compare>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "base/clock.h"
#include "netfilter/nf_conn.h"
#include "wire/ip6.h"

namespace txp {

class Net;
struct Skb;

struct NfTuple {
  Ip6 src;  // union nf_inet_addr: IPv4's as a mapped one
  Ip6 dst;
  bool ipv6 = false;  // its l3num is NFPROTO_IPV6
  std::uint16_t sport = 0;
  std::uint16_t dport = 0;
  std::uint8_t proto = 0;
  friend auto operator<=>(const NfTuple&, const NfTuple&) = default;
  NfTuple inverted() const { return {dst, src, ipv6, dport, sport, proto}; }
};

// struct nf_conn. Reference counted: the table and each packet hold one.
struct NfConn {
  NfTuple original;
  NfTuple reply;
  std::atomic<std::uint32_t> mark{0};
  std::atomic<std::uint32_t> status{0};  // IPS_*
  std::atomic<Nanos> expires{0};
  std::atomic<std::uint32_t> refs{1};
};

// IPS_*.
inline constexpr std::uint32_t kIpsSeenReply = 1U << 1;
inline constexpr std::uint32_t kIpsConfirmed = 1U << 3;
inline constexpr std::uint32_t kIpsSrcNat = 1U << 4;
inline constexpr std::uint32_t kIpsDstNat = 1U << 5;
inline constexpr std::uint32_t kIpsSrcNatDone = 1U << 7;
inline constexpr std::uint32_t kIpsDstNatDone = 1U << 8;

// What the engine may say of a connection.
enum class CtMode : std::uint8_t {
  unknown,      // beside a running kernel, whose own table does not see our packets
  track,        // by our own table: alone, or for a first packet
  established,  // every packet is taken as one of a connection that has seen an answer
};

// An address as rules and reports write it.
inline std::string nf_addr(const Ip6& a, bool ipv6) { return ipv6 ? a.str() : a.v4().str(); }

// nf_ct_attach(): an ICMP error belongs to the connection that it is about.
void nf_ct_attach(Skb& skb, const Skb& about);
// nf_reset_ct(): what the packet knew is no longer asked for.
void nf_reset_ct(Skb& skb);

// The connections of a Net. Thread safety: any thread.
class NfConntrack {
 public:
  ~NfConntrack();
  std::atomic<CtMode> mode{CtMode::track};

  // nf_conntrack_in(): gives the packet its connection, a new one when there is none.
  void in(Net& net, Skb& skb);
  // nf_conntrack_confirm(): a new connection whose first packet goes out joins the table. False:
  // NAT gave it a way back that another connection has; the packet is dropped.
  [[nodiscard]] bool confirm(Net& net, Skb& skb);
  // nf_nat_used_tuple(): another connection expects answers with this tuple.
  bool used(const NfTuple& reply, const NfConn* except, Nanos now);
  // find_appropriate_src(): into `tuple` the source that another connection from its source got.
  bool find_source(NfTuple& tuple, Nanos now);
  std::size_t size();

 private:
  NfConn* find(const NfTuple& tuple, Nanos now, bool& reply);
  std::mutex mutex_;
  std::map<NfTuple, NfConn*> by_tuple_;  // both directions
};

}  // namespace txp
