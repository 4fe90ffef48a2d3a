// SPDX-License-Identifier: Apache-2.0
// A scenario file that nobody has checked, and what shrinking and the conformance page do with it:
// a scenario that can be read can be read again from its own text.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "kernel_diff/scenario.h"
#include "kernel_diff/shrink.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace txp::kdiff;
  const void* bytes = data;
  const std::string_view text(static_cast<const char*>(bytes), size);
  const auto scenario = Scenario::parse("input", text);
  if (!scenario) return 0;
  const auto again = Scenario::parse("input", scenario->source);
  if (!again || again->steps.size() != scenario->steps.size()) std::abort();
  for (const Step& s : scenario->steps) (void)s.value.resolve();
  const auto readable = [](const std::string& t) { return Scenario::parse("", t).has_value(); };
  if (!readable(shrink(scenario->source, readable, 50))) std::abort();
  return 0;
}
