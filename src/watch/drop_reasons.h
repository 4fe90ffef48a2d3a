// SPDX-License-Identifier: Apache-2.0
// The running kernel's drop reasons by number, from its BTF (enum skb_drop_reason).
#pragma once

#include <cstdint>
#include <map>
#include <string>

struct btf;

namespace txp {

class DropReasons {
 public:
  explicit DropReasons(const btf* kernel);
  // "NEIGH_FAILED"; "REASON_17" for one without a name. A subsystem's own reason has its number in
  // the upper half: "SUBSYSTEM_3_REASON_17".
  std::string name(std::uint32_t reason) const;

 private:
  std::map<std::uint32_t, std::string> names_;
};

}  // namespace txp
