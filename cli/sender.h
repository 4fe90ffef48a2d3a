// SPDX-License-Identifier: Apache-2.0
// Sends datagrams through the engine in the namespace it mirrors: the work of `txpath send`.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/result.h"
#include "cli/payload_source.h"
#include "explain/failure_log.h"
#include "explain/flow_question.h"
#include "mirror/live.h"
#include "net.h"
#include "observe/latency.h"
#include "observe/stat.h"
#include "observe/stat_file.h"
#include "observe/trace_log.h"
#include "records/recorder.h"
#include "socket/sock.h"
#include "tap/pcapng_writer.h"

namespace txp::cli {

struct SendOptions {
  FlowQuestion question;                       // the socket's options and the destination
  std::map<std::string, std::string> devices;  // --device DEV=KIND
  std::optional<std::uint64_t> rate;           // datagrams a second
  std::uint64_t trace = 0;                     // traces one datagram in so many; 0: none
  std::vector<std::string> trace_to;           // files; none: standard output
  TraceSelection trace_selection;
  LatencyMode latency = LatencyMode::off;
  std::string pcap;
  std::string record;  // a store; "": none
  bool json = false;
};

// Why a run ended before its input did.
struct SendFailure {
  std::string what;  // one line
  bool unknown = false;
};

// Thread safety: one thread, which must already be in the namespace.
class Sender {
 public:
  explicit Sender(SendOptions options);
  ~Sender();
  Sender(const Sender&) = delete;
  Sender& operator=(const Sender&) = delete;

  // Mirrors the namespace, puts drivers behind its devices, opens the socket.
  [[nodiscard]] std::expected<void, SendFailure> open();
  const ImportReport& import_report() const { return live_->report(); }
  // Sends everything, then waits for what is queued, at most kDrain. A signal (stop()) ends it
  // early. Traces are printed as they happen.
  [[nodiscard]] std::expected<void, SendFailure> run(PayloadSource& source);
  // Writes the files. Errors: theirs.
  [[nodiscard]] Result<void> finish();

  Json report();  // stat's, and "send"
  bool conserved() const { return net_.totals().conserved(); }
  bool all_delivered() const;
  // "3 packets wait: 10.0.0.9 dev va lladdr ... INCOMPLETE"; "": nothing waits.
  std::string waiting() const;
  std::string summary() const;
  bool interrupted() const { return interrupted_; }

  static constexpr Nanos kDrain = 5 * kSecond;  // an unresolved neighbour fails after about 3

 private:
  struct KernelPort;
  [[nodiscard]] Result<void> attach_drivers();
  [[nodiscard]] Result<void> check_destination();
  [[nodiscard]] std::expected<void, SendFailure> open_socket();
  [[nodiscard]] std::expected<void, SendFailure> send_one(std::span<const std::uint8_t> payload);
  [[nodiscard]] Result<void> service(Nanos wait, int also_fd = -1);
  [[nodiscard]] Result<void> wait_for_neighbours();
  [[nodiscard]] Result<void> drain();
  void once_a_second(const PayloadSource* source);
  void note_drops();
  [[nodiscard]] Result<void> open_traces();

  SendOptions options_;
  std::unique_ptr<Recorder> recorder_;
  std::unique_ptr<TraceLog> traces_;  // outlives the packets that tell it
  FailureLog failures_;
  CounterTotals seen_;  // when failures_ was told last
  Net net_;
  std::unique_ptr<Live> live_;
  std::shared_ptr<PcapngWriter> capture_;
  std::set<int> attached_;  // ifindexes that have their driver
  std::unique_ptr<KernelPort> kernel_port_;
  Sock* sk_ = nullptr;
  StatFile stat_file_;
  bool patient_ = true;  // still worth waiting for neighbours before more is sent
  bool interrupted_ = false;
  std::uint64_t datagrams_ = 0;
  std::uint64_t bytes_ = 0;
  Nanos started_ = 0;
  Nanos ended_ = 0;
  Nanos published_ = 0;
  Nanos shown_ = 0;
  bool showing_ = false;
};

// Catches SIGINT and SIGTERM from now on; whether one came.
void catch_stop();
bool stopped();

}  // namespace txp::cli
