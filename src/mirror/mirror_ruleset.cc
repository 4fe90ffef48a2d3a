// SPDX-License-Identifier: Apache-2.0
// The namespace's rulesets as hooks of the Net: nf_tables' chains compiled, others unknown.
#include <array>

#include <fmt/format.h>
#include <linux/netfilter.h>

#include "dev/netdevice.h"
#include "mirror/mirror.h"
#include "netfilter/nf_hook.h"
#include "netfilter/nft_program.h"

namespace txp {

namespace {

constexpr std::uint32_t kNetdevEgress = 1;  // NF_NETDEV_EGRESS

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

bool hangs_on(const NftChain& c, const NetDevice& dev) {
  for (const std::string& name : c.devs)
    if (name == dev.name() ||
        (name.ends_with('*') &&
         dev.name().starts_with(std::string_view(name).substr(0, name.size() - 1))))
      return true;
  return false;
}

}  // namespace

void Mirror::commit_ruleset() {
  for (auto& [ifindex, device] : devices_) {
    device.filters_changed |= !device.nft_egress.empty();
    device.nft_egress.clear();
  }
  for (NftChain& c : nft_.chains) c.text = hook_text(c);
  // Null only before the first: state moves from program to program.
  const std::shared_ptr<const NftProgram> old = net_.nf->program();
  const std::shared_ptr<const NftProgram> program = nft_compile(net_, nft_, old.get());
  std::vector<NfHookOps> hooks;
  for (const std::unique_ptr<NftBaseChain>& base : program->base_chains) {
    const NftChain& c = base->spec;
    if (c.family == NFPROTO_NETDEV) {
      if (c.hooknum != kNetdevEgress || (base->code->first == nullptr && c.policy == NF_ACCEPT))
        continue;
      const std::string text = fmt::format("chain netdev {} {} {{ {} }}", c.table, c.name, c.text);
      for (const NetDevice* dev : net_.dev->all()) {
        if (!hangs_on(c, *dev)) continue;
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
    ops.object = base->object;
    ops.chain = base.get();
    ops.program = program;
    hooks.push_back(std::move(ops));
  }
  for (const ForeignHook& h : foreign_hooks_) {
    NfHookOps ops;
    ops.hook = h.hook;
    ops.priority = h.priority;
    ops.object = {.kind = h.kind, .text = h.text};
    hooks.push_back(std::move(ops));
  }
  net_.nf->set_ruleset(std::move(hooks), program);
}

}  // namespace txp
