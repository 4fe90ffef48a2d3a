// SPDX-License-Identifier: Apache-2.0
// The IPv6 layer's stages, beside those of ip/ip.h. Kernel twins: net/ipv6/ip6_output.c,
// net/ipv6/output_core.c, net/ipv6/exthdrs.c.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "base/result.h"
#include "skb/skb.h"
#include "socket/inet6_sock.h"

namespace txp {

// Payload into skbs, for a datagram that goes at once; as ip_make_skb(). `cork` and `cork6` are
// fresh ones, the latter with its flow.
[[nodiscard]] SockResult<SkbPtr> ip6_make_skb(Net& net, Sock& sk, const MsgHdr& msg,
                                              std::uint32_t length, std::uint32_t transhdrlen,
                                              const Ipcm6Cookie& ipc6, const Rt6Info& rt,
                                              Cork& cork, Cork6& cork6);
// The same in parts.
[[nodiscard]] SockResult<void> ip6_setup_cork(const Sock& sk, Cork& cork, Cork6& cork6,
                                              const Ipcm6Cookie& ipc6, const Rt6Info& rt);
[[nodiscard]] SockResult<void> ip6_append_data(Net& net, Sock& sk, Cork& cork, const Cork6& cork6,
                                               const MsgHdr& msg, std::uint32_t length,
                                               std::uint32_t transhdrlen);
void ip6_flush_pending_frames(Cork& cork, Cork6& cork6);
// __ip6_make_skb(): the queue as one skb with its headers; null when the queue is empty.
SkbPtr ip6_finish_skb(Net& net, Sock& sk, Cork& cork, Cork6& cork6, Trace* trace);

// ipv6_push_frag_opts(), ipv6_push_nfrag_opts(): before skb.data; answer what the header before
// them says comes next. `daddr` becomes the first hop of a routing header.
std::uint8_t ipv6_push_frag_opts(Skb& skb, const Ipv6TxOptions& opt, std::uint8_t proto);
std::uint8_t ipv6_push_nfrag_opts(Skb& skb, const Ipv6TxOptions& opt, std::uint8_t proto,
                                  Ip6& daddr);
// fl6_update_dst(): towards the first hop of a routing header; true when there is one.
bool fl6_update_dst(Flow6& fl6, const Ipv6TxOptions* opt, Ip6& original);

int ip6_send_skb(Net& net, SkbPtr skb);
TxResult ip6_local_out(Net& net, SkbPtr skb);
TxResult ip6_output(Net& net, SkbPtr skb);
TxResult ip6_finish_output(Net& net, SkbPtr skb);
TxResult ip6_finish_output2(Net& net, SkbPtr skb);
using Fragment6Output = TxResult (*)(Net&, SkbPtr);
TxResult ip6_fragment(Net& net, SkbPtr skb, Fragment6Output output);
// dev_loopback_xmit() of a multicast copy.
TxResult ip6_mc_loopback(Net& net, SkbPtr skb);

// The receive side, for what reaches a device of this Net. `skb->data` is at the IPv6 header.
void ip6_rcv(Net& net, SkbPtr skb, NetDevice& dev);

// The MTU that `skb` must respect on its way out, bytes.
std::uint32_t ip6_skb_dst_mtu(const Skb& skb);
// ip6_find_1stfragopt(): where the part of `skb` begins that may be fragmented, from its network
// header, and where the byte is that says what comes there. 0: the headers are no chain.
std::uint32_t ip6_find_1stfragopt(const Skb& skb, std::uint32_t& nexthdr_at);

// Past the extension headers that begin at `start` of a packet, whose type `nexthdr` is and becomes
// what they lead to; a fragment that is not the first ends them. Empty: they are cut off.
struct Ipv6Inner {
  std::size_t offset = 0;
  std::uint16_t frag_off = 0;  // of the fragment header, when there is one
};
std::optional<Ipv6Inner> ipv6_skip_exthdr(std::span<const std::uint8_t> packet, std::size_t start,
                                          std::uint8_t& nexthdr);
// inet6_iif(): where a received packet came in: what this host sent to itself at the device of its
// route.
int inet6_iif(const Skb& skb);

// The flow label of a datagram whose socket asks for one (ip6_make_flowlabel()); `drawn` says
// whether it hangs on the kernel's secret.
std::uint32_t ip6_make_flowlabel(const Net& net, Skb& skb, std::uint32_t flowlabel, bool autolabel,
                                 bool& drawn);
bool ip6_autoflowlabel(const Net& net, const Sock& sk);
bool ip6_default_np_autolabel(const Net& net);

}  // namespace txp
