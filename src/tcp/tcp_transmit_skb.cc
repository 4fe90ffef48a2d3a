// SPDX-License-Identifier: Apache-2.0
// __tcp_transmit_skb: the TCP header of a SYN, its options and its checksum.
//
// Kernel twin: net/ipv4/tcp_output.c, __tcp_transmit_skb(), tcp_options_write(),
// __tcp_v4_send_check().
// Differs: the sequence number and the timestamp, random in the kernel, are zero and the trace says
// so. Drops: none of its own.
#include "ip/ip.h"
#include "net.h"
#include "observe/trace.h"
#include "tcp/tcp.h"
#include "wire/ipv4.h"

namespace txp {
namespace {

constexpr Stage kTransmit = Stage::tcp_transmit_skb;
constexpr std::size_t kMaxHeader = 320;  // MAX_TCP_HEADER: room for what stands below TCP

void tell(const TcpSyn& syn, Trace& trace) {
  trace.out(kTransmit, "mss", syn.options.mss);
  trace.out(kTransmit, "window", syn.window);
  if (syn.options.wscale)
    trace.out(kTransmit, "wscale", *syn.options.wscale);
  else
    trace.out_null(kTransmit, "wscale");
  trace.out(kTransmit, "sack", syn.options.sack_perm ? 1 : 0);
  trace.out(kTransmit, "timestamps", syn.options.tsval ? 1 : 0);
  trace.out(kTransmit, "ecn", syn.ecn ? 1 : 0);
  trace.masked("tcp.seq");
  if (syn.options.tsval) trace.masked("tcp.options.timestamp.tsval");
}

}  // namespace

TxResult tcp_transmit_skb(Net& net, Sock& sk, const Flow4& fl4, const Rtable& rt, const TcpSyn& syn,
                          Trace* trace) {
  SkbPtr skb = alloc_skb(net, kMaxHeader + kTcpMaxHlen);
  if (!skb) {
    drop_unborn(net, kTransmit, trace, DropReason::NOMEM);
    return TxResult::error(ENOBUFS);
  }
  born(net);
  skb->trace = trace;
  skb_set_owner_w(*skb, sk);
  skb->reserve(kMaxHeader);
  std::uint8_t options[kTcpMaxHlen - kTcpHlen];
  const std::size_t options_len = syn.options.emit(options);
  TcpHeader th;
  th.source = sk.inet_num;
  th.dest = sk.inet_dport;
  th.doff = static_cast<std::uint8_t>((kTcpHlen + options_len) / 4);
  th.flags = static_cast<std::uint8_t>(kTcpSyn | (syn.ecn ? kTcpEce | kTcpCwr : 0));
  th.window = syn.window;
  // The pseudo-header's sum now, the rest by whoever completes the checksum.
  th.check = static_cast<std::uint16_t>(~csum_fold(csum_tcpudp_nofold(
      fl4.saddr.host, fl4.daddr.host, static_cast<std::uint32_t>(th.hlen()), kIpProtoTcp, 0)));
  std::uint8_t* at = skb->put(th.hlen());
  th.emit(at);
  std::copy_n(options, options_len, at + kTcpHlen);
  skb->set_transport_header();
  skb->ip_summed = IpSummed::partial;
  skb->csum_start = skb->transport_header;
  skb->csum_offset = kTcpCheckOffset;
  skb->hash = sk.txhash.load(std::memory_order_relaxed);
  enter(net, kTransmit, *skb);
  if (trace != nullptr) tell(syn, *trace);
  return ip_queue_xmit(net, sk, std::move(skb), fl4, rt);
}

}  // namespace txp
