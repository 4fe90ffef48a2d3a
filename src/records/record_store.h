// SPDX-License-Identifier: Apache-2.0
// Records in one file, a SQLite database: several processes may write it and read it at the same
// time. Bounded: beyond its limits the oldest records go, and are counted.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "records/record.h"
#include "records/record_query.h"

struct sqlite3;
struct sqlite3_stmt;

namespace txp {

struct StoreLimits {
  std::int64_t rows = 1'000'000;
  std::int64_t bytes = std::int64_t{1} << 30;
};

// How many there are, and what is gone.
struct StoreCounts {
  std::int64_t first = 0, last = 0;  // ids; first > last: none
  std::int64_t trimmed = 0;          // the oldest, beyond the limits
  std::int64_t lost = 0;             // that never came here: their writers' queues were full
};

// Errors are sentences that begin with the file's name. Another process that holds the file is
// waited for, kPatience at most. Thread safety: one thread at a time.
class RecordStore {
 public:
  static constexpr int kSchema = 1;
  static constexpr int kPatienceMs = 5000;

  enum class Access : std::uint8_t {
    make,   // for writing; made where there is none
    write,  // of one that is there
    read,
  };
  [[nodiscard]] static Result<std::unique_ptr<RecordStore>> open(const std::string& path,
                                                                 Access access,
                                                                 StoreLimits limits = {});
  ~RecordStore();
  RecordStore(const RecordStore&) = delete;
  RecordStore& operator=(const RecordStore&) = delete;

  // All of them or none. `lost` is added to what this store did not get.
  [[nodiscard]] Result<void> add(std::span<const Record> records, std::int64_t lost = 0);

  // The records that the query is about, oldest first.
  [[nodiscard]] Result<std::vector<StoredRecord>> find(const RecordQuery& query) const;
  // Counted by the query's columns: their values, how many, most first.
  struct Group {
    std::vector<std::string> values;
    std::int64_t records = 0;
    std::int64_t count = 0;
  };
  [[nodiscard]] Result<std::vector<Group>> count(const RecordQuery& query) const;
  // Those behind `id`, at most `most`.
  [[nodiscard]] Result<std::vector<StoredRecord>> after(std::int64_t id, std::size_t most) const;
  [[nodiscard]] Result<StoreCounts> counts() const;

  // A name that no other store has.
  const std::string& name() const { return name_; }
  // Up to which id a target has the records; 0: none yet.
  [[nodiscard]] Result<std::int64_t> sent(const std::string& target) const;
  [[nodiscard]] Result<void> set_sent(const std::string& target, std::int64_t id);

 private:
  class Statement;
  RecordStore(std::string path, StoreLimits limits) : path_(std::move(path)), limits_(limits) {}
  [[nodiscard]] Result<void> open(Access access);
  [[nodiscard]] Result<void> check(Access access);
  [[nodiscard]] Result<void> make();
  [[nodiscard]] Result<void> run(const char* sql) const;
  [[nodiscard]] Result<std::int64_t> number(const std::string& sql) const;
  [[nodiscard]] Result<std::vector<StoredRecord>> rows(Statement& s) const;
  [[nodiscard]] Result<void> trim();
  [[nodiscard]] std::unexpected<Error> error(std::string_view doing) const;

  const std::string path_;
  const StoreLimits limits_;
  std::string name_;
  sqlite3* db_ = nullptr;
};

}  // namespace txp
