// SPDX-License-Identifier: Apache-2.0
// What the engine tells, as records.
#pragma once

#include <memory>

#include "explain/failure_log.h"
#include "observe/trace_log.h"
#include "records/recorder.h"

namespace txp {

// `times` more of a failure, or of a drop that followed a call that succeeded.
Record record_of(const Failure& failure, std::uint64_t times);
Record record_of(const TracedPacket& packet);

// Every trace becomes a record; `recorder` outlives it.
std::unique_ptr<TraceSink> make_record_sink(Recorder& recorder);

}  // namespace txp
