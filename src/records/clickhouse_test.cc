// SPDX-License-Identifier: Apache-2.0
#include "records/clickhouse.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <httplib.h>

#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <thread>

namespace txp {
namespace {

using ::testing::HasSubstr;
using Step = Forwarder::Step;

// What a server does with one INSERT.
enum class Fate : std::uint8_t {
  good,
  refused,      // an error, nothing taken
  answer_lost,  // taken, and the answer never comes
  late,         // taken only after it was asked again how far it is
};

class FakeClickHouse final : public ClickHouse {
 public:
  std::vector<Fate> fates;  // of the INSERTs to come; good behind them
  bool down = false;
  bool password_wrong = false;
  std::map<std::int64_t, int> rows;  // id, how often

  Answer ask(const std::string& query, const std::string& body) override {
    if (password_wrong) return refuse("HTTP 403", true);
    if (down) return refuse("nobody answers there");
    if (query.starts_with("CREATE")) return "";
    if (query.starts_with("SELECT")) {
      const std::string highest = std::to_string(rows.empty() ? 0 : rows.rbegin()->first);
      take(std::exchange(late_, ""));
      return highest + "\n";
    }
    const Fate fate = fates.empty() ? Fate::good : fates.front();
    if (!fates.empty()) fates.erase(fates.begin());
    if (fate == Fate::refused) return refuse("HTTP 500");
    if (fate == Fate::late)
      late_ = body;
    else
      take(body);
    if (fate != Fate::good) return refuse("no whole answer came");
    return "";
  }

 private:
  static Answer refuse(std::string what, bool final = false) {
    return std::unexpected(Refusal{std::move(what), final});
  }
  void take(const std::string& body) {
    std::istringstream lines(body);
    for (std::string line; std::getline(lines, line);)
      ++rows[Json::parse(line)["id"].get<std::int64_t>()];
  }
  std::string late_;
};

class Forwarding : public ::testing::Test {
 protected:
  Forwarding() {
    std::string folder =
        (std::filesystem::temp_directory_path() / "txpath-forward-XXXXXX").string();
    folder_ = ::mkdtemp(folder.data());
    store_ = std::move(*RecordStore::open(folder_ + "/r.db", RecordStore::Access::make));
  }
  ~Forwarding() override { std::filesystem::remove_all(folder_); }
  void add(std::size_t n) { ASSERT_TRUE(store_->add(std::vector<Record>(n)).has_value()); }
  Forwarder forwarder() { return {*store_, server_, *parse_clickhouse_target("http://h")}; }
  static int until_idle(Forwarder& f) {
    int failed = 0;
    for (Step s = f.step(); s != Step::idle; s = f.step()) {
      if (s == Step::failed) ++failed;
      if (s == Step::final || s == Step::store || failed > 20) return -1;
    }
    return failed;
  }
  void expect_each_once(std::size_t n) const {
    EXPECT_EQ(server_.rows.size(), n);
    for (const auto& [id, times] : server_.rows) EXPECT_EQ(times, 1) << id;
  }

  std::string folder_;
  std::unique_ptr<RecordStore> store_;
  FakeClickHouse server_;
};

TEST_F(Forwarding, SendsEachRecordOnceOverRestartsOfEitherSide) {
  add(Forwarder::kRows + 10);
  server_.fates = {Fate::good, Fate::refused, Fate::answer_lost};
  {
    Forwarder f = forwarder();
    EXPECT_EQ(f.step(), Step::sent);
    EXPECT_EQ(f.step(), Step::failed);  // and is killed
  }
  Forwarder f = forwarder();
  EXPECT_EQ(f.step(), Step::failed);  // the answer is lost: they are there all the same
  server_.down = true;
  EXPECT_EQ(f.step(), Step::failed);
  server_.down = false;
  EXPECT_EQ(until_idle(f), 0);
  add(5);
  EXPECT_EQ(until_idle(f), 0);
  expect_each_once(Forwarder::kRows + 15);
}

TEST_F(Forwarding, AnInsertThatIsTakenLateIsDoubleAtMost) {
  add(3);
  server_.fates = {Fate::late};
  Forwarder f = forwarder();
  EXPECT_EQ(until_idle(f), 1);
  EXPECT_EQ(server_.rows.size(), 3U);
  EXPECT_EQ(server_.rows[1], 2);  // which ReplacingMergeTree makes one
}

TEST_F(Forwarding, PausesGrowAndEnd) {
  add(1);
  server_.fates.assign(10, Fate::refused);
  Forwarder f = forwarder();
  Nanos before = 0;
  for (int i = 0; i < 10; ++i) {
    EXPECT_EQ(f.step(), Step::failed);
    EXPECT_GE(f.pause(), before);
    before = f.pause();
  }
  EXPECT_EQ(before, Forwarder::kLongestPause);
  EXPECT_EQ(f.step(), Step::sent);
  EXPECT_EQ(f.pause(), 0);
}

TEST_F(Forwarding, WhatNoOtherTryMendsIsFinal) {
  server_.password_wrong = true;
  Forwarder f = forwarder();
  EXPECT_EQ(f.step(), Step::final);
  EXPECT_EQ(f.why(), "HTTP 403");
}

TEST_F(Forwarding, WhatWasTrimmedBeforeIsCounted) {
  store_ = std::move(*RecordStore::open(folder_ + "/r.db", RecordStore::Access::make, {.rows = 4}));
  add(10);
  Forwarder f = forwarder();
  EXPECT_EQ(until_idle(f), 0);
  EXPECT_EQ(f.sent(), 4);
  EXPECT_EQ(f.missed(), 6);
}

// Over real HTTP: headers, errors, an answer that breaks off, a server that is not there.
TEST_F(Forwarding, SpeaksHttp) {
  httplib::Server http;
  http.set_keep_alive_max_count(1);
  std::string user, key, database;
  int inserts = 0;
  http.Post("/", [&](const httplib::Request& q, httplib::Response& r) {
    user = q.get_header_value("X-ClickHouse-User");
    key = q.get_header_value("X-ClickHouse-Key");
    database = q.get_param_value("database");
    const std::string query = q.get_param_value("query");
    if (query.starts_with("INSERT") && ++inserts < 3) {
      if (inserts == 1) {
        r.status = 500;
        r.set_content("Code: 241. DB::Exception: Memory limit\nstack\n", "text/plain");
      } else {  // says 10 bytes, sends fewer
        r.set_content_provider(10, "text/plain",
                               [](std::size_t, std::size_t, httplib::DataSink& sink) {
                                 sink.write("x", 1);
                                 return false;
                               });
      }
      return;
    }
    if (query.starts_with("DROP")) {
      r.status = 403;
      return;
    }
    const auto answer = server_.ask(query, q.body);
    r.set_content(*answer, "text/plain");
  });
  const int port = http.bind_to_any_port("127.0.0.1");
  std::thread answering([&] { http.listen_after_bind(); });
  auto target = *parse_clickhouse_target(fmt::format("http://me@127.0.0.1:{}/fleet", port));
  target.password = "secret";
  const auto client = make_clickhouse(target);
  add(2);
  Forwarder f(*store_, *client, target);
  EXPECT_EQ(f.step(), Step::failed);
  EXPECT_THAT(f.why(), HasSubstr("HTTP 500: Code: 241. DB::Exception: Memory limit"));
  EXPECT_EQ(f.step(), Step::failed);
  EXPECT_THAT(f.why(), HasSubstr("no whole answer came"));
  EXPECT_EQ(until_idle(f), 0);
  expect_each_once(2);
  EXPECT_EQ(user + key + database, "mesecretfleet");
  const auto refused = client->ask("DROP TABLE x", "");
  ASSERT_FALSE(refused.has_value());
  EXPECT_TRUE(refused.error().final);
  http.stop();
  answering.join();
  add(1);
  EXPECT_EQ(f.step(), Step::failed);
  EXPECT_THAT(f.why(), HasSubstr(fmt::format("http://me@127.0.0.1:{}/fleet: ", port)));
}

TEST(ClickHouseTargets, AreReadAndRefused) {
  const auto t = parse_clickhouse_target("https://u@[::1]:99/db");
  ASSERT_TRUE(t.has_value());
  EXPECT_EQ(t->text(), "https://u@[::1]:99/db");
  EXPECT_EQ(parse_clickhouse_target("http://h")->text(), "http://h:8123/default");
  for (const char* url : {"", "h:8123", "http://", "http://h:0/", "http://h:x", "http://h/a b",
                          "http://u:p@h/", "ftp://h"})
    EXPECT_FALSE(parse_clickhouse_target(url).has_value()) << url;
}

}  // namespace
}  // namespace txp
