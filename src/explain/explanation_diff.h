// SPDX-License-Identifier: Apache-2.0
// What differs between two explanations of one question: the stages, the deciding objects, the
// frames, the verdict.
#pragma once

#include <string>
#include <vector>

#include "explain/explain.h"

namespace txp {

// One thing that changed. "" on one side: it is only on the other.
struct ExplanationChange {
  std::string where;  // a stage's name, "frame 1", "verdict"
  std::string what;   // "by", "out", "result", "walked", "bytes", "verdict"
  std::string before;
  std::string after;
};

// In the path's order, the verdict last; empty when the two say the same.
std::vector<ExplanationChange> explanation_diff(const Explanation& before,
                                                const Explanation& after);

// The changes in diff(1)'s manner, or "nothing changes", and a newline.
std::string explanation_diff_text(const Explanation& before, const Explanation& after, bool colour);
// One object: flow, same, changes, and both verdicts.
std::string explanation_diff_json(const Explanation& before, const Explanation& after);

}  // namespace txp
