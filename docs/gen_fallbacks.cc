// SPDX-License-Identifier: Apache-2.0
// Writes docs/fallbacks.md from the reasons of `txpath run`:
// build/bin/gen_fallbacks > docs/fallbacks.md
#include <cstdio>

#include "run/fallback.h"

int main() {
  std::puts(
      "# Why the kernel sent it\n\n"
      "The keys of `fallback` in `txpath run`'s report. Made from `src/run/fallback.h` by\n"
      "`build/bin/gen_fallbacks > docs/fallbacks.md`; a test compares.\n\n"
      "| reason | in words |\n"
      "|---|---|");
  for (const txp::FallbackInfo& f : txp::kFallbacks)
    if (f.reason != txp::Fallback::none)
      std::printf("| `%.*s` | %.*s |\n", static_cast<int>(f.name.size()), f.name.data(),
                  static_cast<int>(f.text.size()), f.text.data());
}
