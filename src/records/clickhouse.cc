// SPDX-License-Identifier: Apache-2.0
#include "records/clickhouse.h"

#include <fmt/format.h>
#include <httplib.h>

#include <algorithm>
#include <cctype>
#include <nlohmann/json.hpp>

#include "explain/flow_question.h"

namespace txp {
namespace {

constexpr time_t kAnswerSeconds = 10;

// ClickHouse's names of our columns' types. `at` is for charts: it knows no nanoseconds.
std::string table_columns() {
  std::string columns = "store String, id Int64, at DateTime";
  for (const RecordColumn& c : kRecordColumns)
    columns += fmt::format(", `{}` {}", c.name, c.text() ? "String" : "Int64");
  return columns;
}

// A row as JSONEachRow takes it.
std::string row(const std::string& store, const StoredRecord& r) {
  Json j{{"store", store}, {"id", r.id}, {"at", r.record.time / kSecond}};
  for (const RecordColumn& c : kRecordColumns)
    std::visit([&](auto member) { j[std::string(c.name)] = r.record.*member; }, c.member);
  return j.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
}

bool plain_name(std::string_view name) {
  return !name.empty() && std::ranges::all_of(name, [](unsigned char c) {
    return std::isalnum(c) != 0 || c == '_';
  });
}

// The first line of what the server says, without its trace.
std::string first_line(const std::string& body) {
  std::string line = body.substr(0, std::min<std::size_t>(body.find('\n'), 200));
  for (char& c : line)
    if (static_cast<unsigned char>(c) < 0x20) c = ' ';
  return line;
}

class HttpClickHouse final : public ClickHouse {
 public:
  explicit HttpClickHouse(const ClickHouseTarget& t)
      : target_(t), client_(fmt::format("{}://{}:{}", t.tls ? "https" : "http", t.host, t.port)) {
    client_.set_connection_timeout(kAnswerSeconds);
    client_.set_read_timeout(kAnswerSeconds);
    client_.set_write_timeout(kAnswerSeconds);
    client_.set_keep_alive(true);
    if (!t.user.empty()) headers_.emplace("X-ClickHouse-User", t.user);
    if (!t.password.empty()) headers_.emplace("X-ClickHouse-Key", t.password);
  }

  Answer ask(const std::string& query, const std::string& rows) override {
    const httplib::Params params{{"database", target_.database}, {"query", query}};
    const auto result = client_.Post(httplib::append_query_params("/", params).c_str(), headers_,
                                     rows, "application/octet-stream");
    if (!result)
      return std::unexpected(
          Refusal{fmt::format("{}: {}", target_.text(), words(result.error())), false});
    // What it meets while it answers, it can only append.
    const auto exception = result->body.find("DB::Exception");
    if (result->status == 200 && exception == std::string::npos) return result->body;
    const bool refused = result->status == 401 || result->status == 403;
    return std::unexpected(Refusal{
        fmt::format("{}: HTTP {}: {}", target_.text(), result->status, first_line(result->body)),
        refused || unknown_database(result->body)});
  }

 private:
  static std::string_view words(httplib::Error e) {
    switch (e) {
      case httplib::Error::Connection: return "nobody answers there";
      case httplib::Error::Read: return "no whole answer came";
      case httplib::Error::Write: return "the connection broke";
      case httplib::Error::SSLConnection:
      case httplib::Error::SSLServerVerification: return "its certificate is not trusted";
      default: return "the request failed";
    }
  }
  static bool unknown_database(const std::string& body) {
    return body.starts_with("Code: 81,") || body.starts_with("Code: 81.");
  }

  const ClickHouseTarget target_;
  httplib::Client client_;
  httplib::Headers headers_;
};

}  // namespace

std::string ClickHouseTarget::text() const {
  return fmt::format("{}://{}{}:{}/{}", tls ? "https" : "http", user.empty() ? "" : user + "@",
                     host, port, database);
}

Result<ClickHouseTarget> parse_clickhouse_target(const std::string& url) {
  const auto bad = [&](std::string_view why) { return fail(fmt::format("{}: {}", url, why)); };
  ClickHouseTarget t;
  std::string_view rest = url;
  if (rest.starts_with("https://")) {
    t.tls = true;
    t.port = 8443;
  } else if (!rest.starts_with("http://")) {
    return bad("http://[USER@]HOST[:PORT][/DATABASE] is wanted");
  }
  rest.remove_prefix(rest.find("//") + 2);
  if (const auto slash = rest.find('/'); slash != std::string_view::npos) {
    if (slash + 1 != rest.size()) t.database = rest.substr(slash + 1);
    rest = rest.substr(0, slash);
  }
  if (const auto at = rest.rfind('@'); at != std::string_view::npos) {
    t.user = rest.substr(0, at);
    rest.remove_prefix(at + 1);
  }
  if (t.user.find(':') != std::string::npos)
    return fail("a password in the address would be seen by others: --password-file FILE");
  const auto bracket = rest.find(']');
  const auto colon = rest.find(':', bracket == std::string_view::npos ? 0 : bracket);
  if (colon != std::string_view::npos) {
    const auto port = parse_number(rest.substr(colon + 1), 65535);
    if (!port || *port == 0) return bad("its port is none");
    t.port = static_cast<int>(*port);
    rest = rest.substr(0, colon);
  }
  t.host = rest;
  if (t.host.empty()) return bad("the host is missing");
  if (!plain_name(t.database)) return bad("letters, digits and _ make a database's name");
  return t;
}

std::unique_ptr<ClickHouse> make_clickhouse(const ClickHouseTarget& target) {
  return std::make_unique<HttpClickHouse>(target);
}

Forwarder::Forwarder(RecordStore& store, ClickHouse& server, const ClickHouseTarget& target)
    : store_(store), server_(server), target_(target), name_(target.text()) {}

Forwarder::Step Forwarder::fail_with(const ClickHouse::Refusal& refusal) {
  why_ = refusal.what;
  pause_ = pause_ == 0 ? kFirstPause : std::min(pause_ * 2, kLongestPause);
  agreed_ = false;
  return refusal.final ? Step::final : Step::failed;
}

Forwarder::Step Forwarder::store_fails(const Error& error) {
  why_ = error.what;
  return Step::store;
}

// Makes the table where there is none, and finds where to go on.
std::expected<void, Forwarder::Step> Forwarder::agree() {
  const auto kept = store_.sent(name_);
  if (!kept) return std::unexpected(store_fails(kept.error()));
  if (auto made = server_.ask(
          fmt::format("CREATE TABLE IF NOT EXISTS {} ({}) ENGINE = ReplacingMergeTree() "
                      "PARTITION BY toYYYYMM(at) ORDER BY (store, id)",
                      target_.table, table_columns()),
          "");
      !made)
    return std::unexpected(fail_with(made.error()));
  const auto there = server_.ask(fmt::format("SELECT toString(max(id)) FROM {} WHERE store = '{}'",
                                             target_.table, store_.name()),
                                 "");
  if (!there) return std::unexpected(fail_with(there.error()));
  const auto highest =
      parse_number(std::string_view(*there).substr(0, there->find('\n')), std::uint64_t{1} << 62);
  if (!highest)
    return std::unexpected(fail_with(
        {fmt::format("{}: that is no answer of ClickHouse: {}", name_, first_line(*there))}));
  at_ = std::max(*kept, static_cast<std::int64_t>(*highest));
  agreed_ = true;
  return {};
}

Forwarder::Step Forwarder::step() {
  if (!agreed_)
    if (auto done = agree(); !done) return done.error();
  const auto batch = store_.after(at_, kRows);
  if (!batch) return store_fails(batch.error());
  if (batch->empty()) {
    pause_ = 0;
    return Step::idle;
  }
  std::string rows;
  std::int64_t last = at_;
  std::int64_t taken = 0;
  for (const StoredRecord& r : *batch) {
    rows += row(store_.name(), r);
    last = r.id;
    ++taken;
    if (rows.size() >= kBytes) break;
  }
  // One block: taken whole or not at all.
  const auto answer =
      server_.ask(fmt::format("INSERT INTO {} FORMAT JSONEachRow", target_.table), rows);
  if (!answer) return fail_with(answer.error());
  missed_ += batch->front().id - at_ - 1;
  at_ = last;
  sent_ += taken;
  pause_ = 0;
  if (auto kept = store_.set_sent(name_, at_); !kept) return store_fails(kept.error());
  return Step::sent;
}

}  // namespace txp
