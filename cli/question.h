// SPDX-License-Identifier: Apache-2.0
// What explain and diff share: a question in words, its payload, and the answer's exit code.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "explain/explain.h"

namespace txp::cli {

struct Question {
  FlowQuestion flow;
  std::vector<std::uint8_t> payload;
};

// "udp to 10.0.0.2:53 len 9", with the payload read. Errors are sentences.
[[nodiscard]] Result<Question> question_of(std::span<const std::string> words);
// The words, for --help.
extern const std::string_view kWordsText;

// kOk, kNegative, kUnknownExit; kInternal after a message.
int exit_code(const Explanation& x);

}  // namespace txp::cli
