// SPDX-License-Identifier: Apache-2.0
// A record: what befell one datagram, or several in the same way, as it is kept in a store
// (record_store.h) and sent to a fleet's database (forward.h). Plain values; kRecordColumns is the
// one list that the tables, the JSON and the query's words are made from.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "base/clock.h"
#include "observe/stat.h"

namespace txp {

// What a record tells.
namespace record_kind {
inline constexpr std::string_view kDrop = "drop";        // packets that ended on the path
inline constexpr std::string_view kFailure = "failure";  // calls that failed
inline constexpr std::string_view kTrace = "trace";      // a datagram's story, whatever its end
}  // namespace record_kind
inline constexpr std::array kRecordKinds = {record_kind::kDrop, record_kind::kFailure,
                                            record_kind::kTrace};
// Who saw it.
namespace record_source {
inline constexpr std::string_view kTxpath = "txpath";  // the engine
inline constexpr std::string_view kKernel = "kernel";  // the kernel's tracepoints
}  // namespace record_source
inline constexpr std::array kRecordSources = {record_source::kTxpath, record_source::kKernel};

// Text that is not known is empty, and so are numbers that are zero where zero means nothing.
struct Record {
  std::int64_t time = 0;  // ns since the epoch, of the first
  std::string host;
  std::int64_t netns = 0;  // inode of the network namespace
  std::int64_t pid = 0;
  std::string command;
  std::string source;  // kRecordSources
  std::string kind;    // kRecordKinds
  std::string stage;   // where it ended, by the stage's name
  std::string reason;  // the drop reason's name
  std::string error;   // the call's errno by name
  std::string proto;
  std::string src;
  std::int64_t sport = 0;
  std::string dst;
  std::int64_t dport = 0;
  std::string dev;
  std::int64_t len = 0;    // bytes, of one
  std::int64_t count = 1;  // packets, or calls
  std::string object;      // that decided, in its tool's words; the kernel's: the freeing code
  std::string change;      // the smallest that would let it pass
  std::string trace;       // JSON: an array of {"ns", "stage", "len", "result", "reason", "by"}
};

struct RecordColumn {
  std::string_view name;  // in tables and JSON
  std::string_view word;  // that `txpath query` takes for it; "": none, or one of its own
  std::variant<std::int64_t Record::*, std::string Record::*> member;
  bool zero_is_nothing = false;
  constexpr bool text() const { return member.index() == 1; }
};

inline constexpr std::array kRecordColumns = {
    RecordColumn{"time", "", &Record::time},
    RecordColumn{"host", "host", &Record::host},
    RecordColumn{"netns", "netns", &Record::netns, true},
    RecordColumn{"pid", "pid", &Record::pid, true},
    RecordColumn{"command", "command", &Record::command},
    RecordColumn{"source", "source", &Record::source},
    RecordColumn{"kind", "kind", &Record::kind},
    RecordColumn{"stage", "stage", &Record::stage},
    RecordColumn{"reason", "reason", &Record::reason},
    RecordColumn{"errno", "errno", &Record::error},
    RecordColumn{"proto", "proto", &Record::proto},
    RecordColumn{"src", "", &Record::src},
    RecordColumn{"sport", "", &Record::sport, true},
    RecordColumn{"dst", "", &Record::dst},
    RecordColumn{"dport", "", &Record::dport, true},
    RecordColumn{"dev", "dev", &Record::dev},
    RecordColumn{"len", "", &Record::len},
    RecordColumn{"count", "", &Record::count},
    RecordColumn{"object", "", &Record::object},
    RecordColumn{"change", "", &Record::change},
    RecordColumn{"trace", "", &Record::trace},
};

struct StoredRecord {
  std::int64_t id = 0;  // in its store, from 1, without gaps
  Record record;
};

// One object: "id" and the columns; what is not known is null; "trace" is an array.
Json record_json(const StoredRecord& r);

// "udp 10.77.0.1:4000 > 10.77.0.2:53"; what is not known is *.
std::string record_flow(const Record& r);

// For people: a line a record under a line of headings; and everything about one.
std::string record_heading();
std::string record_line(const StoredRecord& r);
std::string record_story(const StoredRecord& r);

// "2026-11-25 10:30:12.123456789", in local time.
std::string local_time(std::int64_t ns);

}  // namespace txp
