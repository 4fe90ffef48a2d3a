// SPDX-License-Identifier: Apache-2.0
#include "kernel_diff/record.h"

#include <nlohmann/json.hpp>

namespace txp::kdiff {

using nlohmann::json;

std::string WorldRecord::to_json() const {
  json j;
  j["failed"] = failed;
  j["skipped"] = skipped;
  j["counters"] = counters;
  j["notes"] = notes;
  j["calls"] = json::array();
  for (const CallRecord& c : calls) j["calls"].push_back({{"step", c.step}, {"answer", c.answer}});
  j["frames"] = json::array();
  for (const FrameRecord& f : frames) {
    j["frames"].push_back({{"dev", f.dev},
                           {"raw", f.raw},
                           {"masked", f.masked},
                           {"call", f.call},
                           {"superframe", f.superframe},
                           {"first_segment", f.first_segment},
                           {"masks", f.masks}});
  }
  return j.dump(-1, ' ', false, json::error_handler_t::replace);
}

WorldRecord WorldRecord::from_json(const std::string& text) {
  WorldRecord r;
  const json j = json::parse(text, nullptr, false);
  if (j.is_discarded()) {
    r.failed = "the world's process ended before it could report";
    return r;
  }
  j.at("failed").get_to(r.failed);
  j.at("skipped").get_to(r.skipped);
  j.at("counters").get_to(r.counters);
  j.at("notes").get_to(r.notes);
  for (const json& c : j.at("calls"))
    r.calls.push_back({c.at("step").get<std::size_t>(), c.at("answer").get<std::string>()});
  for (const json& f : j.at("frames")) {
    r.frames.push_back({f.at("dev").get<std::string>(), f.at("raw").get<Bytes>(),
                        f.at("masked").get<Bytes>(), f.at("call").get<std::size_t>(),
                        f.at("superframe").get<std::size_t>(), f.at("first_segment").get<bool>(),
                        f.at("masks").get<std::vector<std::string>>()});
  }
  return r;
}

}  // namespace txp::kdiff
