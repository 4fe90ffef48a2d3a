// SPDX-License-Identifier: Apache-2.0
// The namespace's rulesets as hooks of the Net: nf_tables' chains compiled, others unknown.
#include <algorithm>
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

// nf_ct_netns_get() and nf_nat_register_fn(): where the kernel hangs connection tracking, and the
// translation that asks the chains of type nat.
void add_conntrack(std::vector<NfHookOps>& hooks, const std::shared_ptr<const NftProgram>& program,
                   std::uint8_t family) {
  struct Place {
    NfHook hook;
    int priority;
    NfBuiltin builtin;
    std::string_view words;
  };
  static constexpr auto kPlaces = std::to_array<Place>(
      {{NfHook::local_out, -200, NfBuiltin::conntrack, "connection tracking"},
       {NfHook::local_out, -100, NfBuiltin::nat, "destination translation"},
       {NfHook::post_routing, 100, NfBuiltin::nat, "source translation"},
       {NfHook::post_routing, 0x7fffffff, NfBuiltin::confirm, "connection tracking"}});
  for (const Place& p : kPlaces) {
    NfHookOps ops;
    ops.hook = p.hook;
    ops.priority = p.priority;
    ops.object = {.kind = "conntrack", .text = std::string(p.words)};
    ops.builtin = p.builtin;
    ops.ipv4 = family == NFPROTO_IPV4;
    ops.ipv6 = family == NFPROTO_IPV6;
    ops.program = program;
    const std::uint32_t hooknum =
        p.hook == NfHook::local_out ? NF_INET_LOCAL_OUT : NF_INET_POST_ROUTING;
    if (p.builtin == NfBuiltin::nat)
      for (const std::unique_ptr<NftBaseChain>& base : program->base_chains)
        if (base->spec.type == "nat" && base->spec.hooknum == hooknum &&
            (base->spec.family == family || base->spec.family == NFPROTO_INET))
          ops.nat_chains.push_back(base.get());
    std::ranges::stable_sort(ops.nat_chains, {},
                             [](const NftBaseChain* c) { return c->spec.priority; });
    hooks.push_back(std::move(ops));
  }
}

}  // namespace

void Mirror::commit_egress(std::vector<const NftBaseChain*> chains,
                           const std::shared_ptr<const NftProgram>& program) {
  std::ranges::stable_sort(chains, {}, [](const NftBaseChain* c) { return c->spec.priority; });
  for (NetDevice* dev : net_.dev->all()) {
    auto egress = std::make_unique<NfEgress>();
    for (const NftBaseChain* c : chains)
      if (hangs_on(c->spec, *dev)) egress->chains.push_back(c);
    egress->program = program;
    const bool none = egress->chains.empty();
    if (none && dev->nf_egress.get() == nullptr) continue;
    net_.retired.retire(dev->nf_egress.set(none ? nullptr : egress.release()));
  }
}

void Mirror::commit_ruleset() {
  for (NftChain& c : nft_.chains) c.text = hook_text(c);
  // Null only before the first: state moves from program to program.
  const std::shared_ptr<const NftProgram> old = net_.nf->program();
  const std::shared_ptr<const NftProgram> program = nft_compile(net_, nft_, old.get());
  std::vector<NfHookOps> hooks;
  std::vector<const NftBaseChain*> egress;
  constexpr std::uint32_t kBrLocalOut = 3;  // NF_BR_LOCAL_OUT, NF_BR_POST_ROUTING
  constexpr std::uint32_t kBrPostRouting = 4;
  bool bridge_chains = false;
  for (const std::unique_ptr<NftBaseChain>& base : program->base_chains) {
    const NftChain& c = base->spec;
    if (c.family == NFPROTO_NETDEV) {
      if (c.hooknum == kNetdevEgress) egress.push_back(base.get());
      continue;
    }
    if (c.family == NFPROTO_BRIDGE)
      bridge_chains |= c.hooknum == kBrLocalOut || c.hooknum == kBrPostRouting;
    if (c.family != NFPROTO_IPV4 && c.family != NFPROTO_INET && c.family != NFPROTO_IPV6) continue;
    NfHookOps ops;
    ops.ipv4 = c.family != NFPROTO_IPV6;
    ops.ipv6 = c.family != NFPROTO_IPV4;
    if (c.hooknum == NF_INET_LOCAL_OUT)
      ops.hook = NfHook::local_out;
    else if (c.hooknum == NF_INET_POST_ROUTING)
      ops.hook = NfHook::post_routing;
    else
      continue;
    // Those are asked by the nat hooks; never, where nothing tracks connections.
    if (c.type == "nat") continue;
    ops.priority = c.priority;
    ops.object = base->object;
    ops.chain = base.get();
    ops.program = program;
    hooks.push_back(std::move(ops));
  }
  if (program->tracks_ipv4) add_conntrack(hooks, program, NFPROTO_IPV4);
  if (program->tracks_ipv6) add_conntrack(hooks, program, NFPROTO_IPV6);
  for (const ForeignHook& h : foreign_hooks_) {
    NfHookOps ops;
    ops.hook = h.hook;
    ops.priority = h.priority;
    ops.object = {.kind = h.kind, .text = h.text};
    ops.ipv4 = h.kind != "ip6tables-legacy";
    ops.ipv6 = h.kind != "iptables-legacy";
    hooks.push_back(std::move(ops));
  }
  commit_egress(std::move(egress), program);
  net_.nf->bridge_chains.store(bridge_chains, std::memory_order_relaxed);
  net_.nf->set_ruleset(std::move(hooks), program);
}

}  // namespace txp
