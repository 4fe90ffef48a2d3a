// SPDX-License-Identifier: Apache-2.0
// RTM_NEWADDR and RTM_NEWMULTICAST of AF_INET. Kernel twins: net/ipv4/devinet.c
// (inet_fill_ifaddr()), net/ipv4/igmp.c.
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include "mirror/attrs.h"
#include "mirror/decode.h"

namespace txp {

Result<Decoded> decode_addr(Bytes bytes) {
  ifaddrmsg h{};
  if (take_header(bytes, h) == nullptr) return fail("cut short");
  if (h.ifa_family == AF_INET6) return decode_addr6(bytes);
  if (h.ifa_family != AF_INET) return Decoded{};
  if (h.ifa_index == 0 || h.ifa_index > 0x7fffffff) return fail("no interface index");
  if (h.ifa_prefixlen > 32) return fail(fmt::format("prefix length {}", h.ifa_prefixlen));
  Attrs<IFA_MAX> a(bytes.subspan(sizeof h), "address");
  InAddr addr;
  addr.ifindex = static_cast<int>(h.ifa_index);
  addr.prefixlen = h.ifa_prefixlen;
  addr.scope = h.ifa_scope;
  addr.flags = a.u32(IFA_FLAGS).value_or(h.ifa_flags);
  const auto local = a.ip4(IFA_LOCAL);
  const auto peer = a.ip4(IFA_ADDRESS);
  if (!local && !peer) return fail(a.error().empty() ? "no address" : a.error());
  addr.local = local ? *local : *peer;
  addr.peer = peer ? *peer : *local;
  addr.broadcast = a.ip4(IFA_BROADCAST).value_or(Ip4{});
  addr.label = a.text(IFA_LABEL, 15).value_or("");
  if (!a.error().empty()) return fail(a.error());
  return Decoded{.what = std::move(addr)};
}

Result<Decoded> decode_multicast(Bytes bytes) {
  ifaddrmsg h{};
  if (take_header(bytes, h) == nullptr) return fail("cut short");
  if (h.ifa_family == AF_INET6) return decode_multicast6(bytes);
  if (h.ifa_family != AF_INET) return Decoded{};
  if (h.ifa_index == 0 || h.ifa_index > 0x7fffffff) return fail("no interface index");
  Attrs<IFA_MAX> a(bytes.subspan(sizeof h), "membership");
  const auto group = a.ip4(IFA_MULTICAST);
  if (!a.error().empty()) return fail(a.error());
  if (!group || !group->is_multicast()) return fail("no multicast group");
  return Decoded{.what = McGroup{static_cast<int>(h.ifa_index), *group}};
}

}  // namespace txp
