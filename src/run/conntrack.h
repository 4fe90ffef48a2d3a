// SPDX-License-Identifier: Apache-2.0
// Whether connection tracking is on in the calling thread's network namespace. What goes out must
// then pass it, whatever the chains on the way out say: a rule for what comes in ("ct state
// established") lives by it.
#pragma once

namespace txp {

class Conntrack {
 public:
  // `changed`: the nf_tables ruleset may be another than at the last call.
  bool is_on(bool changed);
  // Whether a rule of nf_tables, wherever it stands, does more than to judge: it counts, limits,
  // logs, fills a set. As is_on() found the ruleset.
  bool keeps_accounts() const { return accounts_; }

 private:
  bool accounts_ = false;
  bool by_nft_ = false;
  bool looked_ = false;
};

}  // namespace txp
