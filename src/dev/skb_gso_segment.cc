// SPDX-License-Identifier: Apache-2.0
// UDP generic segmentation offload in software.
// Kernel twin: net/core/gso.c (__skb_gso_segment()), net/ipv4/af_inet.c (inet_gso_segment()),
// net/ipv4/udp_offload.c (__udp_gso_segment()), net/ipv6/ip6_offload.c (ipv6_gso_segment()).
//
// Differs: only what UDP_SEGMENT on this host makes: no tunnels, no received packets (fraglist
// GRO). As in the kernel, the IP id counts up by one a segment, also with DF set, and a packet that
// does not ask for a checksum cannot be segmented.
#include "dev/skb_gso_segment.h"

#include <algorithm>
#include <cstring>

#include "base/checksum.h"
#include "dev/netdevice.h"
#include "net.h"
#include "observe/counters.h"
#include "wire/ethernet.h"
#include "wire/ipv4.h"
#include "wire/ipv6.h"
#include "wire/udp.h"

namespace txp {
namespace {

// Reads the payload in order from the linear part and the frag_list.
class Reader {
 public:
  Reader(const Skb& skb, const std::uint8_t* from)
      : at_(from), left_(static_cast<std::size_t>(skb.tail - from)), next_(skb.frag_list) {}

  void copy(std::uint8_t* to, std::size_t n) {
    while (n > 0) {
      while (left_ == 0) {
        at_ = next_->data;
        left_ = next_->headlen();
        next_ = next_->next;
      }
      const std::size_t part = std::min(n, left_);
      std::memcpy(to, at_, part);
      to += part;
      at_ += part;
      left_ -= part;
      n -= part;
    }
  }

 private:
  const std::uint8_t* at_;
  std::size_t left_;
  const Skb* next_;
};

}  // namespace

SkbPtr udp_gso_segment(Net& net, const Skb& skb) {
  const auto headers = static_cast<std::size_t>(skb.transport() - skb.data) + kUdpHlen;
  const std::size_t mss = skb.gso_size;
  const bool v6 = skb.protocol == kEthPIpv6;
  if (skb.gso_type != GsoType::udp_l4 || (skb.protocol != kEthPIp && !v6) || mss == 0 ||
      skb.ip_summed != IpSummed::partial || skb.csum_start != skb.transport_header ||
      skb.headlen() < headers || skb.len <= headers + mss || skb.network() < skb.data)
    return nullptr;
  const auto ip = Ipv4Header::parse({skb.network(), skb.tail});
  const auto ip6 = Ipv6Header::parse({skb.network(), skb.tail});
  const auto udp = UdpHeader::parse({skb.transport(), skb.tail});
  if (!udp || (v6 ? !ip6 || skb.network() + kIpv6Hlen > skb.transport()
                  : !ip || skb.network() + ip->hlen() != skb.transport()))
    return nullptr;
  const auto network = static_cast<std::size_t>(skb.network() - skb.data);
  const std::size_t transport = headers - kUdpHlen;

  Reader payload(skb, skb.data + headers);
  std::size_t left = skb.len - headers;
  std::uint16_t id = v6 ? std::uint16_t{0} : ip->id;
  std::uint64_t segments = 0;
  SkbPtr first;
  Skb* last = nullptr;
  while (left > 0) {
    const std::size_t n = std::min(left, mss);
    SkbPtr seg = alloc_skb(net, skb.headroom() + headers + n);
    if (!seg) {
      // The segments so far were never born.
      while (first) {
        SkbPtr rest(std::exchange(first->next, nullptr));
        free_skb(std::move(first));
        first = std::move(rest);
      }
      return nullptr;
    }
    seg->reserve(skb.headroom());
    skb_copy_metadata(skb, *seg);
    seg->set_mac_header();
    std::uint8_t* bytes = seg->put(headers + n);
    seg->network_header = static_cast<std::uint16_t>(seg->mac_header + network);
    seg->transport_header = static_cast<std::uint16_t>(seg->mac_header + transport);
    std::memcpy(bytes, skb.data, headers);
    payload.copy(bytes + headers, n);

    const std::size_t packet = headers - network + n;
    if (v6) {
      Ipv6View(seg->network()).set_payload_len(static_cast<std::uint16_t>(packet - kIpv6Hlen));
    } else {
      Ipv4View view(seg->network());
      view.set_tot_len(static_cast<std::uint16_t>(packet));
      view.set_id(id++);
      view.send_check();
    }
    UdpHeader h = *udp;
    h.len = static_cast<std::uint16_t>(kUdpHlen + n);
    h.check = 0;
    h.emit(seg->transport());
    const std::span<const std::uint8_t> datagram{seg->transport(), h.len};
    const Csum sum = csum_partial(datagram, 0);
    h.check =
        csum_fold(v6 ? csum_ipv6_nofold(ip6->saddr, ip6->daddr, h.len, kIpProtoUdp, sum)
                     : csum_tcpudp_nofold(ip->saddr.host, ip->daddr.host, h.len, kIpProtoUdp, sum));
    if (h.check == 0) h.check = kCsumMangled0;
    h.emit(seg->transport());

    if (skb.sk != nullptr) skb_set_owner_w(*seg, *skb.sk);
    left -= n;
    ++segments;
    Skb* raw = seg.get();
    if (last == nullptr) {
      seg->tx_flags = skb.tx_flags;
      seg->tskey = skb.tskey;
      first = std::move(seg);
    } else {
      last->next = seg.release();
    }
    last = raw;
  }
  born(net, segments - 1);
  return first;
}

SkbPtr skb_gso_segment(Net& net, SkbPtr skb, Stage stage) {
  SkbPtr segments = udp_gso_segment(net, *skb);
  if (segments)
    consume(std::move(skb));
  else
    drop(net, stage, std::move(skb), DropReason::SKB_GSO_SEG);
  return segments;
}

}  // namespace txp
