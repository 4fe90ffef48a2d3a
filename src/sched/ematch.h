// SPDX-License-Identifier: Apache-2.0
// Extended matches: a boolean expression over the packet. Kernel twin: net/sched/ematch.c,
// em_cmp.c, em_nbyte.c, em_u32.c.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

namespace txp {

struct Skb;

class EmatchTree {
 public:
  // TCA_EMATCH_TREE_HDR and _LIST. False: malformed, or a kind that is not implemented (meta, text,
  // ipset, canid ...).
  bool read(std::span<const std::uint8_t> tree);
  bool empty() const { return matches_.empty(); }
  bool match(const Skb& skb) const { return matches_.empty() || walk(skb, 0, 0); }

 private:
  enum class Kind : std::uint8_t { container, cmp, nbyte, u32 };
  enum class Then : std::uint8_t { end, also, either };  // TCF_EM_REL_*
  struct Ematch {
    Kind kind{};
    Then then{};
    bool inverted = false;
    std::uint16_t first = 0;  // of a container
    std::vector<std::uint8_t> data;
  };
  bool walk(const Skb& skb, std::size_t i, int depth) const;
  bool match_one(const Skb& skb, const Ematch& m, int depth) const;
  std::vector<Ematch> matches_;
};

}  // namespace txp
