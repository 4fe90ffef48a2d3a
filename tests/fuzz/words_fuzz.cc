// SPDX-License-Identifier: Apache-2.0
// Words that people type: the question of `explain`, a device's driver and its faults, addresses.
// The first byte chooses the parser; the rest are its words, at blanks.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "drivers/fault.h"
#include "explain/flow_question.h"
#include "wire/ip4.h"

namespace {

std::vector<std::string> split(std::string_view text) {
  std::vector<std::string> words(1);
  for (const char c : text) {
    if (c == ' ' || c == '\n')
      words.emplace_back();
    else
      words.back() += c;
  }
  return words;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace txp;
  if (size == 0) return 0;
  const void* bytes = data + 1;
  const std::string_view text(static_cast<const char*>(bytes), size - 1);
  switch (data[0] % 4) {
    case 0: (void)parse_flow_question(split(text), PayloadWords::yes); break;
    case 1: (void)parse_flow_question(split(text), PayloadWords::no, FlowProto::tcp); break;
    case 2: (void)FaultOptions::parse(text); break;
    default:
      if (const auto ip = Ip4::parse(text); ip && Ip4::parse(ip->str()) != ip) std::abort();
      (void)MacAddr::parse(text);
      (void)parse_number(text, 0xffffffff);
  }
  return 0;
}
