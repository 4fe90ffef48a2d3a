// SPDX-License-Identifier: Apache-2.0
// What the processes of a `txpath run` tell of failed calls and drops, with its cause; and as
// records, where there is a store.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <utility>

#include "explain/failure_log.h"
#include "records/recorder.h"

namespace txp::cli {

class RunRecords {
 public:
  explicit RunRecords(Recorder* recorder);  // null: no store
  // A process's report, complete or as it is now; what was told before is known.
  void take(std::string_view report);
  // The calls that failed last, a line each.
  std::string failures() const;

 private:
  void put(Record record);
  // How much a counter of the process now described has grown.
  std::uint64_t grown(const std::string& counter, std::uint64_t now);

  Recorder* const recorder_;
  FailureLog log_;
  std::int64_t pid_ = 0;  // whose report is being taken
  std::string command_;
  std::map<std::pair<std::int64_t, std::string>, std::uint64_t> seen_;
};

}  // namespace txp::cli
