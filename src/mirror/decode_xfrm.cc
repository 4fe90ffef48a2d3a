// SPDX-License-Identifier: Apache-2.0
// IPsec policies. Kernel twin: net/xfrm/xfrm_user.c.
#include <arpa/inet.h>
#include <linux/xfrm.h>
#include <sys/socket.h>

#include "mirror/attrs.h"
#include "mirror/decode.h"

namespace txp {

namespace {

std::string selector_addr(const xfrm_address_t& addr, std::uint16_t family, std::uint8_t len) {
  char text[INET6_ADDRSTRLEN] = {};
  if (inet_ntop(family == AF_INET6 ? AF_INET6 : AF_INET, &addr, text, sizeof text) == nullptr)
    return "?";
  return fmt::format("{}/{}", text, len);
}

}  // namespace

Result<Decoded> decode_xfrm_policy(Bytes bytes) {
  xfrm_userpolicy_info h{};
  if (take_header(bytes, h) == nullptr) return fail("cut short");
  XfrmPolicy p;
  p.index = h.index;
  p.out = h.dir == XFRM_POLICY_OUT;
  p.ipv4 = h.sel.family == AF_INET || h.sel.family == AF_UNSPEC;
  p.ipv6 = h.sel.family == AF_INET6 || h.sel.family == AF_UNSPEC;
  p.text = fmt::format("src {} dst {} dir {} action {} priority {} index {}",
                       selector_addr(h.sel.saddr, h.sel.family, h.sel.prefixlen_s),
                       selector_addr(h.sel.daddr, h.sel.family, h.sel.prefixlen_d),
                       p.out ? "out" : "in or fwd",
                       h.action == XFRM_POLICY_BLOCK ? "block" : "allow", h.priority, h.index);
  return Decoded{.what = std::move(p)};
}

}  // namespace txp
