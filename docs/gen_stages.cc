// SPDX-License-Identifier: Apache-2.0
// Writes docs/stages.md from the stage table: build/bin/gen_stages > docs/stages.md
#include <cstdio>

#include "path.h"

int main() {
  std::puts(
      "# The stages\n\n"
      "Made from `src/path.h` by `build/bin/gen_stages > docs/stages.md`; `./check` compares.\n"
      "*Was* is the name in kernel 4.11's drawings, which the commands accept as well.\n\n"
      "| # | stage | does | was | file | kernel twin |\n"
      "|---|---|---|---|---|---|");
  int row = 0;
  for (const txp::StageInfo& s : txp::kPath) {
    const bool renamed = s.seed != s.name;
    std::printf("| %d | `%.*s` | %.*s | %.*s | [src/%.*s](../src/%.*s) | `%.*s` |\n", ++row,
                static_cast<int>(s.name.size()), s.name.data(), static_cast<int>(s.does.size()),
                s.does.data(), renamed ? static_cast<int>(s.seed.size()) : 0, s.seed.data(),
                static_cast<int>(s.file.size()), s.file.data(), static_cast<int>(s.file.size()),
                s.file.data(), static_cast<int>(s.kernel.size()), s.kernel.data());
  }
}
