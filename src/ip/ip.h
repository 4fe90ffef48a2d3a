// SPDX-License-Identifier: Apache-2.0
// The IP layer's stages. Kernel twin: net/ipv4/ip_output.c, net/ipv4/ip_input.c, net/ipv4/icmp.c.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "base/result.h"
#include "skb/skb.h"
#include "socket/sock.h"

namespace txp {

// struct ipcm_cookie: what the control messages and the socket say of one datagram.
struct IpcmCookie : SockcmCookie {
  Ip4 addr;  // source asked for; later the destination (as the kernel reuses it)
  int oif = 0;
  int ttl = 0;   // 0: not given
  int tos = -1;  // -1: not given
  std::uint16_t gso_size = 0;
  std::optional<IpOptions> opt;  // IP_RETOPTS, else the socket's
};

// Payload into skbs, for a datagram that goes at once. `length` counts the transport header
// (`transhdrlen`) and the payload; `cork` is a fresh one. Null without an error: MSG_PROBE. Errors:
// EMSGSIZE, ENETUNREACH, EAGAIN, ENOBUFS, EPIPE and the socket's pending error.
[[nodiscard]] SockResult<SkbPtr> ip_make_skb(Net& net, Sock& sk, Flow4& fl4, const MsgHdr& msg,
                                             std::uint32_t length, std::uint32_t transhdrlen,
                                             const IpcmCookie& ipc, const Rtable& rt, Cork& cork);

// The same in parts, for a corked datagram: ip_setup_cork() once, ip_append_data() for each part,
// ip_finish_skb() at the end or ip_flush_pending_frames().
[[nodiscard]] SockResult<void> ip_setup_cork(const Sock& sk, Cork& cork, const IpcmCookie& ipc,
                                             const Rtable& rt);
[[nodiscard]] SockResult<void> ip_append_data(Net& net, Sock& sk, const Flow4& fl4, Cork& cork,
                                              const MsgHdr& msg, std::uint32_t length,
                                              std::uint32_t transhdrlen);
void ip_flush_pending_frames(Cork& cork);
// The other parts of a datagram lose their first `hlen` bytes (an empty header) and hang on the
// first, which carries every charge.
void chain_parts(Skb& skb, SkbQueue& parts, std::size_t hlen);
// __ip_make_skb(): the queue as one skb with its IP header; null when the queue is empty.
SkbPtr ip_finish_skb(Net& net, Sock& sk, const Flow4& fl4, Cork& cork, Trace* trace);

// Sends; NET_XMIT_CN is success, and what is left is 0 or a positive errno.
int ip_send_skb(Net& net, SkbPtr skb);
int ip_sent(Net& net, TxResult result);  // its translation
TxResult ip_local_out(Net& net, SkbPtr skb);
TxResult dst_output(Net& net, SkbPtr skb);
TxResult ip_output(Net& net, SkbPtr skb);
TxResult ip_mc_output(Net& net, SkbPtr skb);
TxResult ip_finish_output(Net& net, SkbPtr skb);
TxResult ip_finish_output2(Net& net, SkbPtr skb);
using FragmentOutput = TxResult (*)(Net&, SkbPtr);
TxResult ip_do_fragment(Net& net, SkbPtr skb, FragmentOutput output);

// __ip_select_ident() and its callers' rule (ip_select_ident_segs()).
void ip_select_ident_segs(Net& net, Skb& skb, Sock* sk, unsigned segs);

// The receive side, for frames that reach a device of this Net. `skb->data` is at the IP header.
void ip_rcv(Net& net, SkbPtr skb, NetDevice& dev);
void icmp_rcv(Net& net, SkbPtr skb);
// An ICMP error about what this host sent (or forwards to a socket of its own, on lo).
void icmp_send(Net& net, const Skb& about, std::uint8_t type, std::uint8_t code,
               std::uint32_t info);

// dst.h: hands a multicast or broadcast copy to this host's own receive path.
TxResult ip_mc_finish_output(Net& net, SkbPtr skb);

// include/net/ip.h: the rules of IP_MTU_DISCOVER.
inline constexpr std::uint32_t kIpMaxMtu = 0xffff;
bool ip_sk_use_pmtu(const Sock& sk);
bool ip_sk_ignore_df(const Sock& sk);
bool ip_dont_fragment(const Sock& sk, const Rtable& rt);
// The MTU that `skb` must respect on its way out, bytes.
std::uint32_t ip_skb_dst_mtu(const Skb& skb);

}  // namespace txp
