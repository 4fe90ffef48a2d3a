// SPDX-License-Identifier: Apache-2.0
#include "explain/socket_options.h"

#include <netinet/in.h>
#include <netinet/udp.h>

#include <cstring>

namespace txp {
namespace {

SocketCall set_int(Sock& sk, int level, int option, int value, std::string_view text) {
  std::uint8_t bytes[sizeof value];
  std::memcpy(bytes, &value, sizeof value);
  if (auto set = sock_setsockopt(sk, level, option, bytes); !set)
    return std::unexpected(FailedCall{set.error(), "setsockopt(" + std::string(text) + ")"});
  return {};
}

}  // namespace

SocketCall set_socket_options(Sock& sk, const FlowQuestion& q, std::vector<ReportObject>* told) {
  const auto tell = [told](std::string_view option, std::string_view value) {
    if (told != nullptr)
      told->push_back({"sockopt", {}, std::string(option) + " = " + std::string(value)});
  };
  if (!q.oif.empty()) {
    std::vector<std::uint8_t> name(q.oif.begin(), q.oif.end());
    name.push_back(0);
    if (auto set = sock_setsockopt(sk, SOL_SOCKET, SO_BINDTODEVICE, name); !set)
      return std::unexpected(FailedCall{set.error(), "setsockopt(SO_BINDTODEVICE)"});
    tell("SO_BINDTODEVICE", q.oif);
  }
  struct Option {
    bool given;
    int level;
    int option;
    int value;
    std::string_view text;
  };
  const bool tcp = q.proto == FlowProto::tcp;
  // TCP keeps the ECN bits for itself (__ip_sock_set_tos()), and multicast is nothing to it.
  const int tos = q.tos.value_or(0) & (tcp ? 0xfc : 0xff);
  if (sk.inet6) {
    const int hops = q.ttl.value_or(0);
    const Option options6[] = {
        {q.mark.has_value(), SOL_SOCKET, SO_MARK, static_cast<int>(q.mark.value_or(0)), "SO_MARK"},
        {q.tos.has_value(), IPPROTO_IPV6, IPV6_TCLASS, q.tos.value_or(0), "IPV6_TCLASS"},
        {q.ttl.has_value(), IPPROTO_IPV6, IPV6_UNICAST_HOPS, hops, "IPV6_UNICAST_HOPS"},
        {q.ttl.has_value(), IPPROTO_IPV6, IPV6_MULTICAST_HOPS, hops, "IPV6_MULTICAST_HOPS"},
        {q.df.has_value(), IPPROTO_IPV6, IPV6_MTU_DISCOVER, q.df.value_or(0), "IPV6_MTU_DISCOVER"},
        {q.gso.has_value(), IPPROTO_UDP, UDP_SEGMENT, q.gso.value_or(0), "UDP_SEGMENT"},
    };
    for (const Option& o : options6) {
      if (!o.given) continue;
      if (auto done = set_int(sk, o.level, o.option, o.value, o.text); !done) return done;
      tell(o.text, std::to_string(static_cast<std::uint32_t>(o.value)));
    }
    return {};
  }
  const Option options[] = {
      {q.mark.has_value(), SOL_SOCKET, SO_MARK, static_cast<int>(q.mark.value_or(0)), "SO_MARK"},
      {q.broadcast, SOL_SOCKET, SO_BROADCAST, 1, "SO_BROADCAST"},
      {q.tos.has_value(), IPPROTO_IP, IP_TOS, tos, "IP_TOS"},
      {q.ttl.has_value(), IPPROTO_IP, IP_TTL, q.ttl.value_or(0), "IP_TTL"},
      {q.ttl.has_value() && !tcp, IPPROTO_IP, IP_MULTICAST_TTL, q.ttl.value_or(0),
       "IP_MULTICAST_TTL"},
      {q.df.has_value(), IPPROTO_IP, IP_MTU_DISCOVER, q.df.value_or(0), "IP_MTU_DISCOVER"},
      {q.gso.has_value(), IPPROTO_UDP, UDP_SEGMENT, q.gso.value_or(0), "UDP_SEGMENT"},
  };
  for (const Option& o : options) {
    if (!o.given) continue;
    if (auto done = set_int(sk, o.level, o.option, o.value, o.text); !done) return done;
    tell(o.text, std::to_string(static_cast<std::uint32_t>(o.value)));
  }
  return {};
}

}  // namespace txp
