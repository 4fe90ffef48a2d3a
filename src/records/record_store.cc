// SPDX-License-Identifier: Apache-2.0
#include "records/record_store.h"

#include <fmt/format.h>
#include <sqlite3.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <limits>
#include <utility>

#include "mirror/read_file.h"

namespace txp {
namespace {

constexpr std::int64_t kApplication = 0x74787074;  // PRAGMA application_id: "txpt"

// What is asked of the columns, in their order.
std::string column_list(std::string_view suffix = "") {
  std::string list;
  for (const RecordColumn& c : kRecordColumns)
    list += fmt::format("{}\"{}\"{}", list.empty() ? "" : ", ", c.name,
                        suffix.empty() ? ""
                        : c.text()     ? " TEXT NOT NULL"
                                       : " INTEGER NOT NULL");
  return list;
}

std::string random_name() {
  std::string uuid = read_file("/proc/sys/kernel/random/uuid").value_or("");
  std::erase_if(uuid, [](unsigned char c) { return std::isxdigit(c) == 0; });
  return uuid;
}

}  // namespace

// A prepared statement: values bound in order, rows read in order.
class RecordStore::Statement {
 public:
  Statement(sqlite3* db, const std::string& sql) {
    (void)sqlite3_prepare_v2(db, sql.c_str(), static_cast<int>(sql.size()), &statement_, nullptr);
  }
  ~Statement() { sqlite3_finalize(statement_); }
  Statement(const Statement&) = delete;
  Statement& operator=(const Statement&) = delete;
  bool ready() const { return statement_ != nullptr; }

  void bind(std::int64_t n) { sqlite3_bind_int64(statement_, ++bound_, n); }
  void bind(const std::string& text) {
    sqlite3_bind_text64(statement_, ++bound_, text.data(), text.size(), SQLITE_TRANSIENT,
                        SQLITE_UTF8);
  }
  void again() {
    sqlite3_reset(statement_);
    bound_ = 0;
  }
  // SQLITE_ROW, SQLITE_DONE, or an error.
  int step() { return statement_ != nullptr ? sqlite3_step(statement_) : SQLITE_ERROR; }
  std::int64_t integer(int column) const { return sqlite3_column_int64(statement_, column); }
  std::string text(int column) const {
    const auto* bytes =
        static_cast<const char*>(static_cast<const void*>(sqlite3_column_text(statement_, column)));
    const auto n = static_cast<std::size_t>(sqlite3_column_bytes(statement_, column));
    return bytes != nullptr ? std::string(bytes, n) : std::string();
  }

 private:
  sqlite3_stmt* statement_ = nullptr;
  int bound_ = 0;
};

Result<std::unique_ptr<RecordStore>> RecordStore::open(const std::string& path, Access access,
                                                       StoreLimits limits) {
  std::unique_ptr<RecordStore> store(new RecordStore(path, limits));
  if (auto opened = store->open(access); !opened) return std::unexpected(opened.error());
  return store;
}

RecordStore::~RecordStore() { sqlite3_close(db_); }

// SQLite's own words say neither which file nor what to do.
std::unexpected<Error> RecordStore::error(std::string_view doing) const {
  const auto say = [&](std::string_view why) { return fail(fmt::format("{}: {}", path_, why)); };
  switch (sqlite3_errcode(db_)) {
    case SQLITE_NOTADB: return say("it is not a store of records, which `--record FILE` makes");
    case SQLITE_CORRUPT: return say("the store is damaged; move it away, a new one is made then");
    case SQLITE_READONLY:
      return say("the store cannot be written: its file or folder is read-only");
    case SQLITE_CANTOPEN: return say(fmt::format("it cannot be opened or made; {}", doing));
    case SQLITE_FULL: return say("no room is left for the store");
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return say(fmt::format("another process holds the store, {} s were waited in vain",
                             kPatienceMs / 1000));
    default: return say(fmt::format("{}: {}", doing, sqlite3_errmsg(db_)));
  }
}

Result<void> RecordStore::run(const char* sql) const {
  if (sqlite3_exec(db_, sql, nullptr, nullptr, nullptr) != SQLITE_OK) return error(sql);
  return {};
}

Result<std::int64_t> RecordStore::number(const std::string& sql) const {
  Statement s(db_, sql);
  if (s.step() != SQLITE_ROW) return error(sql);
  return s.integer(0);
}

Result<void> RecordStore::open(Access access) {
  if (access != Access::make && ::access(path_.c_str(), F_OK) != 0)
    return fail(path_ + ": there is no such store, `--record FILE` makes one");
  const int writing = SQLITE_OPEN_READWRITE | (access == Access::make ? SQLITE_OPEN_CREATE : 0);
  int flags = SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;
  std::string name = path_;
  if (access == Access::read && ::access(path_.c_str(), W_OK) != 0) {
    flags |= SQLITE_OPEN_READONLY | SQLITE_OPEN_URI;
    // Whoever may not write beside the file may read what no writer has open.
    name = "file:";
    for (const char c : path_)
      name += std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '/' || c == '.'
                  ? std::string(1, c)
                  : fmt::format("%{:02x}", static_cast<unsigned char>(c));
    if (::access((path_ + "-wal").c_str(), F_OK) != 0) name += "?immutable=1";
  } else {
    flags |= writing;
  }
  flags &= ~SQLITE_OPEN_EXRESCODE;
  if (sqlite3_open_v2(name.c_str(), &db_, flags, nullptr) != SQLITE_OK)
    return error("is its folder there, and may you write it?");
  sqlite3_busy_timeout(db_, kPatienceMs);
  return check(access);
}

// Whether it is a store of ours; makes it one when it is empty.
Result<void> RecordStore::check(Access access) {
  const auto application = number("PRAGMA application_id");
  if (!application) return std::unexpected(application.error());
  const auto schema = number("PRAGMA user_version");
  if (!schema) return std::unexpected(schema.error());
  if (*application == 0 && *schema == 0 && access == Access::make) {
    const auto tables = number("SELECT count(*) FROM sqlite_master");
    if (!tables) return std::unexpected(tables.error());
    if (*tables == 0)
      if (auto made = make(); !made) return made;
  }
  if (const auto now = number("PRAGMA application_id"); !now || *now != kApplication)
    return fail(path_ + ": it is not a store of records, which `--record FILE` makes");
  if (const auto now = number("PRAGMA user_version"); !now || *now != kSchema)
    return fail(
        fmt::format("{}: its schema is {}, this txpath knows {}", path_, now.value_or(0), kSchema));
  Statement s(db_, "SELECT value FROM about WHERE key = 'name'");
  if (s.step() != SQLITE_ROW) return error("its name");
  name_ = s.text(0);
  if (access == Access::read) return {};
  // A power failure may cost the last transactions, nothing else.
  if (auto set = run("PRAGMA synchronous = NORMAL"); !set) return set;
  // Found by an INSERT otherwise, when it is too late for one clear error.
  if (sqlite3_db_readonly(db_, "main") != 0)
    return fail(path_ + ": the store cannot be written: its file or folder is read-only");
  return {};
}

// Two processes may do it at the same time: the second finds it done.
Result<void> RecordStore::make() {
  if (auto set = run("PRAGMA journal_mode = WAL"); !set) return set;
  if (auto begun = run("BEGIN IMMEDIATE"); !begun) return begun;
  const auto done = number("PRAGMA application_id");
  if (!done) return std::unexpected(done.error());
  if (*done == 0) {
    const std::string sql = fmt::format(
        "CREATE TABLE records(id INTEGER PRIMARY KEY AUTOINCREMENT, {});"
        "CREATE TABLE about(key TEXT PRIMARY KEY, value) WITHOUT ROWID;"
        "CREATE TABLE sent(target TEXT PRIMARY KEY, id INTEGER NOT NULL) WITHOUT ROWID;"
        "INSERT INTO about VALUES ('name', '{}'), ('trimmed', 0), ('lost', 0);"
        "PRAGMA application_id = {}; PRAGMA user_version = {}",
        column_list("type"), random_name(), kApplication, kSchema);
    if (auto made = run(sql.c_str()); !made) return made;
  }
  return run("COMMIT");
}

Result<void> RecordStore::add(std::span<const Record> records, std::int64_t lost) {
  if (auto begun = run("BEGIN IMMEDIATE"); !begun) return begun;
  const auto all = [&]() -> Result<void> {
    std::string marks;
    for (std::size_t i = 0; i < kRecordColumns.size(); ++i) marks += i == 0 ? "?" : ", ?";
    Statement insert(db_, fmt::format("INSERT INTO records({}) VALUES ({})", column_list(), marks));
    if (!insert.ready()) return error("INSERT");
    for (const Record& r : records) {
      insert.again();
      for (const RecordColumn& c : kRecordColumns)
        std::visit([&](auto member) { insert.bind(r.*member); }, c.member);
      if (insert.step() != SQLITE_DONE) return error("INSERT");
    }
    if (lost != 0)
      if (auto told = run(
              fmt::format("UPDATE about SET value = value + {} WHERE key = 'lost'", lost).c_str());
          !told)
        return told;
    return trim();
  }();
  if (!all) {
    sqlite3_exec(db_, "ROLLBACK", nullptr, nullptr, nullptr);
    return all;
  }
  return run("COMMIT");
}

// Inside a transaction. Room in the file is used again, not given back: it stays as large as it
// was.
Result<void> RecordStore::trim() {
  const auto now = counts();
  if (!now) return std::unexpected(now.error());
  const std::int64_t rows = now->last - now->first + 1;
  std::int64_t excess = std::max<std::int64_t>(rows - limits_.rows, 0);
  const auto bytes = number(
      "SELECT (c.page_count - f.freelist_count) * s.page_size FROM pragma_page_count c, "
      "pragma_freelist_count f, pragma_page_size s");
  if (!bytes) return std::unexpected(bytes.error());
  if (*bytes > limits_.bytes) excess = std::max(excess, rows / 8 + 1);
  if (excess <= 0) return {};
  return run(fmt::format("DELETE FROM records WHERE id < {};"
                         "UPDATE about SET value = value + changes() WHERE key = 'trimmed'",
                         now->first + excess)
                 .c_str());
}

Result<StoreCounts> RecordStore::counts() const {
  Statement s(db_,
              "SELECT coalesce((SELECT min(id) FROM records), 1), "
              "coalesce((SELECT max(id) FROM records), 0), "
              "(SELECT value FROM about WHERE key = 'trimmed'), "
              "(SELECT value FROM about WHERE key = 'lost')");
  if (s.step() != SQLITE_ROW) return error("counting");
  return StoreCounts{s.integer(0), s.integer(1), s.integer(2), s.integer(3)};
}

namespace {

// " WHERE a = ? AND ...", and what is bound to it.
struct Condition {
  std::string sql;
  std::vector<RecordQuery::Value> values;
};

Condition condition_of(const RecordQuery& q, bool counted) {
  Condition c;
  const auto also = [&](const std::string& sql) {
    c.sql += (c.sql.empty() ? " WHERE " : " AND ") + sql;
  };
  for (const auto& [column, value] : q.equal) {
    also(fmt::format("\"{}\" = ?", column));
    c.values.push_back(value);
  }
  std::vector<std::string> kinds = q.kinds;
  // A trace tells of packets that drops and failures have counted.
  if (kinds.empty() && counted)
    for (const std::string_view k : {record_kind::kDrop, record_kind::kFailure})
      kinds.emplace_back(k);
  if (!kinds.empty()) {
    std::string list;
    for (const std::string& k : kinds) {
      list += list.empty() ? "?" : ", ?";
      c.values.emplace_back(k);
    }
    also("kind IN (" + list + ")");
  }
  if (q.since) also("time >= ?"), c.values.emplace_back(*q.since);
  if (q.until) also("time < ?"), c.values.emplace_back(*q.until);
  if (q.id) also("id = ?"), c.values.emplace_back(*q.id);
  return c;
}

std::int64_t sql_limit(const RecordQuery& q) { return q.limit == 0 ? -1 : q.limit; }

}  // namespace

Result<std::vector<StoredRecord>> RecordStore::rows(Statement& s) const {
  std::vector<StoredRecord> found;
  int step = SQLITE_DONE;
  while ((step = s.step()) == SQLITE_ROW) {
    StoredRecord& r = found.emplace_back();
    r.id = s.integer(0);
    int at = 0;
    for (const RecordColumn& c : kRecordColumns) {
      ++at;
      if (const auto* text = std::get_if<std::string Record::*>(&c.member))
        r.record.** text = s.text(at);
      else
        r.record.*std::get<std::int64_t Record::*>(c.member) = s.integer(at);
    }
  }
  if (step != SQLITE_DONE) return error("SELECT");
  return found;
}

Result<std::vector<StoredRecord>> RecordStore::find(const RecordQuery& q) const {
  const Condition where = condition_of(q, false);
  Statement s(db_, fmt::format("SELECT id, {0} FROM (SELECT id, {0} FROM records{1} ORDER BY id "
                               "DESC LIMIT ?) ORDER BY id",
                               column_list(), where.sql));
  if (!s.ready()) return error("SELECT");
  for (const auto& v : where.values) std::visit([&](const auto& value) { s.bind(value); }, v);
  s.bind(sql_limit(q));
  return rows(s);
}

Result<std::vector<RecordStore::Group>> RecordStore::count(const RecordQuery& q) const {
  std::string columns;
  for (const std::string& c : q.by)
    columns += fmt::format("{}\"{}\"", columns.empty() ? "" : ", ", c);
  const Condition where = condition_of(q, true);
  Statement s(db_, fmt::format("SELECT {0}, count(*), sum(\"count\") FROM records{1} GROUP BY {0} "
                               "ORDER BY sum(\"count\") DESC, {0} LIMIT ?",
                               columns, where.sql));
  if (!s.ready()) return error("SELECT");
  for (const auto& v : where.values) std::visit([&](const auto& value) { s.bind(value); }, v);
  s.bind(sql_limit(q));
  std::vector<Group> groups;
  int step = SQLITE_DONE;
  while ((step = s.step()) == SQLITE_ROW) {
    Group& g = groups.emplace_back();
    const int n = static_cast<int>(q.by.size());
    for (int i = 0; i < n; ++i) g.values.push_back(s.text(i));
    g.records = s.integer(n);
    g.count = s.integer(n + 1);
  }
  if (step != SQLITE_DONE) return error("SELECT");
  return groups;
}

Result<std::vector<StoredRecord>> RecordStore::after(std::int64_t id, std::size_t most) const {
  Statement s(db_, fmt::format("SELECT id, {} FROM records WHERE id > ? ORDER BY id LIMIT ?",
                               column_list()));
  if (!s.ready()) return error("SELECT");
  s.bind(id);
  s.bind(static_cast<std::int64_t>(most));
  return rows(s);
}

Result<std::int64_t> RecordStore::sent(const std::string& target) const {
  Statement s(db_, "SELECT coalesce((SELECT id FROM sent WHERE target = ?), 0)");
  s.bind(target);
  if (s.step() != SQLITE_ROW) return error("the cursor");
  return s.integer(0);
}

Result<void> RecordStore::set_sent(const std::string& target, std::int64_t id) {
  Statement s(db_,
              "INSERT INTO sent VALUES (?, ?) ON CONFLICT(target) DO UPDATE SET id = excluded.id");
  s.bind(target);
  s.bind(id);
  if (s.step() != SQLITE_DONE) return error("the cursor");
  return {};
}

}  // namespace txp
