// SPDX-License-Identifier: Apache-2.0
// The kinds of action. Adding one: a file act_NAME.cc, a line here and in act_api.cc.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>

#include "sched/cls.h"

namespace txp {

// TC_ACT_* as netlink carries it: a verdict and, for jump and goto_chain, its number.
struct TcVerdict {
  TcAct act = TcAct::unspec;
  std::uint32_t ext = 0;
  TcAct give(TcfResult& res) const {
    if (act == TcAct::jump || act == TcAct::goto_chain) res.ext = ext;
    return act;
  }
};
std::optional<TcVerdict> tc_verdict(std::int32_t action);

// Null: options that cannot be read. Each is the kind's TCA_ACT_OPTIONS.
std::unique_ptr<TcAction> make_gact(std::span<const std::uint8_t> options);
std::unique_ptr<TcAction> make_police(std::span<const std::uint8_t> options);
std::unique_ptr<TcAction> make_mirred(std::span<const std::uint8_t> options);
std::unique_ptr<TcAction> make_skbedit(std::span<const std::uint8_t> options);
std::unique_ptr<TcAction> make_pedit(std::span<const std::uint8_t> options);
std::unique_ptr<TcAction> make_vlan(std::span<const std::uint8_t> options);

}  // namespace txp
