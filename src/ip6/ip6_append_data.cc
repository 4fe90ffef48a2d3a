// SPDX-License-Identifier: Apache-2.0
// ip6_append_data: cuts payload into skbs of one MTU each, charging the socket's send buffer.
//
// Kernel twin: net/ipv6/ip6_output.c, __ip6_append_data(), ip6_setup_cork().
// Differs: every part is one linear block, as in ip_append_data(). Drops: none; errors are
// EMSGSIZE, EAGAIN (send buffer full), ENOBUFS, EPIPE.
#include <netinet/in.h>

#include <algorithm>

#include "dev/netdevice.h"
#include "ip/append.h"
#include "ip6/ip6.h"
#include "net.h"
#include "socket/timestamping.h"
#include "wire/ipv6.h"

namespace txp {
namespace {

// Whether the kernel leaves checksums over IPv6 to that device.
bool leaves_checksum6(const NetDevice& dev) {
  const DevFeatures& can = dev.link().features;
  return can.hw_csum || can.ipv6_csum;
}

}  // namespace

bool ip6_sk_ignore_df(const Sock& sk) {
  return sk.inet6->pmtudisc < IPV6_PMTUDISC_DO || sk.inet6->pmtudisc == IPV6_PMTUDISC_OMIT;
}

SockResult<void> ip6_setup_cork(const Sock& sk, Cork& cork, Cork6& cork6, const Ipcm6Cookie& ipc6,
                                const Rt6Info& rt) {
  const Ipv6Pinfo& np = *sk.inet6;
  std::uint32_t mtu = np.pmtudisc >= IPV6_PMTUDISC_PROBE ? rt.dst.dev->mtu() : rt.dst.mtu;
  if (np.frag_size != 0) mtu = std::min(mtu, np.frag_size);
  cork.fragsize = std::min(mtu, kIp6MaxMtu);
  cork6.opt = ipc6.opt;
  cork6.hop_limit = ipc6.hlimit;
  cork6.tclass = static_cast<std::uint8_t>(ipc6.tclass);
  cork6.dontfrag = ipc6.dontfrag != 0;
  cork6.gateway = rt.gateway;
  cork.gso_size = ipc6.gso_size;
  cork.rt = rt.dst;
  cork.length = 0;
  cork.mark = ipc6.mark;
  cork.priority = ipc6.priority;
  cork.transmit_time = ipc6.transmit_time;
  cork.tx_flags = sock_tx_timestamp(ipc6.tsflags);
  cork.ts_opt_id = ipc6.ts_opt_id;
  return {};
}

SockResult<void> ip6_append_data(Net& net, Sock& sk, Cork& cork, const Cork6& cork6,
                                 const MsgHdr& msg, std::uint32_t length,
                                 std::uint32_t transhdrlen) {
  const std::uint32_t flen = cork6.opt ? cork6.opt->flen() : 0;
  const std::uint32_t nflen = cork6.opt ? cork6.opt->nflen() : 0;
  std::uint32_t exthdrlen = 0;
  if (transhdrlen != 0) {  // the first part, with the headers that are fragmented too
    exthdrlen = flen;
    length += exthdrlen;
    transhdrlen += exthdrlen;
  }
  const std::uint32_t mtu = cork.gso_size != 0 ? kIp6MaxMtu : cork.fragsize;
  const std::uint32_t fragheaderlen = std::uint32_t{kIpv6Hlen} + nflen;
  const std::uint32_t headersize = fragheaderlen + flen;
  const bool more = (msg.flags & MSG_MORE) != 0;
  const auto too_long = [&]() -> std::unexpected<Errno> {
    const auto pmtu = static_cast<std::int64_t>(mtu) - headersize + std::int64_t{kIpv6Hlen};
    ipv6_local_error(sk, EMSGSIZE, cork6.fl6,
                     static_cast<std::uint32_t>(std::max<std::int64_t>(pmtu, 0)));
    return err(EMSGSIZE);
  };
  if (mtu <= fragheaderlen || ((mtu - fragheaderlen) & ~7U) + fragheaderlen <= kFragHdrLen)
    return too_long();
  const std::uint32_t maxfraglen =
      ((mtu - fragheaderlen) & ~7U) + fragheaderlen - std::uint32_t{kFragHdrLen};
  if (headersize + transhdrlen > mtu) return too_long();  // RFC 7112, 5
  if (cork.length + length > mtu - headersize && cork6.dontfrag) {
    ipv6_local_rxpmtu(sk, cork6.fl6, mtu - headersize + std::uint32_t{kIpv6Hlen});
    return too_long();
  }
  const std::uint32_t maxnonfragsize =
      ip6_sk_ignore_df(sk) ? std::uint32_t{kIpv6Hlen} + kIpv6MaxPlen : mtu;
  if (cork.length + length > maxnonfragsize - headersize) return too_long();

  bool one_frame = transhdrlen != 0 && headersize == kIpv6Hlen && length <= mtu - headersize &&
                   (!more || cork.gso_size != 0);
  const bool partial = one_frame && cork.rt.dev->features.csum;
  IpSummed summed = partial ? IpSummed::partial : IpSummed::none;

  IovReader from(msg.iov);
  cork.length += length;
  const bool hold_tskey = cork.tx_flags != 0 && (sk.tsflags & SOF_TIMESTAMPING_OPT_ID) != 0;
  std::uint32_t tskey = 0;
  if (hold_tskey) tskey = cork.ts_opt_id ? *cork.ts_opt_id : sk.tskey.fetch_add(1);
  Skb* skb = cork.queue.peek_tail();
  const std::uint32_t whole = cork.length <= mtu ? mtu : maxfraglen;
  while (length > 0 || skb == nullptr) {
    std::int64_t copy = 0;
    if (skb != nullptr) {
      copy = std::int64_t{whole} - skb->len;
      if (copy < length) copy = std::int64_t{maxfraglen} - skb->len;
    }
    if (copy > 0) {
      const auto n = static_cast<std::uint32_t>(std::min<std::int64_t>(copy, length));
      const std::uint32_t offset = skb->len - fragheaderlen;
      take_payload(*skb, from, skb->put(n), n, offset);
      if (cork.rt.dev->link().features.sg) charge_pages(*skb, sk, n);
      length -= n;
      continue;
    }
    // A new part. The bytes by which the last one overshot maxfraglen move over to it.
    Skb* prev = skb;
    const std::uint32_t fraggap = prev != nullptr ? prev->len - maxfraglen : 0;
    std::uint32_t datalen = length + fraggap;
    if (datalen > whole - fragheaderlen) datalen = maxfraglen - fragheaderlen;
    const std::uint32_t fraglen = datalen + fragheaderlen;
    const std::uint32_t room =
        (more ? std::max(fraglen, mtu) : fraglen) + std::uint32_t{kFragHdrLen};
    const PartRoom kernels = part_room(*cork.rt.dev, more, cork.gso_size != 0,
                                       {mtu, fraglen, fragheaderlen + transhdrlen + fraggap,
                                        kKernelHhLen + std::uint32_t{kFragHdrLen}});
    if (datalen < transhdrlen + fraggap) {
      cork.length -= length;
      return err(EINVAL);
    }
    SockResult<SkbPtr> made = transhdrlen != 0
                                  ? sock_alloc_send_skb(net, sk, room + kHhLen, kernels.linear)
                                  : alloc_later_part(net, sk, room + kHhLen, kernels.linear);
    if (!made) {
      cork.length -= length;
      if (hold_tskey && !cork.ts_opt_id) sk.tskey.fetch_sub(1);
      if (made.error().code != EAGAIN || sk.nonblocking || (msg.flags & MSG_DONTWAIT) != 0)
        snmp(net, Snmp::Ip6OutDiscards);
      return std::unexpected(made.error());
    }
    skb = made->get();
    charge_pages(*skb, sk, kernels.paged);
    skb->trace = msg.trace;
    skb->ip_summed = summed;
    skb->csum_for_device = one_frame && leaves_checksum6(*cork.rt.dev);
    skb->dst_pending_confirm = prev == nullptr && (msg.flags & MSG_CONFIRM) != 0;
    skb->tx_flags = std::exchange(cork.tx_flags, std::uint8_t{0});
    skb->tskey = std::exchange(tskey, 0U);
    skb->reserve(kHhLen + kFragHdrLen);
    std::uint8_t* data = skb->put(fraglen);
    skb->network_header = static_cast<std::uint16_t>(data - skb->head + exthdrlen);
    skb->transport_header = static_cast<std::uint16_t>(skb->network_header + fragheaderlen);
    data += fragheaderlen;
    if (fraggap != 0) {
      const std::span<const std::uint8_t> gap(prev->data + maxfraglen, fraggap);
      skb->csum = csum_partial_copy(gap, data + transhdrlen, 0);
      prev->csum = csum_add(prev->csum, ~skb->csum);  // csum_sub(); the gap starts at an even byte
      prev->tail -= fraggap;
      prev->len -= fraggap;
    }
    const std::uint32_t n = datalen - transhdrlen - fraggap;
    take_payload(*skb, from, data + transhdrlen + fraggap, n, fraggap);
    length -= n + transhdrlen;
    transhdrlen = 0;
    exthdrlen = 0;
    summed = IpSummed::none;
    one_frame = false;
    cork.queue.push_back(std::move(*made));
  }
  return {};
}

void ip6_flush_pending_frames(Cork& cork, Cork6& cork6) {
  cork6.opt.reset();  // ip6_cork_release()
  while (!cork.queue.empty()) free_skb(cork.queue.pop_front());
}

}  // namespace txp
