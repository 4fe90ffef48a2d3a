// SPDX-License-Identifier: Apache-2.0
// The stat report: what was counted, by stage, protocol counter, device, discipline and socket, as
// one JSON object whose keys are the command line's contract (docs/stat.md), and in the forms of
// the tools that people know.
#pragma once

#include <array>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace txp {

class Net;

using Json = nlohmann::ordered_json;

// What `net` has counted; "source" is "txpath". Takes net.rtnl.
Json stat_report(Net& net);
// What the kernel counts in the calling thread's namespace, in the same form; "source" is "kernel".
// It counts no stages and no conservation: those are empty and null.
Result<Json> kernel_stat_report();

// Adds the counters of `other` to those of `sum`: several processes as one.
void add_report(Json& sum, const Json& other);

// The histogram in an "ns" of a report; empty when there is none.
class HistogramTotals;
HistogramTotals histogram_of(const Json& ns);

// The report as another tool would print it. Missing keys count as nothing.
enum class StatFormat : std::uint8_t { nstat, tc, ss, ethtool, prometheus };
inline constexpr std::array<std::string_view, 5> kStatFormats = {"nstat", "tc", "ss", "ethtool",
                                                                 "prometheus"};
std::optional<StatFormat> find_stat_format(std::string_view name);
std::string format_stat(const Json& report, StatFormat format);

// For Prometheus: its text exposition format, version 0.0.4. Names are node_exporter's where it has
// them; the label `source` says whose counters they are.
std::string prometheus_text(const Json& report);

// For people: stages, drops and conservation as a table.
std::string stat_table(const Json& report);

}  // namespace txp
