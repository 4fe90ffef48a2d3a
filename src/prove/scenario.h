// SPDX-License-Identifier: Apache-2.0
// A list of what this host must do, in a text file: one line each,
//
//   must send [by DEV]: QUESTION
//   must drop [REASON] [at STAGE]: QUESTION
//   must fail [ERRNO]: QUESTION
//   must queue: QUESTION
//   must agree: QUESTION
//
// QUESTION in the words of explain ("udp to 10.0.0.2:53 len 100"); # begins a comment. Each is
// proved, and what the kernel did must be what the line says.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "explain/flow_question.h"
#include "prove/compare.h"

namespace txp {

struct ProofCase {
  enum class Must : std::uint8_t { send, drop, fail, queue, agree };
  unsigned line = 0;
  std::string text;  // the line itself
  Must must = Must::agree;
  std::string dev;     // by
  std::string reason;  // drop
  std::optional<Stage> stage;
  std::string error;                  // fail
  std::vector<std::string> question;  // its words, which are right
};

// Errors name the line.
[[nodiscard]] Result<std::vector<ProofCase>> parse_proof_scenario(const std::string& text);

// Why the proof does not show what the line says; "": it does.
std::string proof_failure(const ProofCase& c, const Proof& p);

struct CaseResult {
  const ProofCase* of = nullptr;
  std::string failure;  // "": passed
  std::string detail;   // the proof, for people
  bool unknown = false;
  double seconds = 0;
};
// A JUnit XML document: one test suite, a test case a line; an unknown prediction is an error.
std::string junit_xml(const std::string& name, const std::vector<CaseResult>& results);

}  // namespace txp
