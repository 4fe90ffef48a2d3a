// SPDX-License-Identifier: Apache-2.0
// One message about a namespace: a kernel's netlink message, or one of our own where the kernel has
// none (a sysctl, a BPF program). The unit of import, of live following and of snapshot files.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace txp {

enum class MessageType : std::uint8_t {
  new_link,
  del_link,
  new_addr,
  del_addr,
  new_route,
  del_route,
  new_rule,
  del_rule,
  new_nexthop,
  del_nexthop,
  new_neigh,
  del_neigh,
  new_qdisc,
  del_qdisc,
  new_filter,
  del_filter,
  new_multicast,
  del_multicast,
  nft_table,
  nft_chain,
  nft_rule,
  nft_set,
  nft_elems,
  nft_object,
  xfrm_policy,
  features,
  new_class,
  del_class,
  new_addrlabel,
  // Ours. `raw` is text.
  xps,
  sysctl,
  nf_hook,
  egress_hook,
  obstacle,
};

// A message's type in a snapshot: the kernel's name, or a word in small letters when it is ours.
inline constexpr std::array kMessageNames =
    std::to_array<std::string_view>({"RTM_NEWLINK",
                                     "RTM_DELLINK",
                                     "RTM_NEWADDR",
                                     "RTM_DELADDR",
                                     "RTM_NEWROUTE",
                                     "RTM_DELROUTE",
                                     "RTM_NEWRULE",
                                     "RTM_DELRULE",
                                     "RTM_NEWNEXTHOP",
                                     "RTM_DELNEXTHOP",
                                     "RTM_NEWNEIGH",
                                     "RTM_DELNEIGH",
                                     "RTM_NEWQDISC",
                                     "RTM_DELQDISC",
                                     "RTM_NEWTFILTER",
                                     "RTM_DELTFILTER",
                                     "RTM_NEWMULTICAST",
                                     "RTM_DELMULTICAST",
                                     "NFT_MSG_NEWTABLE",
                                     "NFT_MSG_NEWCHAIN",
                                     "NFT_MSG_NEWRULE",
                                     "NFT_MSG_NEWSET",
                                     "NFT_MSG_NEWSETELEM",
                                     "NFT_MSG_NEWOBJ",
                                     "XFRM_MSG_NEWPOLICY",
                                     "ETHTOOL_MSG_FEATURES_GET_REPLY",
                                     "RTM_NEWTCLASS",
                                     "RTM_DELTCLASS",
                                     "RTM_NEWADDRLABEL",
                                     "xps",
                                     "sysctl",
                                     "nf-hook",
                                     "egress-hook",
                                     "obstacle"});
static_assert(kMessageNames.size() == static_cast<std::size_t>(MessageType::obstacle) + 1);

constexpr std::string_view name(MessageType t) {
  return kMessageNames[static_cast<std::size_t>(t)];
}
std::optional<MessageType> find_message_type(std::string_view name);

// A message, not owned. `raw` of a kernel's message is the whole of it, struct nlmsghdr included.
struct Message {
  MessageType type{};
  std::span<const std::uint8_t> raw;
  // The words of the object's own tool, where the bytes do not give them (nft rules, tc filters).
  std::string_view text;
};

// Sees every message of an import, in the order in which they must be applied again.
using MessageSink = std::function<void(const Message&)>;

}  // namespace txp
