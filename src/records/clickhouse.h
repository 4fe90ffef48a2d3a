// SPDX-License-Identifier: Apache-2.0
// Sends a store's records to ClickHouse, each once, whatever of the two is stopped or killed
// meanwhile.
//
// A batch is one INSERT, which ClickHouse takes whole or not at all. How far it came is kept twice:
// in the store, and by the table itself, which is asked before the first batch and after each that
// did not end well: an answer that got lost would otherwise make doubles. What comes twice all the
// same (an INSERT that the server was still at when it was asked) the table's engine,
// ReplacingMergeTree by store and id, makes one.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "base/clock.h"
#include "base/result.h"
#include "records/record_store.h"

namespace txp {

// "http://[USER@]HOST[:PORT][/DATABASE]"; the password is never in it.
struct ClickHouseTarget {
  bool tls = false;
  std::string host;
  int port = 8123;
  std::string user, database = "default", table = "txpath_records";
  std::string password{};
  std::string text() const;  // names it in the store and to people
};
[[nodiscard]] Result<ClickHouseTarget> parse_clickhouse_target(const std::string& url);

// One question to the server: a query, and an INSERT's rows. An answer's text, or why not.
class ClickHouse {
 public:
  virtual ~ClickHouse() = default;
  struct Refusal {
    std::string what;
    bool final = false;  // the same question will fail again: a wrong password, no such database
  };
  using Answer = std::expected<std::string, Refusal>;
  virtual Answer ask(const std::string& query, const std::string& rows) = 0;
};
// Over HTTP; an answer is waited for 10 s.
std::unique_ptr<ClickHouse> make_clickhouse(const ClickHouseTarget& target);

// Thread safety: one thread, but for reading `stats`.
class Forwarder {
 public:
  static constexpr std::size_t kRows = 5000;  // a batch
  static constexpr std::size_t kBytes = std::size_t{8} << 20;
  static constexpr Nanos kFirstPause = kSecond / 4;  // doubled by each failure
  static constexpr Nanos kLongestPause = 30 * kSecond;

  Forwarder(RecordStore& store, ClickHouse& server, const ClickHouseTarget& target);

  enum class Step : std::uint8_t {
    sent,    // a batch; there may be more
    idle,    // it has all that there is
    failed,  // after pause() it is worth another try
    final,   // no other try will do
    store,   // the store itself fails
  };
  // One batch. After `failed` and what follows, why() is one sentence.
  Step step();
  const std::string& why() const { return why_; }
  Nanos pause() const { return pause_; }

  std::int64_t sent() const { return sent_; }      // records, by this Forwarder
  std::int64_t missed() const { return missed_; }  // gone from the store before they were sent

 private:
  [[nodiscard]] std::expected<void, Step> agree();
  Step fail_with(const ClickHouse::Refusal& refusal);
  Step store_fails(const Error& error);

  RecordStore& store_;
  ClickHouse& server_;
  const ClickHouseTarget target_;
  const std::string name_;
  bool agreed_ = false;  // on where to go on
  std::int64_t at_ = 0;
  std::int64_t sent_ = 0;
  std::int64_t missed_ = 0;
  Nanos pause_ = 0;
  std::string why_;
};

}  // namespace txp
