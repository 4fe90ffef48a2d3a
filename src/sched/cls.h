// SPDX-License-Identifier: Apache-2.0
// Filters of a discipline or of clsact, and their actions. Kernel twins: net/sched/cls_api.c
// (struct tcf_proto), net/sched/act_api.c (struct tc_action).
// Adding a kind: a file here, a line in cls_api.cc, a scenario.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "dev/link.h"

namespace txp {

class Net;
struct Skb;

// TC_ACT_*, and ours for an action or a filter that the engine does not run.
enum class TcAct : std::int8_t {
  unspec = -1,
  ok,
  reclassify,
  shot,
  pipe,
  stolen,
  queued,
  repeat,
  redirect,
  trap,
  jump,        // TcfResult::ext actions on
  goto_chain,  // TcfResult::ext
  unknown,     // TcfResult::what
};

struct TcfResult {
  TcAct verdict = TcAct::unspec;
  std::uint32_t classid = 0;
  std::uint32_t ext = 0;
  const std::string* filter = nullptr;  // the one that matched, in tc's words
  std::string_view what;                // the unknown one
};

// One action of a filter. act() runs under the discipline's lock, or, on clsact, under its own.
class TcAction {
 public:
  virtual ~TcAction() = default;
  virtual TcAct act(Net& net, Skb& skb, TcfResult& res) = 0;
};

// tcf_exts: what a filter does with a packet that it matched.
class TcfExts {
 public:
  // `actions` is the kind's TCA_*_ACT. An action that cannot be read or is not implemented becomes
  // one that answers unknown.
  void add(std::span<const std::uint8_t> actions);
  void add_police(std::span<const std::uint8_t> police);  // TCA_*_POLICE
  TcAct exec(Net& net, Skb& skb, TcfResult& res) const;   // tcf_action_exec()

 private:
  std::vector<std::unique_ptr<TcAction>> actions_;
};

// The filters of one kind at one priority (struct tcf_proto).
class TcfProto {
 public:
  virtual ~TcfProto() = default;
  virtual TcAct classify(Net& net, Skb& skb, TcfResult& res) const = 0;
};

// Every chain of a block, in the order in which they are asked.
class TcfChain {
 public:
  TcfChain() = default;
  explicit TcfChain(std::vector<FilterSpec> filters);

  bool empty() const { return protos_.empty(); }
  // tcf_classify(). unspec: nothing matched.
  TcAct classify(Net& net, Skb& skb, TcfResult& res) const;

 private:
  struct Entry {
    std::uint32_t chain;
    std::uint16_t prio;
    std::uint16_t protocol;
    std::unique_ptr<TcfProto> proto;
  };
  std::vector<Entry> protos_;
  std::unique_ptr<const std::vector<FilterSpec>> specs_;  // the protos refer to these
};

using FilterSpecs = std::span<const FilterSpec>;
// Null: options that cannot be read.
std::unique_ptr<TcfProto> make_u32(FilterSpecs specs);
std::unique_ptr<TcfProto> make_fw(FilterSpecs specs);
std::unique_ptr<TcfProto> make_matchall(FilterSpecs specs);
std::unique_ptr<TcfProto> make_basic(FilterSpecs specs);
std::unique_ptr<TcfProto> make_flower(FilterSpecs specs);

// `to.size()` bytes of the packet from `offset` (of skb->data, which is the frame's start here).
// False when the packet does not have them, or when they lie before the frame.
bool skb_load(const Skb& skb, std::int64_t offset, std::span<std::uint8_t> to);

}  // namespace txp
