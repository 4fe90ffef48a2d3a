// SPDX-License-Identifier: Apache-2.0
// Reading a stat report: a report of another version may lack what this one has, which counts as
// nothing.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>

#include "observe/stat.h"

namespace txp {

inline const Json& member(const Json& j, const char* key) {
  static const Json none = Json::object();
  const auto it = j.is_object() ? j.find(key) : j.end();
  return it != j.end() && it->is_structured() ? *it : none;
}

inline std::uint64_t number(const Json& j, const char* key) {
  const auto it = j.is_object() ? j.find(key) : j.end();
  return it != j.end() && it->is_number_unsigned() ? it->get<std::uint64_t>() : 0;
}

inline std::string text(const Json& j, const char* key) {
  const auto it = j.is_object() ? j.find(key) : j.end();
  return it != j.end() && it->is_string() ? it->get<std::string>() : std::string();
}

}  // namespace txp
