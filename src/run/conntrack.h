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

 private:
  bool by_nft_ = false;
  bool looked_ = false;
};

}  // namespace txp
