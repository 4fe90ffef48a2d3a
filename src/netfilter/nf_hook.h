// SPDX-License-Identifier: Apache-2.0
// Netfilter hook points and registration. Kernel twin: net/netfilter/core.c.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "base/rcu.h"
#include "base/result.h"
#include "netfilter/nf_conntrack.h"
#include "observe/trace.h"
#include "skb/skb.h"

namespace txp {

struct NftBaseChain;
struct NftProgram;

enum class NfHook : std::uint8_t { local_out, post_routing };
inline constexpr std::size_t kNfHookCount = 2;

enum class NfVerdict : std::uint8_t { accept, drop, unknown };

// The engine's own hooks, registered while a ruleset needs them: nf_conntrack_in(),
// nf_nat_inet_fn(), nf_confirm().
enum class NfBuiltin : std::uint8_t { none, conntrack, nat, confirm };

// One base chain, or a hook that code registered. Hooks run in order of priority; of equal ones the
// younger first.
struct NfHookOps {
  NfHook hook = NfHook::local_out;
  int priority = 0;    // NF_IP_PRI_*
  NamedObject object;  // for the trace: kind "nft-chain", family, table, chain
  // One of these. None: the hook cannot be evaluated, and every packet that comes here is
  // unknown. A function whose verdict follows from the flow alone says so to the thread's
  // PlanRecorder (vouch()); otherwise all packets of the flow come here.
  std::function<NfVerdict(Net&, Skb&)> function{};
  const NftBaseChain* chain = nullptr;                  // of `program`
  std::shared_ptr<const NftProgram> program = nullptr;  // keeps the chains alive
  NfBuiltin builtin = NfBuiltin::none;
  std::vector<const NftBaseChain*> nat_chains{};  // of NfBuiltin::nat, by priority
  bool ipv4 = true;                               // the families whose packets it sees
  bool ipv6 = true;
  bool of_ruleset = false;  // came with set_ruleset()
};

// The hooks of a Net. Readers inside an RcuReader; writers with net.rtnl held.
class NfHooks {
 public:
  explicit NfHooks(Net& net) : net_(net) {}
  ~NfHooks();
  // nf_register_net_hook().
  void add(NfHookOps ops);
  // Replaces the hooks of the last set_ruleset() (the mirror's) by `chains`.
  void set_ruleset(std::vector<NfHookOps> chains,
                   std::shared_ptr<const NftProgram> program = nullptr);
  // The nf_tables ruleset in force, whose chains the hooks run; null: none. rtnl held.
  const std::shared_ptr<const NftProgram>& program() const { return program_; }
  const std::vector<NfHookOps>* at(NfHook hook, bool ipv6 = false) const {  // null: none
    return lists_[static_cast<std::size_t>(hook) + (ipv6 ? kNfHookCount : 0)].get();
  }
  // Whether what the hooks do to a packet rests on its flow alone (addresses, ports, mark, socket,
  // devices), so that a flow's second packet meets the same.
  bool flow_only(NfHook hook) const;

  // Whether rules may roll dice (numgen, meta random, meta cpu). A report says unknown instead.
  bool chance = true;
  // Whether the ruleset has chains of family bridge where this host's frames go out.
  std::atomic<bool> bridge_chains{false};
  NfConntrack conntrack;

 private:
  void publish(std::vector<NfHookOps> all);
  Net& net_;
  std::vector<NfHookOps> all_;
  std::shared_ptr<const NftProgram> program_;
  RcuPtr<const std::vector<NfHookOps>> lists_[2 * kNfHookCount];  // IPv4's, then IPv6's
};

// The chains of family netdev on a device's egress, by priority.
struct NfEgress {
  std::vector<const NftBaseChain*> chains;
  std::shared_ptr<const NftProgram> program;
};

// nf_hook_egress(): runs them; the packet comes back when all accepted (its data at the link
// header). Otherwise it is gone: a drop is NET_XMIT_DROP.
SkbPtr nf_hook_egress(Net& net, SkbPtr skb, NetDevice& dev, TxResult& result);

// nf_hook(): runs the hooks. True: all accepted, the packet goes on; otherwise it is gone and
// `result` says how (drop: EPERM).
[[nodiscard]] bool nf_hook(Net& net, NfHook hook, SkbPtr& skb, TxResult& result);

}  // namespace txp
