// SPDX-License-Identifier: Apache-2.0
// Takes records as they come and writes them to a store by a thread of its own: who hands one over
// never waits for the disk. Equal ones that wait together become one with a count.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include "base/result.h"
#include "records/record.h"
#include "records/record_store.h"

namespace txp {

// Thread safety: any. Begin it after signals are blocked or handled as the threads to come should:
// its own thread takes none.
class Recorder {
 public:
  static constexpr std::size_t kMostWaiting = 65536;               // records
  static constexpr std::size_t kMostBytes = std::size_t{1} << 26;  // their text
  static constexpr Nanos kGather = 200 * kMillisecond;             // before a batch is written

  // Errors: RecordStore::open()'s.
  [[nodiscard]] static Result<std::unique_ptr<Recorder>> open(const std::string& path,
                                                              std::size_t most = kMostWaiting);
  ~Recorder();
  Recorder(const Recorder&) = delete;
  Recorder& operator=(const Recorder&) = delete;

  // What it leaves empty is filled in: host, and for the engine's own time, netns, process. What
  // does not fit is lost, and counted.
  void put(Record record);
  // Records that whoever tells them to us has lost himself.
  void lose(std::int64_t records);
  // Writes what waits, and ends. The first error of all writing. A second call does nothing.
  [[nodiscard]] Result<void> close();
  std::int64_t lost() const;

 private:
  Recorder(std::unique_ptr<RecordStore> store, std::size_t most);
  void write();

  const std::unique_ptr<RecordStore> store_;  // the thread's
  const std::size_t most_;
  Record here_;  // what records of this process have in common
  mutable std::mutex mutex_;
  std::condition_variable wake_;
  std::vector<Record> waiting_;
  std::unordered_map<std::string, std::size_t> equal_;  // place in waiting_
  std::size_t bytes_ = 0;
  std::int64_t lost_ = 0;
  std::int64_t lost_told_ = 0;  // of them the store knows
  bool closing_ = false;
  Result<void> error_;
  std::thread thread_;
};

}  // namespace txp
