// SPDX-License-Identifier: Apache-2.0
// ip_append_data: cuts payload into skbs of one MTU each, charging the socket's send buffer.
//
// Kernel twin: net/ipv4/ip_output.c, __ip_append_data(), ip_setup_cork().
// Differs: every part is one linear block (no page fragments), so a part that may grow gets room
// for a whole MTU. The sizes of the parts, and so the fragments on the wire, are the kernel's, and
// so is what they are charged; but for a segmented datagram on a device that gathers nothing, whose
// first bytes the kernel puts where its allocator left room.
// Drops: none; errors are EMSGSIZE, EAGAIN (send buffer full), ENOBUFS, EPIPE, ENETUNREACH.
#include <algorithm>

#include "dev/netdevice.h"
#include "ip/append.h"
#include "ip/ip.h"
#include "net.h"
#include "socket/error_queue.h"
#include "socket/timestamping.h"
#include "wire/ethernet.h"
#include "wire/ipv4.h"
#include "wire/udp.h"

namespace txp {

SockResult<SkbPtr> sock_alloc_send_skb(Net& net, Sock& sk, std::uint32_t size,
                                       std::uint32_t charged) {
  if (const int pending = sk.sk_err.load(std::memory_order_relaxed); pending != 0) {
    sk.sk_err.store(0, std::memory_order_relaxed);  // sock_error()
    return err(pending);
  }
  if (sk.shutdown_send) return err(EPIPE);
  const std::uint32_t in_flight = sk.wmem_alloc.load(std::memory_order_relaxed) - 1;
  if (in_flight >= static_cast<std::uint32_t>(sk.sndbuf.load(std::memory_order_relaxed))) {
    sk.nospace = true;
    return err(EAGAIN);
  }
  SkbPtr skb = alloc_skb(net, size, charged);
  if (!skb) return err(ENOBUFS);
  skb_set_owner_w(*skb, sk);
  return skb;
}

SockResult<SkbPtr> alloc_later_part(Net& net, Sock& sk, std::uint32_t size, std::uint32_t charged) {
  const std::uint64_t limit =
      2 * static_cast<std::uint64_t>(sk.sndbuf.load(std::memory_order_relaxed));
  if (sk.wmem_alloc.load(std::memory_order_relaxed) > limit) return err(ENOBUFS);
  SkbPtr skb = alloc_skb(net, size, charged);
  if (!skb) return err(ENOBUFS);
  skb_set_owner_w(*skb, sk);
  return skb;
}

PartRoom part_room(const NetDevice& dev, bool more, bool gso, const PartSize& size) {
  constexpr std::uint32_t kSkbMaxAlloc = 4 * 4096 - 320;  // SKB_MAX_ALLOC
  const bool gathers = dev.link().features.sg;
  if (more && !gathers) return {size.mtu + size.extra, 0};
  if (!gso && (size.fraglen + size.extra < kSkbMaxAlloc || !gathers))
    return {size.fraglen + size.extra, 0};
  return {size.headers + size.extra, size.fraglen - size.headers};
}

void charge_pages(Skb& skb, Sock& sk, std::uint32_t n) {
  skb.truesize += n;
  sk.wmem_alloc.fetch_add(n, std::memory_order_relaxed);
}

void take_payload(Skb& skb, IovReader& from, std::uint8_t* to, std::uint32_t n,
                  std::uint32_t offset) {
  if (skb.ip_summed == IpSummed::partial)
    from.copy(to, n);
  else
    skb.csum = csum_block_add(skb.csum, from.csum_and_copy(to, n), offset);
}

namespace {

// Whether the kernel leaves checksums to that device.
bool leaves_checksum(const NetDevice& dev) {
  const DevFeatures& can = dev.link().features;
  return can.hw_csum || can.ip_csum;
}

}  // namespace

std::uint8_t sock_tx_timestamp(std::uint32_t tsflags) {
  unsigned flags = 0;
  if ((tsflags & SOF_TIMESTAMPING_TX_SOFTWARE) != 0) flags |= kSkbTxSwTstamp;
  if ((tsflags & SOF_TIMESTAMPING_TX_SCHED) != 0) flags |= kSkbTxSchedTstamp;
  if ((tsflags & SOF_TIMESTAMPING_TX_HARDWARE) != 0) flags |= kSkbTxHwTstamp;
  return static_cast<std::uint8_t>(flags);
}

SockResult<void> ip_setup_cork(const Sock& sk, Cork& cork, const IpcmCookie& ipc,
                               const Rtable& rt) {
  constexpr std::uint32_t kMinMtu = 68;  // inetdev_valid_mtu(), RFC 791
  cork.fragsize = ip_sk_use_pmtu(sk) ? rt.mtu : rt.dev->mtu();
  if (cork.fragsize < kMinMtu) return err(ENETUNREACH);
  if (ipc.opt) {
    cork.opt = ipc.opt;
    cork.addr = ipc.addr;
  }
  cork.gso_size = ipc.gso_size;
  cork.rt = rt;
  cork.length = 0;
  cork.ttl = static_cast<std::uint8_t>(ipc.ttl);
  cork.tos = ipc.tos != -1 ? ipc.tos : sk.tos;  // IP_TOS set while data wait comes too late
  cork.mark = ipc.mark;
  cork.priority = ipc.priority;
  cork.transmit_time = ipc.transmit_time;
  cork.tx_flags = sock_tx_timestamp(ipc.tsflags);
  cork.ts_opt_id = ipc.ts_opt_id;
  return {};
}

SockResult<void> ip_append_data(Net& net, Sock& sk, const Flow4& fl4, Cork& cork, const MsgHdr& msg,
                                std::uint32_t length, std::uint32_t transhdrlen) {
  const std::uint32_t mtu = cork.gso_size != 0 ? kIpMaxMtu : cork.fragsize;
  const std::uint32_t fragheaderlen = kIpHlen + (cork.opt ? cork.opt->optlen : 0U);
  const std::uint32_t maxfraglen = ((mtu - fragheaderlen) & ~7U) + fragheaderlen;
  const std::uint32_t maxnonfragsize = ip_sk_ignore_df(sk) ? kIpMaxMtu : mtu;
  const bool more = (msg.flags & MSG_MORE) != 0;
  if (cork.length + length > maxnonfragsize - fragheaderlen) {
    ip_local_error(sk, EMSGSIZE, fl4.daddr, sk.inet_dport,
                   mtu - (fragheaderlen - std::uint32_t{kIpHlen}));
    return err(EMSGSIZE);
  }

  // The first part of a datagram that stays whole: the driver may do its checksum.
  bool whole = transhdrlen != 0 && length + fragheaderlen <= mtu && (!more || cork.gso_size != 0);
  const bool partial = whole && cork.rt.dev->features.csum;
  IpSummed summed = partial ? IpSummed::partial : IpSummed::none;

  IovReader from(msg.iov);
  cork.length += length;
  // hold_tskey: the call has a key of its own, given back when it fails.
  const bool hold_tskey = cork.tx_flags != 0 && (sk.tsflags & SOF_TIMESTAMPING_OPT_ID) != 0;
  std::uint32_t tskey = 0;
  if (hold_tskey) tskey = cork.ts_opt_id ? *cork.ts_opt_id : sk.tskey.fetch_add(1);
  Skb* skb = cork.queue.peek_tail();
  while (length > 0 || skb == nullptr) {
    // What still fits into the current part; not to the brim when another part must follow.
    std::int64_t copy = 0;
    if (skb != nullptr) {
      copy = std::int64_t{mtu} - skb->len;
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
    if (datalen > mtu - fragheaderlen) datalen = maxfraglen - fragheaderlen;
    const std::uint32_t fraglen = datalen + fragheaderlen;
    const std::uint32_t room = more ? std::max(fraglen, mtu) : fraglen;
    const PartRoom kernels =
        part_room(*cork.rt.dev, more, cork.gso_size != 0,
                  {mtu, fraglen, fragheaderlen + transhdrlen + fraggap, kKernelHhLen + 15});
    SockResult<SkbPtr> made = transhdrlen != 0
                                  ? sock_alloc_send_skb(net, sk, room + kHhLen, kernels.linear)
                                  : alloc_later_part(net, sk, room + kHhLen, kernels.linear);
    if (!made) {
      cork.length -= length;
      if (hold_tskey && !cork.ts_opt_id) sk.tskey.fetch_sub(1);
      // A blocking send that only waits for room has not failed yet; sock_sendmsg() comes again.
      if (made.error().code != EAGAIN || sk.nonblocking || (msg.flags & MSG_DONTWAIT) != 0)
        snmp(net, Snmp::IpOutDiscards);
      return std::unexpected(made.error());
    }
    skb = made->get();
    if (kernels.paged != 0) charge_pages(*skb, sk, kernels.paged);
    skb->trace = msg.trace;
    skb->ip_summed = summed;
    skb->csum_for_device = whole && leaves_checksum(*cork.rt.dev);
    skb->dst_pending_confirm = prev == nullptr && (msg.flags & MSG_CONFIRM) != 0;
    skb->tx_flags = std::exchange(cork.tx_flags, std::uint8_t{0});
    skb->tskey = std::exchange(tskey, 0U);
    skb->reserve(kHhLen);
    skb->set_network_header();
    std::uint8_t* data = skb->put(fraglen) + fragheaderlen;
    skb->transport_header = static_cast<std::uint16_t>(skb->network_header + fragheaderlen);
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
    summed = IpSummed::none;
    whole = false;
    cork.queue.push_back(std::move(*made));
  }
  return {};
}

void ip_flush_pending_frames(Cork& cork) {
  cork.opt.reset();  // ip_cork_release()
  while (!cork.queue.empty()) free_skb(cork.queue.pop_front());
}

}  // namespace txp
