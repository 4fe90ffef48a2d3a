// SPDX-License-Identifier: Apache-2.0
// Traces of many packets: one call in N leaves one, which is written to every sink when its packets
// have ended. Net::trace_log names the log of a Net; without one a send pays a branch.
#pragma once

#include <cstdint>
#include <deque>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "explain/explain.h"
#include "observe/stat.h"
#include "observe/trace.h"

namespace txp {

struct Cpu;
struct MsgHdr;
class Net;
class PacketFilter;
class Sock;

struct TraceFlow {
  Ip4 src;
  std::uint16_t sport = 0;
  Ip4 dst;
  std::uint16_t dport = 0;
};

// A packet's coming to a stage, in words.
struct TraceEvent {
  Stage stage{};
  Nanos since = 0;  // ns since the call began
  std::size_t len = 0;
  std::string result;
  std::optional<DropReason> reason;
  std::vector<ReportObject> by;
  Fields out;
  TraceBytes bytes;  // as it came there; empty above ip_send_skb
};

// What one call sent, from its beginning to the end of its last packet.
struct TracedPacket {
  std::uint64_t number = 0;  // of the trace, from 1
  Nanos wall = 0;            // the call's begin, ns since the epoch
  TraceFlow flow;
  int error = 0;  // the call's errno; 0: it succeeded
  std::vector<TraceEvent> events;
  bool lost() const;  // the call failed, or a packet was dropped
};

// Where traces go. Thread safety: one thread at a time.
class TraceSink {
 public:
  virtual ~TraceSink() = default;
  virtual void write(const TracedPacket& packet) = 0;
  // The first error of all writing.
  [[nodiscard]] virtual Result<void> close() = 0;
  virtual bool wants_bytes() const { return false; }  // whole packets, not their headers alone
};

// A file by the end of its name: .jsonl is JSON, an object an event; .json is for Perfetto and
// chrome://tracing; .pcapng is for Wireshark; any other has a line an event. The file appears whole
// when it is closed.
[[nodiscard]] Result<std::unique_ptr<TraceSink>> make_trace_sink(const std::string& path);
// The story in words, its flow as the last packet shows it; the caller fills in number and time. A
// trace that kept no bytes (Trace::keep_bytes(kFlowBytes)) shows no flow. Takes an RcuReader.
TracedPacket traced_packet(const Net& net, const Trace& trace);
inline constexpr std::size_t kFlowBytes = 128;
// The forms, each into what `write` takes.
std::string trace_text(const TracedPacket& packet);
std::string trace_json_lines(const TracedPacket& packet);

struct TraceSelection {
  std::uint64_t one_in = 1;
  std::string filter{};    // pcap-filter; "": every packet
  bool drop_only = false;  // only what was dropped or refused
};

// Thread safety: any. Lives longer than its Net, as packets that wait there may tell its traces;
// close() while the Net is there.
class TraceLog {
 public:
  // Errors: the filter's.
  [[nodiscard]] static Result<std::unique_ptr<TraceLog>> open(Net& net, TraceSelection selection);
  ~TraceLog();
  TraceLog(const TraceLog&) = delete;
  TraceLog& operator=(const TraceLog&) = delete;

  void add(std::unique_ptr<TraceSink> sink);
  // Before a call: its trace, or null when it is not its turn.
  Trace* begin(Cpu& cpu);
  // After it.
  void end(Trace& trace, const Sock& sk, const MsgHdr& msg, int error);
  // Writes the traces whose packets have ended since.
  void emit();
  // Writes all, also those that still wait, and begins no more. Without it the files do not appear.
  [[nodiscard]] Result<void> close();

  // The last ones, oldest first, as the stat report has them.
  Json recent() const;
  std::uint64_t written() const;

 private:
  struct Entry;
  TraceLog(Net& net, TraceSelection selection);
  void write(const Entry& entry);

  Net& net_;
  const TraceSelection selection_;
  std::unique_ptr<PacketFilter> filter_;
  mutable std::mutex mutex_;
  std::vector<std::unique_ptr<TraceSink>> sinks_;
  bool whole_ = false;  // some sink wants whole packets
  std::list<Entry> entries_;
  std::deque<TracedPacket> recent_;
  std::uint64_t begun_ = 0;
  std::uint64_t written_ = 0;
  bool closed_ = false;
};

}  // namespace txp
