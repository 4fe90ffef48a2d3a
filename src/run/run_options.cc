// SPDX-License-Identifier: Apache-2.0
#include "run/run_options.h"

#include <nlohmann/json.hpp>

namespace txp {

std::string encode(const RunOptions& o) {
  const nlohmann::json j{
      {"device", o.device}, {"devices", o.devices}, {"async", o.doorbell == Doorbell::async},
      {"strict", o.strict}, {"bulk", o.bulk},       {"trace", o.trace},
      {"pcap", o.pcap},     {"segment", o.segment}};
  return j.dump(-1, ' ', true, nlohmann::json::error_handler_t::replace);
}

Result<RunOptions> decode_run_options(std::string_view text) {
  const auto bad = [] { return fail(std::string(kRunVariable) + ": not what txpath run sets"); };
  const auto j = nlohmann::json::parse(text, nullptr, false);
  if (!j.is_object()) return bad();
  try {
    RunOptions o;
    o.device = j.value("device", o.device);
    o.devices = j.value("devices", o.devices);
    o.doorbell = j.value("async", false) ? Doorbell::async : Doorbell::sync;
    o.strict = j.value("strict", o.strict);
    o.bulk = j.value("bulk", o.bulk);
    o.trace = j.value("trace", o.trace);
    o.pcap = j.value("pcap", o.pcap);
    o.segment = j.value("segment", o.segment);
    return o;
  } catch (const nlohmann::json::exception&) {
    return bad();
  }
}

}  // namespace txp
