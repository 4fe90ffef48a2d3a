// SPDX-License-Identifier: Apache-2.0
// Prediction and observation side by side, stage by stage.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "explain/explain.h"
#include "observe/stat.h"
#include "prove/observe.h"

namespace txp {

struct ProofRow {
  Stage stage{};
  std::string predicted;         // "": the prediction does not come here
  std::string observed;          // "": nothing tells of it
  std::optional<bool> agrees{};  // nothing: there is nothing to compare
};

struct Proof {
  Explanation predicted;
  Observation observed;
  std::vector<ProofRow> rows;     // in the order of the path
  std::vector<ReportFrame> seen;  // the kernel's frames, masked as the predicted ones
  std::optional<bool> errno_agrees{};
  std::optional<bool> frames_agree{};
  std::string first_difference;  // where and what; "": none
  bool unknown = false;          // the prediction is unknown: nothing can be proved
  bool agrees() const { return !unknown && first_difference.empty(); }
};

Proof compare(Explanation predicted, Observation observed);

Json proof_json(const Proof& p);
std::string proof_text(const Proof& p);

}  // namespace txp
