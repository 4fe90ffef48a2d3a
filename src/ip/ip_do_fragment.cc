// SPDX-License-Identifier: Apache-2.0
// ip_do_fragment: one datagram into fragments of at most one MTU (RFC 791).
//
// Kernel twin: net/ipv4/ip_output.c, ip_do_fragment(), ip_fraglist_*(), ip_frag_next().
// Differs: a part that may not go on because an earlier
// fragment was refused is counted as TXPATH_FRAG_SIBLING; the kernel frees it without a reason.
// Drops: NOMEM, TXPATH_FRAG_SIBLING. Counts IpFragCreates, IpFragOKs, IpFragFails.
#include <algorithm>
#include <cstring>

#include "dev/netdevice.h"
#include "ip/ip.h"
#include "ip/ip_options.h"
#include "net.h"
#include "observe/trace.h"
#include "wire/ipv4.h"

namespace txp {
namespace {

constexpr std::size_t kFragmentHeadroom = 32;  // LL_RESERVED_SPACE() of an Ethernet device
constexpr Stage kStage = Stage::ip_finish_output;

void trace_fragments(const Skb& skb, std::size_t hlen, std::size_t space) {
  if (skb.trace == nullptr) return;
  skb.trace->result(kStage, "fragmented");
  const std::size_t payload = skb.len - hlen;
  skb.trace->out(kStage, "fragments", static_cast<std::int64_t>((payload + space - 1) / space));
}

// Whether frag_list has the geometry of fragments already, so that only headers are needed.
bool fraglist_fits(const Skb& skb, std::size_t hlen, std::size_t space) {
  const std::size_t first = skb.headlen() - hlen;
  if (first > space || (first & 7) != 0) return false;
  if ((Ipv4View(skb.data).frag_off() & (kIpMf | kIpOffset)) != 0) return false;
  for (const Skb* f = skb.frag_list; f != nullptr; f = f->next)
    if (f->len > space || ((f->len & 7) != 0 && f->next != nullptr) ||
        f->headroom() < hlen + kFragmentHeadroom)
      return false;
  return true;
}

TxResult failed(Net& net, TxResult result) {
  snmp(net, Snmp::IpFragFails);
  return result;
}

// The parts that ip_append_data() cut become the fragments.
TxResult send_fraglist(Net& net, SkbPtr skb, std::size_t hlen, FragmentOutput output) {
  Skb* rest = std::exchange(skb->frag_list, nullptr);
  skb->len -= skb->data_len;
  skb->data_len = 0;
  Sock* const sk = skb->sk;
  for (Skb* f = rest; f != nullptr; f = f->next) {
    f->sk = sk;  // each part carries its own charge again
    if (sk != nullptr) skb->truesize -= f->truesize;
  }
  Ipv4View head(skb->data);
  head.set_tot_len(static_cast<std::uint16_t>(skb->len));
  head.set_frag_off(kIpMf);
  head.send_check();
  std::size_t offset = 0;
  bool first = true;
  for (;;) {
    SkbPtr next(rest);
    if (next) {
      // The next fragment's header is copied before this one goes down.
      rest = std::exchange(next->next, nullptr);
      offset += skb->len - hlen;
      next->set_transport_header();
      std::memcpy(next->push(hlen), skb->data, hlen);
      next->set_network_header();
      skb_copy_metadata(*skb, *next);
      Ipv4View ip(next->data);
      ip.set_frag_off(static_cast<std::uint16_t>((offset >> 3) | (rest != nullptr ? kIpMf : 0)));
      ip.set_tot_len(static_cast<std::uint16_t>(next->len));
      // Once: the later ones copy their header from this one.
      if (first && hlen > kIpHlen) ip_options_fragment(*next);
      ip.send_check();
      first = false;
    }
    const TxResult result = output(net, std::move(skb));
    if (result.ok()) snmp(net, Snmp::IpFragCreates);
    if (!next) {
      if (!result.ok()) return failed(net, result);
      snmp(net, Snmp::IpFragOKs);
      return result;
    }
    born(net);  // `next` joins the path
    if (!result.ok()) {
      drop(net, kStage, std::move(next), DropReason::TXPATH_FRAG_SIBLING);
      while (rest != nullptr) {
        SkbPtr waste(rest);
        rest = std::exchange(waste->next, nullptr);
        born(net);
        drop(net, kStage, std::move(waste), DropReason::TXPATH_FRAG_SIBLING);
      }
      return failed(net, result);
    }
    skb = std::move(next);
  }
}

// Copies the payload out, fragment by fragment.
TxResult send_copies(Net& net, SkbPtr skb, std::size_t hlen, std::size_t space,
                     FragmentOutput output) {
  if (!skb_linearize(net, skb)) {
    drop(net, kStage, std::move(skb), DropReason::NOMEM);
    return failed(net, TxResult::error(ENOMEM));
  }
  const std::uint16_t first_off = Ipv4View(skb->data).frag_off();
  const bool not_last = (first_off & kIpMf) != 0;
  std::size_t offset = static_cast<std::size_t>(first_off & kIpOffset) << 3;
  std::size_t at = hlen;
  std::size_t left = skb->len - hlen;
  bool first = true;
  while (left > 0) {
    std::size_t len = std::min(left, space);
    if (len < left) len &= ~std::size_t{7};
    SkbPtr fragment = alloc_skb(net, kFragmentHeadroom + hlen + len);
    if (!fragment) {
      if (!first) born(net);
      drop(net, kStage, std::move(skb), DropReason::NOMEM);
      return failed(net, TxResult::error(ENOMEM));
    }
    fragment->reserve(kFragmentHeadroom);
    fragment->set_network_header();
    std::memcpy(fragment->put(hlen), skb->data, hlen);
    fragment->transport_header = static_cast<std::uint16_t>(fragment->network_header + hlen);
    std::memcpy(fragment->put(len), skb->data + at, len);
    if (skb->sk != nullptr) skb_set_owner_w(*fragment, *skb->sk);
    skb_copy_metadata(*skb, *fragment);
    left -= len;
    Ipv4View ip(fragment->data);
    ip.set_frag_off(static_cast<std::uint16_t>((offset >> 3) | (left > 0 || not_last ? kIpMf : 0)));
    ip.set_tot_len(static_cast<std::uint16_t>(hlen + len));
    ip.send_check();
    at += len;
    offset += len;
    if (!first) born(net);
    const TxResult result = output(net, std::move(fragment));
    if (!result.ok()) {
      born(net);  // what is left of the datagram, as one
      drop(net, kStage, std::move(skb), DropReason::TXPATH_FRAG_SIBLING);
      return failed(net, result);
    }
    snmp(net, Snmp::IpFragCreates);
    if (first && hlen > kIpHlen) ip_options_fragment(*skb);
    first = false;
  }
  consume(std::move(skb));
  snmp(net, Snmp::IpFragOKs);
  return TxResult::success();
}

}  // namespace

TxResult ip_do_fragment(Net& net, SkbPtr skb, FragmentOutput output) {
  if (skb->ip_summed == IpSummed::partial && !skb_checksum_help(*skb)) {
    drop(net, kStage, std::move(skb), DropReason::SKB_CSUM);
    return failed(net, TxResult::error(EINVAL));
  }
  const std::size_t hlen = Ipv4View(skb->data).hlen();
  std::size_t mtu = ip_skb_dst_mtu(*skb);
  if (skb->frag_max_size != 0) mtu = std::min<std::size_t>(mtu, skb->frag_max_size);
  const std::size_t space = mtu - hlen;
  trace_fragments(*skb, hlen, space & ~std::size_t{7});
  if (skb->frag_list != nullptr && fraglist_fits(*skb, hlen, space))
    return send_fraglist(net, std::move(skb), hlen, output);
  return send_copies(net, std::move(skb), hlen, space, output);
}

}  // namespace txp
