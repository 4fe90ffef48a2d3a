// SPDX-License-Identifier: Apache-2.0
// The namespace's rulesets as hooks of the Net. An empty chain decides by its policy; any rule
// makes a chain one that the engine cannot evaluate.
#include <array>

#include <fmt/format.h>
#include <linux/netfilter.h>

#include "dev/netdevice.h"
#include "mirror/mirror.h"
#include "netfilter/nf_hook.h"

namespace txp {

namespace {

constexpr std::uint32_t kNetdevEgress = 1;  // NF_NETDEV_EGRESS

std::string_view family_name(std::uint8_t family) {
  switch (family) {
    case NFPROTO_INET: return "inet";
    case NFPROTO_IPV4: return "ip";
    case NFPROTO_ARP: return "arp";
    case NFPROTO_NETDEV: return "netdev";
    case NFPROTO_BRIDGE: return "bridge";
    case NFPROTO_IPV6: return "ip6";
    default: return "unknown";
  }
}

std::string hook_text(const NftChain& c) {
  if (!c.text.empty()) return c.text;
  static constexpr std::array<std::string_view, 5> kHooks{"prerouting", "input", "forward",
                                                          "output", "postrouting"};
  const std::string_view hook = c.family == NFPROTO_NETDEV
                                    ? (c.hooknum == kNetdevEgress ? "egress" : "ingress")
                                : c.hooknum < kHooks.size() ? kHooks[c.hooknum]
                                                            : "unknown";
  return fmt::format("type {} hook {} priority {}; policy {};", c.type, hook, c.priority,
                     c.policy == NF_DROP ? "drop" : "accept");
}

std::string chain_text(const NftChain& c, const std::vector<NftRule>* rules) {
  std::string text =
      fmt::format("chain {} {} {} {{ {} }}", family_name(c.family), c.table, c.name, hook_text(c));
  if (rules == nullptr || rules->empty()) return text;
  text += fmt::format(" with {} rule{}, first:", rules->size(), rules->size() == 1 ? "" : "s");
  if (!rules->front().text.empty()) text += " " + rules->front().text;
  return text + fmt::format(" # handle {}", rules->front().handle);
}

}  // namespace

void Mirror::commit_ruleset() {
  for (auto& [ifindex, device] : devices_) {
    device.filters_changed |= !device.nft_egress.empty();
    device.nft_egress.clear();
  }
  std::vector<NfHookOps> hooks;
  for (const NftChain& c : nft_chains_) {
    if (!c.base) continue;
    const auto table = nft_tables_.find({c.family, c.table});
    if (table != nft_tables_.end() && table->second.dormant) continue;
    const auto found = nft_rules_.find({c.family, c.table, c.name});
    const std::vector<NftRule>* rules = found == nft_rules_.end() ? nullptr : &found->second;
    const bool empty = rules == nullptr || rules->empty();
    const bool passes = empty && c.policy == NF_ACCEPT;
    if (c.family == NFPROTO_NETDEV) {
      if (c.hooknum != kNetdevEgress || passes) continue;
      const std::string text = chain_text(c, rules);
      for (const NetDevice* dev : net_.dev->all())
        for (const std::string& name : c.devs)
          if (name == dev->name() ||
              (name.ends_with('*') &&
               dev->name().starts_with(std::string_view(name).substr(0, name.size() - 1)))) {
            Device& device = devices_[dev->ifindex];
            device.filters_changed = true;
            device.nft_egress.push_back({dev->ifindex, 0xfffffff3, "nft-chain", text});
          }
      continue;
    }
    if (c.family != NFPROTO_IPV4 && c.family != NFPROTO_INET) continue;
    NfHookOps ops;
    if (c.hooknum == NF_INET_LOCAL_OUT)
      ops.hook = NfHook::local_out;
    else if (c.hooknum == NF_INET_POST_ROUTING)
      ops.hook = NfHook::post_routing;
    else
      continue;
    ops.priority = c.priority;
    ops.object = {.kind = "nft-chain",
                  .text = chain_text(c, rules),
                  .family = std::string(family_name(c.family)),
                  .table = c.table,
                  .chain = c.name,
                  .handle = c.handle};
    if (passes)
      ops.function = [](Net&, Skb&) { return NfVerdict::accept; };
    else if (empty)
      ops.function = [](Net&, Skb&) { return NfVerdict::drop; };
    hooks.push_back(std::move(ops));
  }
  for (const ForeignHook& h : foreign_hooks_) {
    NfHookOps ops;
    ops.hook = h.hook;
    ops.priority = h.priority;
    ops.object = {.kind = h.kind, .text = h.text};
    hooks.push_back(std::move(ops));
  }
  net_.nf->set_ruleset(std::move(hooks));
}

}  // namespace txp
