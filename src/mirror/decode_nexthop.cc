// SPDX-License-Identifier: Apache-2.0
// RTM_NEWNEXTHOP. Kernel twin: net/ipv4/nexthop.c (nh_fill_node()).
#include <arpa/inet.h>
#include <linux/lwtunnel.h>
#include <linux/nexthop.h>
#include <sys/socket.h>

#include "mirror/attrs.h"
#include "mirror/decode.h"

namespace txp {

Result<Decoded> decode_nexthop(Bytes bytes) {
  nhmsg h{};
  if (take_header(bytes, h) == nullptr) return fail("cut short");
  Attrs<NHA_MAX> a(bytes.subspan(sizeof h), "next hop");
  NexthopSpec n;
  n.id = a.u32(NHA_ID).value_or(0);
  n.protocol = h.nh_protocol;
  n.scope = h.nh_scope;
  n.blackhole = a.has(NHA_BLACKHOLE);
  n.fdb = a.has(NHA_FDB);
  n.resilient = a.u16(NHA_GROUP_TYPE).value_or(NEXTHOP_GRP_TYPE_MPATH) == NEXTHOP_GRP_TYPE_RES;
  n.nh.scope = kScopeLink;
  n.nh.flags = static_cast<std::uint8_t>(h.nh_flags & 0xff);
  if (a.has(NHA_OIF)) n.nh.oif = a.ifindex(NHA_OIF).value_or(0);
  if (auto v = a.raw(NHA_GATEWAY)) {
    if (v->size() == 4) {
      n.nh.gateway = Ip4{load_be32(v->data())};
    } else if (v->size() == 16) {
      char text[INET6_ADDRSTRLEN] = {};
      if (inet_ntop(AF_INET6, v->data(), text, sizeof text) != nullptr) n.nh.gateway6 = text;
    } else {
      a.wrong(NHA_GATEWAY, "has a wrong length");
    }
  }
  const auto encap_type = a.u16(NHA_ENCAP_TYPE);
  if (encap_type && *encap_type != LWTUNNEL_ENCAP_NONE)
    n.nh.encap = lwtunnel_text(*encap_type, a.raw(NHA_ENCAP).value_or(Bytes{}));
  if (auto v = a.raw(NHA_GROUP)) {
    if (v->size() % sizeof(nexthop_grp) != 0) a.wrong(NHA_GROUP, "has a wrong length");
    for (std::size_t i = 0; i + sizeof(nexthop_grp) <= v->size(); i += sizeof(nexthop_grp)) {
      std::uint32_t id = 0;
      std::memcpy(&id, v->data() + i, sizeof id);
      // nexthop_grp_weight(): one less than the weight; its high byte was reserved before 6.12.
      const unsigned weight = ((unsigned{(*v)[i + 5]} << 8) | (*v)[i + 4]) + 1;
      n.group.emplace_back(id, static_cast<std::uint16_t>(weight));
    }
  }
  if (!a.error().empty()) return fail(a.error());
  if (n.id == 0) return fail("no id");
  return Decoded{.what = std::move(n)};
}

}  // namespace txp
