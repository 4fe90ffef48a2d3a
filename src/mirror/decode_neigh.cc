// SPDX-License-Identifier: Apache-2.0
// RTM_NEWNEIGH of AF_INET, AF_INET6 and, of forwarding databases, AF_BRIDGE. Kernel twins:
// net/core/neighbour.c (neigh_fill_info(), pneigh_fill_info()), net/bridge/br_fdb.c
// (fdb_fill_info()), drivers/net/vxlan/vxlan_core.c (vxlan_fdb_info()).
#include <algorithm>
#include <bit>

#include <linux/neighbour.h>
#include <sys/socket.h>

#include "mirror/attrs.h"
#include "mirror/decode.h"

namespace txp {
namespace {

// Where a VXLAN's entry leads; nothing: it is no such one.
std::optional<VxlanRdst> decode_rdst(Attrs<NDA_MAX>& a) {
  const auto dst = a.raw(NDA_DST);
  const auto nexthop = a.u32(NDA_NH_ID);
  if (!dst && !nexthop) return std::nullopt;
  VxlanRdst r;
  if (dst && dst->size() == 4) r.dst = Ip4{load_be32(dst->data())};
  r.ipv6 = dst && dst->size() != 4;
  r.port = a.be16(NDA_PORT).value_or(0);
  r.vni = a.u32(NDA_VNI).value_or(VxlanRdst::kSameVni);
  r.ifindex = static_cast<int>(a.u32(NDA_IFINDEX).value_or(0) & 0x7fffffff);
  r.nexthop_id = nexthop.value_or(0);
  return r;
}

// An entry of a forwarding database: of a bridge's when it names a table, of a VXLAN's own when it
// says where that sends.
Result<Decoded> decode_fdb(const ndmsg& h, Bytes attrs) {
  Attrs<NDA_MAX> a(attrs, "fdb");
  FdbEntry e;
  e.port = std::max(h.ndm_ifindex, 0);
  e.flags = h.ndm_flags;
  e.state = h.ndm_state;
  const auto lladdr = a.raw(NDA_LLADDR);
  if (lladdr && lladdr->size() == 6) std::copy(lladdr->begin(), lladdr->end(), e.lladdr.bytes);
  if (const auto v = a.u32(NDA_MASTER); v && (h.ndm_flags & NTF_SELF) == 0)
    e.table = static_cast<int>(*v & 0x7fffffff);
  if ((h.ndm_flags & NTF_SELF) != 0) e.remote = decode_rdst(a);
  if (e.remote) e.table = e.port;
  e.vlan = a.u16(NDA_VLAN).value_or(0);
  if (!a.error().empty()) return fail(a.error());
  if (!lladdr || lladdr->size() != 6) return Decoded{};  // another link layer's
  if (e.port == 0) return fail("no interface index");
  return Decoded{.what = e};
}

}  // namespace

Result<Decoded> decode_neigh(Bytes bytes) {
  ndmsg h{};
  if (take_header(bytes, h) == nullptr) return fail("cut short");
  if (h.ndm_family == AF_BRIDGE) return decode_fdb(h, bytes.subspan(sizeof h));
  const bool is_v6 = h.ndm_family == AF_INET6;
  if (h.ndm_family != AF_INET && !is_v6) return Decoded{};
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
