// SPDX-License-Identifier: Apache-2.0
// Scenarios of prove: any text is cases or one error, and its results are well-formed XML.
#include <cstdlib>

#include "prove/scenario.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto cases = txp::parse_proof_scenario(std::string(data, data + size));
  if (!cases) {
    if (cases.error().what.empty()) std::abort();
    return 0;
  }
  std::vector<txp::CaseResult> results;
  for (const txp::ProofCase& c : *cases) {
    txp::CaseResult r;
    r.of = &c;
    r.failure = txp::proof_failure(c, txp::Proof{});
    r.detail = c.text;
    results.push_back(std::move(r));
  }
  const std::string xml = txp::junit_xml("fuzz", results);
  if (xml.find("<testsuite ") == std::string::npos) std::abort();
  return 0;
}
