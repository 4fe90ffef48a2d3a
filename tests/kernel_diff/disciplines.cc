// SPDX-License-Identifier: Apache-2.0
// `tc -s qdisc` and `tc -s class` of one world, out of its stat report: the root's figures as
// "va.htb.packets", those below it as "va.pfifo 10:.packets" and "va.class 1:10.packets". What has
// no handle the kernel does not show.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "kernel_diff/world.h"

namespace txp::kdiff {

void count_disciplines(const nlohmann::ordered_json& report, Counters& to) {
  const auto add = [&to](const std::string& prefix, const nlohmann::ordered_json& j) {
    for (const char* name : {"bytes", "packets", "drops", "overlimits", "requeues", "backlog_bytes",
                             "backlog_packets"})
      to[prefix + name] = j.value(name, std::int64_t{0});
    for (const char* name : {"lended", "borrowed"})
      if (j.contains("xstats") && j["xstats"].contains(name))
        to[prefix + name] = j["xstats"].value(name, std::int64_t{0});
  };
  for (const auto& [dev, d] : report["devices"].items()) {
    for (const auto& q : d["qdiscs"]) {
      const std::string kind = q.value("kind", "");
      const std::string handle = q.value("handle", "");
      if (q.value("parent", "") == "root") {
        if (kind != "noqueue") add(fmt::format("{}.{}.", dev, kind), q);
      } else if (handle != "0:" && q.value("parent", "") != "ingress") {
        add(fmt::format("{}.{} {}.", dev, kind, handle), q);
      }
    }
    for (const auto& c : d["classes"])
      add(fmt::format("{}.class {}.", dev, c.value("classid", "")), c);
  }
}

}  // namespace txp::kdiff
