// SPDX-License-Identifier: Apache-2.0
// What the comparison does not see, and why: one table. Nothing else is masked.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "kernel_diff/record.h"

namespace txp::kdiff {

struct Mask {
  std::string_view name;
  std::string_view where;
  std::string_view how;
  std::string_view why;
};

inline constexpr std::array kMasks = std::to_array<Mask>({
    {"settings", "Ip.Forwarding, Ip.DefaultTTL, and RtoAlgorithm, RtoMin, RtoMax, MaxConn of Tcp",
     "left out", "sysctls and constants among the counters of /proc/net/snmp"},
    {"received from the wire", "rx columns of va and vc in /proc/net/dev",
     "left out; those of lo are compared", "a mirrored namespace leaves receiving to the kernel"},
    {"arp_cache", "/proc/net/stat/arp_cache", "left out",
     "it counts for all namespaces of the host together; unit tests hold the engine's"},
    {"arp", "ARP frames on va and vc",
     "left out; their number and bytes are taken off what the device and its discipline count",
     "a mirrored namespace leaves ARP to the kernel, whose timers draw random delays"},
    {"udp.sport", "frames of a socket that was not bound to a port",
     "the port that the socket really has becomes 0, the UDP checksum is adjusted; any other port "
     "stays and differs",
     "inet_autobind() draws it"},
    {"udp.sport nat",
     "frames whose source port no socket has and no setup line names, in a scenario with NAT",
     "the port becomes 0, the UDP checksum is adjusted; that in the quotation of an ICMP error on "
     "lo, "
     "from then on, becomes 0",
     "nf_nat_l4proto_unique_tuple() draws it when the port that it would keep is taken"},
    {"getsockname", "the port of such a socket", "printed as 'auto'", "inet_autobind() draws it"},
    {"ip.id connected", "frames sent while the socket was connected",
     "the first id after connect() becomes 1 and the others keep their distance to it; the header "
     "checksum is adjusted",
     "connect() draws the first one, the rest count up"},
    {"ip.id icmp", "ICMP errors that this host sends to itself on lo",
     "the id becomes 1; the id and the source port of the datagram that it quotes are masked as "
     "that datagram's were; the id of one that never left becomes 1",
     "__ip_select_ident() adds a random step"},
    {"superframes", "tx_packets and tx_bytes of va and vc",
     "a segmentation superframe counts as the frames that it becomes on a wire",
     "a veth passes superframes on as one packet; no wire carries them"},
    {"ip.id drawn", "unconnected socket, DF clear or IP_MTU_DISCOVER at DONT, WANT or OMIT",
     "the call's first id becomes 1, later fragments and segments keep their distance to it; of "
     "sendmmsg each datagram's; the header checksum is adjusted. With DF set by DO or PROBE the id "
     "is not masked: it is 0",
     "__ip_select_ident() adds a random step"},
    {"tunnel", "outer headers: UDP to port 4789 or 6081, IPIP, GRE",
     "the outer IP id becomes 1, later fragments keep their distance to it; an outer source port "
     "of "
     "32768 or more becomes 0; the checksums are adjusted. What is inside stays, "
     "but for the id of a VXLAN to port 6081",
     "iptunnel_xmit() draws the id, and the flow's hash, which chooses the port, is keyed with a "
     "secret drawn at boot"},
    {"nd", "neighbour discovery and MLD (ICMPv6 130 to 137 and 143) on va and vc",
     "left out, as ARP; and taken off what Ip6 and Icmp6 count",
     "a mirrored namespace leaves both to the kernel"},
    {"received over IPv6", "Ip6.In* and Icmp6.In*", "left out",
     "the peer's MLD reports come by timers of their own"},
    {"ip6.flowlabel", "IPv6 frames of a socket with automatic flow labels",
     "a label that is not 0 becomes 1", "skb_get_hash() is keyed with a secret drawn at boot"},
    {"icmp6 quoted", "ICMPv6 errors that this host sends to itself on lo",
     "the drawn source port and flow label of the datagram that they quote are masked as that "
     "datagram's were; the ICMPv6 checksum is adjusted",
     "inet_autobind() and skb_get_hash(), as above"},
    {"ip6.frag_id", "IPv6 fragments",
     "the first id of a call becomes 1, the next that differs 2, and so on",
     "ipv6_select_ident() draws it"},
});
std::string list_masks();  // for --list-masks, one block a mask

// What the runner knows about a socket when a frame of it is seen.
struct SocketState {
  std::string name;
  std::uint16_t port = 0;              // local, 0: none yet
  bool port_is_drawn = true;           // no bind() gave it a port
  std::set<std::uint16_t> drawn = {};  // every port that it had so: connect() to nowhere frees one
  bool connected = false;
  bool ignore_df = true;  // ip_sk_ignore_df(): its datagrams draw an id even with DF set
  bool inet6 = false;
  bool auto_label = false;  // its IPv6 datagrams have flow labels that the kernel draws
  unsigned epoch = 0;       // the newest successful connect(), counted over all sockets

  bool sends_from(std::uint16_t p) const { return p != 0 && (p == port || drawn.contains(p)); }
};

// Applies the masks to one world's frames, in the order in which they came.
class Masker {
 public:
  // `named_ports`: those that the setup lines name; empty: a scenario without NAT.
  explicit Masker(std::set<std::uint16_t> named_ports = {})
      : named_ports_(std::move(named_ports)) {}
  // False: the frame is left out. `caller`: whose call it was, for frames whose source port is no
  // socket's, because a rule rewrote it. `several`: the call sent several datagrams.
  bool apply(FrameRecord& frame, const std::vector<SocketState>& sockets, const std::string& caller,
             bool several);
  std::size_t seen() const { return seen_; }  // frames so far
  // What left-out frames added to a device's counters.
  const Counters& left_out() const { return left_out_; }
  // What segments but the first of superframes would have added.
  const Counters& segments() const { return segments_; }

 private:
  // What a datagram's first frame told.
  struct Head {
    std::uint16_t base = 0;
    bool id_masked = false;
    bool connected = false;
    bool port_masked = false;
    std::uint16_t check = 0;  // UDP's, as on the wire
  };
  void mask_icmp(FrameRecord& frame, const Ipv4Parts& p,
                 const std::vector<SocketState>& sockets) const;
  void mask_icmp6(FrameRecord& frame, const Ipv6Parts& p,
                  const std::vector<SocketState>& sockets) const;
  bool mask_tunnel(FrameRecord& frame, const Ipv4Parts& p);
  bool apply6(FrameRecord& frame, const Ipv6Parts& p, const std::vector<SocketState>& sockets);
  const std::set<std::uint16_t> named_ports_;
  std::vector<std::uint32_t> frag_ids_;  // of `frag_call_`, in the order they came
  std::size_t frag_call_ = 0;
  // By socket and epoch.
  std::map<std::pair<std::string, unsigned>, std::uint16_t> first_connected_id_;
  // By socket: the newest call that sent, and its first id.
  std::map<std::string, std::pair<std::size_t, std::uint16_t>> drawn_;
  // By addresses and id.
  std::map<std::uint64_t, Head> sent_;
  // Of IPv6 datagrams from drawn ports: the port and the UDP checksum on the wire.
  std::set<std::pair<std::uint16_t, std::uint16_t>> checks6_;
  std::map<std::uint64_t, std::uint16_t> tunnels_;  // first ids of outer packets, likewise
  bool drawn_by_nat_ = false;                       // a port was
  std::size_t seen_ = 0;
  Counters left_out_;
  Counters segments_;
};

}  // namespace txp::kdiff
