// SPDX-License-Identifier: Apache-2.0
// ip6_fragment: one datagram into fragments of at most one MTU (RFC 8200, 4.5).
//
// Kernel twin: net/ipv6/ip6_output.c, ip6_fragment(), ip6_fraglist_*(), ip6_frag_next();
// net/ipv6/output_core.c, ipv6_select_ident().
// Differs: a part that may not go on because an earlier fragment was refused is counted as
// TXPATH_FRAG_SIBLING; the id is random there too, and `explain` masks it.
// Drops: NOMEM, PKT_TOO_BIG (the kernel gives no reason), TXPATH_FRAG_SIBLING. Counts
// Ip6FragCreates, Ip6FragOKs, Ip6FragFails.
#include <algorithm>
#include <cstring>

#include "dev/netdevice.h"
#include "ip6/icmpv6.h"
#include "ip6/ip6.h"
#include "net.h"
#include "observe/trace.h"
#include "wire/ipv6.h"

namespace txp {
namespace {

constexpr std::size_t kFrag6Headroom = 32;  // LL_RESERVED_SPACE() of an Ethernet device
constexpr Stage kFragStage = Stage::ip6_finish_output;

// What every fragment of a datagram has in common.
struct Frag6 {
  std::uint32_t hlen = 0;        // the headers that are repeated
  std::uint32_t nexthdr_at = 0;  // of the last of them
  std::uint8_t nexthdr = 0;
  std::uint32_t id = 0;
  std::uint32_t space = 0;  // bytes of payload, at most
};

TxResult frag6_failed(Net& net, TxResult result) {
  snmp(net, Snmp::Ip6FragFails);
  return result;
}

// Writes the repeated headers and the fragment header at `to`, whose frame has `payload` bytes.
void emit_headers(std::uint8_t* to, std::span<const std::uint8_t> headers, const Frag6& f,
                  std::size_t payload, std::uint32_t offset, bool more) {
  std::ranges::copy(headers, to);
  to[f.nexthdr_at] = kNexthdrFragment;
  FragHeader{f.nexthdr, static_cast<std::uint16_t>(offset | (more ? kIp6Mf : 0U)), f.id}.emit(
      to + f.hlen);
  Ipv6View(to).set_payload_len(
      static_cast<std::uint16_t>(f.hlen - kIpv6Hlen + kFragHdrLen + payload));
}

bool fraglist6_fits(const Skb& skb, const Frag6& f) {
  const std::uint32_t first = skb.headlen() - f.hlen;
  if (first > f.space || (first & 7) != 0) return false;
  if (skb.headroom() < kFrag6Headroom / 2 + kFragHdrLen) return false;
  for (const Skb* p = skb.frag_list; p != nullptr; p = p->next)
    if (p->len > f.space || ((p->len & 7) != 0 && p->next != nullptr) ||
        p->headroom() < f.hlen + kFrag6Headroom / 2 + kFragHdrLen)
      return false;
  return true;
}

// The parts that ip6_append_data() cut become the fragments.
TxResult send_fraglist6(Net& net, SkbPtr skb, const Frag6& f, Fragment6Output output) {
  const std::vector<std::uint8_t> headers(skb->network(), skb->network() + f.hlen);
  Skb* rest = std::exchange(skb->frag_list, nullptr);
  skb->len -= skb->data_len;
  skb->data_len = 0;
  Sock* const sk = skb->sk;
  for (Skb* p = rest; p != nullptr; p = p->next) {
    p->sk = sk;  // each part carries its own charge again
    if (sk != nullptr) skb->truesize -= p->truesize;
  }
  const auto prepend = [&](Skb& part, std::uint32_t offset, bool more) {
    const std::size_t payload = part.len;
    std::uint8_t* to = part.push(f.hlen + kFragHdrLen);
    part.set_network_header();
    emit_headers(to, headers, f, payload, offset, more);
  };
  skb->pull(f.hlen);
  std::uint32_t offset = 0;
  std::uint32_t next_offset = skb->len;
  prepend(*skb, offset, true);
  for (;;) {
    SkbPtr next(rest);
    if (next) {
      rest = std::exchange(next->next, nullptr);
      offset = next_offset;
      next_offset += next->len;
      next->set_transport_header();
      prepend(*next, offset, rest != nullptr);
      skb_copy_metadata(*skb, *next);
    }
    const TxResult result = output(net, std::move(skb));
    if (result.ok()) snmp(net, Snmp::Ip6FragCreates);
    if (!next) {
      if (!result.ok()) return frag6_failed(net, result);
      snmp(net, Snmp::Ip6FragOKs);
      return result;
    }
    born(net);  // `next` joins the path
    if (!result.ok()) {
      drop(net, kFragStage, std::move(next), DropReason::TXPATH_FRAG_SIBLING);
      while (rest != nullptr) {
        SkbPtr waste(rest);
        rest = std::exchange(waste->next, nullptr);
        born(net);
        drop(net, kFragStage, std::move(waste), DropReason::TXPATH_FRAG_SIBLING);
      }
      return frag6_failed(net, result);
    }
    skb = std::move(next);
  }
}

// Copies the payload out, fragment by fragment.
TxResult send_copies6(Net& net, SkbPtr skb, const Frag6& f, Fragment6Output output) {
  if (!skb_linearize(net, skb)) {
    drop(net, kFragStage, std::move(skb), DropReason::NOMEM);
    return frag6_failed(net, TxResult::error(ENOMEM));
  }
  const std::span<const std::uint8_t> headers(skb->network(), f.hlen);
  std::uint32_t at = 0;
  std::uint32_t left = skb->len - f.hlen;
  bool first = true;
  while (left > 0) {
    std::uint32_t len = std::min(left, f.space);
    if (len < left) len &= ~7U;
    SkbPtr fragment = alloc_skb(net, kFrag6Headroom + f.hlen + kFragHdrLen + len);
    if (!fragment) {
      if (!first) born(net);
      drop(net, kFragStage, std::move(skb), DropReason::NOMEM);
      return frag6_failed(net, TxResult::error(ENOMEM));
    }
    fragment->reserve(kFrag6Headroom);
    fragment->set_network_header();
    left -= len;
    emit_headers(fragment->put(f.hlen + kFragHdrLen), headers, f, len, at, left > 0);
    fragment->transport_header =
        static_cast<std::uint16_t>(fragment->network_header + f.hlen + kFragHdrLen);
    std::memcpy(fragment->put(len), skb->network() + f.hlen + at, len);
    if (skb->sk != nullptr) skb_set_owner_w(*fragment, *skb->sk);
    skb_copy_metadata(*skb, *fragment);
    at += len;
    if (!first) born(net);
    const TxResult result = output(net, std::move(fragment));
    if (!result.ok()) {
      born(net);  // what is left of the datagram, as one
      drop(net, kFragStage, std::move(skb), DropReason::TXPATH_FRAG_SIBLING);
      return frag6_failed(net, result);
    }
    snmp(net, Snmp::Ip6FragCreates);
    first = false;
  }
  consume(std::move(skb));
  snmp(net, Snmp::Ip6FragOKs);
  return TxResult::success();
}

TxResult too_big(Net& net, SkbPtr skb, std::uint32_t mtu) {
  icmp6_send(net, *skb, kIcmpv6PktToobig, 0, mtu);
  drop(net, kFragStage, std::move(skb), DropReason::PKT_TOO_BIG);
  return frag6_failed(net, TxResult::error(EMSGSIZE));
}

}  // namespace

TxResult ip6_fragment(Net& net, SkbPtr skb, Fragment6Output output) {
  Frag6 f;
  f.hlen = ip6_find_1stfragopt(*skb, f.nexthdr_at);
  if (f.hlen == 0) {
    drop(net, kFragStage, std::move(skb), DropReason::NOT_SPECIFIED);
    return frag6_failed(net, TxResult::error(EINVAL));
  }
  f.nexthdr = skb->network()[f.nexthdr_at];
  std::uint32_t mtu = ip6_skb_dst_mtu(*skb);
  if (!skb->ignore_df && skb->len > mtu) return too_big(net, std::move(skb), mtu);
  if (skb->frag_max_size != 0) mtu = std::max<std::uint32_t>(skb->frag_max_size, kIpv6MinMtu);
  if (skb->sk != nullptr && skb->sk->inet6 && skb->sk->inet6->frag_size != 0)
    mtu = std::min(mtu, skb->sk->inet6->frag_size);
  if (mtu < f.hlen + kFragHdrLen + 8) return too_big(net, std::move(skb), mtu);
  f.space = mtu - f.hlen - std::uint32_t{kFragHdrLen};
  f.id = net.random.u32() | 1;
  if (skb->ip_summed == IpSummed::partial && !skb_checksum_help(*skb)) {
    drop(net, kFragStage, std::move(skb), DropReason::SKB_CSUM);
    return frag6_failed(net, TxResult::error(EINVAL));
  }
  if (Trace* trace = skb->trace; telling(trace) != nullptr) {
    const std::uint32_t step = f.space & ~7U;
    trace->result(kFragStage, "fragmented");
    trace->out(kFragStage, "fragments",
               static_cast<std::int64_t>((skb->len - f.hlen + step - 1) / step));
    trace->masked("ip6.frag_id");
  }
  if (skb->frag_list != nullptr && fraglist6_fits(*skb, f))
    return send_fraglist6(net, std::move(skb), f, output);
  return send_copies6(net, std::move(skb), f, output);
}

}  // namespace txp
