// SPDX-License-Identifier: Apache-2.0
// RTM_NEWNEIGH of AF_INET and AF_INET6. Kernel twin: net/core/neighbour.c (neigh_fill_info(),
// pneigh_fill_info()).
#include <algorithm>
#include <bit>

#include <linux/neighbour.h>
#include <sys/socket.h>

#include "mirror/attrs.h"
#include "mirror/decode.h"

namespace txp {

Result<Decoded> decode_neigh(Bytes bytes) {
  ndmsg h{};
  if (take_header(bytes, h) == nullptr) return fail("cut short");
  const bool is_v6 = h.ndm_family == AF_INET6;
  if (h.ndm_family != AF_INET && !is_v6) return Decoded{};  // a bridge's FDB
  Attrs<NDA_MAX> a(bytes.subspan(sizeof h), "neighbour");
  NeighSpec n;
  n.ifindex = std::max(h.ndm_ifindex, 0);
  n.flags = h.ndm_flags;
  n.proxy = (h.ndm_flags & NTF_PROXY) != 0;
  const auto dst = is_v6 ? std::nullopt : a.ip4(NDA_DST);
  if (is_v6) n.dst6 = a.ip6(NDA_DST);
  if (auto v = a.raw(NDA_LLADDR)) {
    // Other link layers have other lengths; the engine has no such device.
    n.has_lladdr = v->size() == 6;
    if (n.has_lladdr) std::copy(v->begin(), v->end(), n.lladdr.bytes);
  }
  n.protocol = a.u8(NDA_PROTOCOL).value_or(0);
  if (!a.error().empty()) return fail(a.error());
  if (!dst && !n.dst6) return fail("no address");
  if (n.ifindex == 0 && !n.proxy) return fail("no interface index");
  if (dst) n.dst = *dst;
  if (h.ndm_state > 0xff || std::popcount(h.ndm_state) > 1)
    return fail(fmt::format("state {:#x}", h.ndm_state));
  n.state = static_cast<Nud>(h.ndm_state);
  return Decoded{.what = n};
}

}  // namespace txp
