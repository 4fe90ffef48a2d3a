// SPDX-License-Identifier: Apache-2.0
#include "mirror/decode.h"

#include <bit>
#include <cstring>

#include <fmt/format.h>
#include <linux/netlink.h>

#include "mirror/attrs.h"

namespace txp {

namespace {

// What a netlink message carries behind its header; an error when the header lies.
Result<std::span<const std::uint8_t>> netlink_payload(const Message& m, nlmsghdr& h) {
  if (m.raw.size() < sizeof h)
    return fail(
        fmt::format("{}: {} bytes are less than a netlink header", name(m.type), m.raw.size()));
  std::memcpy(&h, m.raw.data(), sizeof h);
  if (h.nlmsg_len < sizeof h || h.nlmsg_len > m.raw.size())
    return fail(fmt::format("{}: the header says {} bytes, there are {}", name(m.type), h.nlmsg_len,
                            m.raw.size()));
  return m.raw.subspan(sizeof h, h.nlmsg_len - sizeof h);
}

Result<Decoded> decode_netlink(const Message& m, std::span<const std::uint8_t> payload) {
  switch (m.type) {
    case MessageType::new_link:
    case MessageType::del_link: return decode_link(payload);
    case MessageType::new_addr:
    case MessageType::del_addr: return decode_addr(payload);
    case MessageType::new_route:
    case MessageType::del_route: return decode_route(payload);
    case MessageType::new_rule:
    case MessageType::del_rule: return decode_rule(payload);
    case MessageType::new_nexthop:
    case MessageType::del_nexthop: return decode_nexthop(payload);
    case MessageType::new_neigh:
    case MessageType::del_neigh: return decode_neigh(payload);
    case MessageType::new_qdisc:
    case MessageType::del_qdisc: return decode_qdisc(payload);
    case MessageType::new_class:
    case MessageType::del_class: return decode_class(payload);
    case MessageType::new_filter:
    case MessageType::del_filter: return decode_filter(payload);
    case MessageType::new_multicast:
    case MessageType::del_multicast: return decode_multicast(payload);
    case MessageType::new_addrlabel: return decode_addrlabel(payload);
    case MessageType::nft_table: return decode_nft_table(payload);
    case MessageType::nft_chain: return decode_nft_chain(payload, m.text);
    case MessageType::nft_rule: return decode_nft_rule(payload, m.text);
    case MessageType::nft_set: return decode_nft_set(payload);
    case MessageType::nft_elems: return decode_nft_elems(payload);
    case MessageType::nft_object: return decode_nft_object(payload);
    case MessageType::xfrm_policy: return decode_xfrm_policy(payload);
    case MessageType::features: return decode_features(payload);
    case MessageType::xps:
    case MessageType::sysctl:
    case MessageType::nf_hook:
    case MessageType::egress_hook:
    case MessageType::obstacle: break;
  }
  return fail(fmt::format("{}: not a netlink message", name(m.type)));
}

bool is_deletion(MessageType t) {
  switch (t) {
    case MessageType::del_link:
    case MessageType::del_addr:
    case MessageType::del_route:
    case MessageType::del_rule:
    case MessageType::del_nexthop:
    case MessageType::del_neigh:
    case MessageType::del_qdisc:
    case MessageType::del_class:
    case MessageType::del_filter:
    case MessageType::del_multicast: return true;
    default: return false;
  }
}

}  // namespace

std::optional<MessageType> find_message_type(std::string_view wanted) {
  for (std::size_t i = 0; i < kMessageNames.size(); ++i)
    if (kMessageNames[i] == wanted) return static_cast<MessageType>(i);
  return std::nullopt;
}

Result<Decoded> decode(const Message& message) {
  if (message.type >= MessageType::xps) return decode_own(message);
  nlmsghdr header{};
  const auto payload = netlink_payload(message, header);
  if (!payload) return std::unexpected(payload.error());
  // Attributes are read through pointers: they must lie on their natural alignment.
  if (std::bit_cast<std::uintptr_t>(message.raw.data()) % alignof(nlmsghdr) != 0) {
    const std::vector<std::uint8_t> copy(message.raw.begin(), message.raw.end());
    return decode({message.type, copy, message.text});
  }
  auto decoded = decode_netlink(message, *payload);
  if (!decoded) return fail(fmt::format("{}: {}", name(message.type), decoded.error().what));
  decoded->deleted = is_deletion(message.type);
  decoded->nlmsg_flags = header.nlmsg_flags;
  return decoded;
}

}  // namespace txp
