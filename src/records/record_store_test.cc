// SPDX-License-Identifier: Apache-2.0
#include "records/record_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "records/recorder.h"

namespace txp {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class Records : public ::testing::Test {
 protected:
  Records() {
    std::string folder =
        (std::filesystem::temp_directory_path() / "txpath-records-XXXXXX").string();
    folder_ = ::mkdtemp(folder.data());
    path_ = folder_ + "/r.db";
  }
  ~Records() override { std::filesystem::remove_all(folder_); }

  std::unique_ptr<RecordStore> open(RecordStore::Access access = RecordStore::Access::make,
                                    StoreLimits limits = {}) {
    auto store = RecordStore::open(path_, access, limits);
    EXPECT_TRUE(store.has_value()) << (store ? "" : store.error().what);
    return store ? std::move(*store) : nullptr;
  }
  std::string open_error(RecordStore::Access access = RecordStore::Access::make) {
    const auto store = RecordStore::open(path_, access);
    return store ? "" : store.error().what;
  }
  static RecordQuery ask(std::vector<std::string> words, Nanos now = 1000 * kSecond) {
    auto q = parse_record_query(words, now);
    EXPECT_TRUE(q.has_value()) << (q ? "" : q.error().what);
    return q.value_or(RecordQuery{});
  }
  static Record drop(std::string stage, std::string reason, std::int64_t count = 1) {
    Record r;
    r.time = 900 * kSecond;
    r.kind = record_kind::kDrop;
    r.source = record_source::kTxpath;
    r.stage = std::move(stage);
    r.reason = std::move(reason);
    r.proto = "udp";
    r.src = "10.0.0.1";
    r.dst = "2001:db8::1";
    r.sport = 4000;
    r.dport = 53;
    r.count = count;
    return r;
  }

  std::string folder_, path_;
};

TEST_F(Records, GiveBackWhatWasPut) {
  Record r = drop("ip_output", "NEIGH_FAILED", 3);
  r.host = "h\xff";  // bytes, whatever they are
  r.trace = R"([{"ns":1}])";
  r.object = "route 10.0.0.0/8";
  ASSERT_TRUE(open()->add(std::array{r, Record{}}).has_value());
  const auto found = open(RecordStore::Access::read)->find({});
  ASSERT_TRUE(found.has_value());
  ASSERT_EQ(found->size(), 2U);
  EXPECT_EQ((*found)[0].id, 1);
  for (const RecordColumn& c : kRecordColumns)
    std::visit(
        [&](auto member) {
          EXPECT_EQ((*found)[0].record.*member, r.*member) << c.name;
          EXPECT_EQ((*found)[1].record.*member, Record{}.*member) << c.name;
        },
        c.member);
  const Json j = record_json((*found)[0]);
  EXPECT_EQ(j["trace"][0]["ns"], 1);
  EXPECT_TRUE(j["errno"].is_null());
  EXPECT_TRUE(j["pid"].is_null());
  EXPECT_EQ(j["len"], 0);
}

TEST_F(Records, AreFoundByTheQuerysWords) {
  const auto store = open();
  Record failure = drop("udp_sendmsg", "", 2);
  failure.kind = record_kind::kFailure;
  failure.error = "EPERM";
  failure.time = 100 * kSecond;
  Record trace = drop("ip_output", "NEIGH_FAILED", 1);
  trace.kind = record_kind::kTrace;
  ASSERT_TRUE(store
                  ->add(std::array{drop("ip_output", "NEIGH_FAILED", 5), failure, trace,
                                   drop("ip_output", "NO_SOCKET", 4)})
                  .has_value());
  const auto ids = [&](std::vector<std::string> words) {
    std::vector<std::int64_t> all;
    const auto found = store->find(ask(std::move(words)));
    EXPECT_TRUE(found.has_value());
    for (const StoredRecord& r : *found) all.push_back(r.id);
    return all;
  };
  EXPECT_THAT(ids({}), ElementsAre(1, 2, 3, 4));
  EXPECT_THAT(ids({"drop"}), ElementsAre(1, 4));
  EXPECT_THAT(ids({"drop", "failure"}), ElementsAre(1, 2, 4));
  EXPECT_THAT(ids({"stage", "ip_output", "reason", "NO_SOCKET"}), ElementsAre(4));
  EXPECT_THAT(ids({"errno", "EPERM"}), ElementsAre(2));
  EXPECT_THAT(ids({"to", "[2001:DB8::1]:53", "from", "10.0.0.1"}), ElementsAre(1, 2, 3, 4));
  EXPECT_THAT(ids({"to", "10.0.0.1"}), ElementsAre());
  EXPECT_THAT(ids({"since", "2m"}), ElementsAre(1, 3, 4));
  EXPECT_THAT(ids({"until", "2m"}), ElementsAre(2));
  EXPECT_THAT(ids({"limit", "2"}), ElementsAre(3, 4));
  EXPECT_THAT(ids({"id", "3"}), ElementsAre(3));
  // A trace tells of what is counted already.
  const auto groups = store->count(ask({"by", "stage,errno"}));
  ASSERT_TRUE(groups.has_value());
  ASSERT_EQ(groups->size(), 2U);
  EXPECT_THAT((*groups)[0].values, ElementsAre("ip_output", ""));
  EXPECT_EQ((*groups)[0].count, 9);
  EXPECT_EQ((*groups)[0].records, 2);
}

TEST_F(Records, QueryWordsThatAreWrongAreNamed) {
  const auto error = [](std::vector<std::string> words) {
    const auto q = parse_record_query(words, 0);
    return q ? "" : q.error().what;
  };
  EXPECT_THAT(error({"stag", "x"}), HasSubstr("stag: unknown word"));
  EXPECT_THAT(error({"stag"}), HasSubstr("stag: unknown word"));
  EXPECT_THAT(error({"stage", "x"}), HasSubstr("no such stage"));
  EXPECT_THAT(error({"stage"}), HasSubstr("its value is missing"));
  EXPECT_THAT(error({"since", "x"}), HasSubstr("a time is wanted"));
  EXPECT_THAT(error({"by", "stage,"}), HasSubstr("a column is wanted"));
  EXPECT_THAT(error({"to", "x"}), HasSubstr("to x"));
  EXPECT_THAT(error({"pid", "x"}), HasSubstr("a number is wanted"));
  EXPECT_THAT(error({"source", "x"}), HasSubstr("one of txpath, kernel"));
  EXPECT_THAT(error({"limit", "1", "limit", "2"}), HasSubstr("given twice"));
}

TEST(RecordMoments, AreAgoOrPoints) {
  EXPECT_EQ(parse_moment("90s", 100 * kSecond), 10 * kSecond);
  EXPECT_EQ(parse_moment("1970-01-02Z", 0), 86400 * kSecond);
  EXPECT_EQ(parse_moment("1970-01-02T00:01Z", 0), 86460 * kSecond);
  for (const char* text :
       {"", "m", "1w", "1970-13-01", "9999-01-01Z", "1970-01-02x", "99999999999999999999d", "-1m"})
    EXPECT_FALSE(parse_moment(text, 0)) << text;
}

TEST_F(Records, TheOldestGoBeyondTheLimits) {
  auto store = open(RecordStore::Access::make, {.rows = 3});
  ASSERT_TRUE(store->add(std::vector<Record>(5), 7).has_value());
  auto counts = store->counts();
  EXPECT_EQ(counts->first, 3);
  EXPECT_EQ(counts->last, 5);
  EXPECT_EQ(counts->trimmed, 2);
  EXPECT_EQ(counts->lost, 7);
  // And by bytes: the file stays as small.
  store = open(RecordStore::Access::make, {.bytes = 200'000});
  Record large;
  large.trace.assign(10'000, 'x');
  for (int i = 0; i < 100; ++i) ASSERT_TRUE(store->add({&large, 1}).has_value());
  counts = store->counts();
  EXPECT_EQ(counts->last, 105);
  EXPECT_GT(counts->first, 80);
  EXPECT_EQ(counts->trimmed, counts->first - 1);
  store.reset();
  EXPECT_LT(std::filesystem::file_size(path_), 300'000U);
}

TEST_F(Records, AFileThatIsNoStoreIsRefusedAndLeftAlone) {
  const std::string text(5000, 'x');
  std::ofstream(path_) << text;
  EXPECT_THAT(open_error(), HasSubstr("r.db: it is not a store of records"));
  EXPECT_THAT(open_error(RecordStore::Access::read), HasSubstr("it is not a store of records"));
  EXPECT_EQ(std::filesystem::file_size(path_), text.size());
  std::filesystem::remove(path_);
  sqlite3* db = nullptr;
  sqlite3_open(path_.c_str(), &db);
  sqlite3_exec(db, "CREATE TABLE t(x)", nullptr, nullptr, nullptr);
  EXPECT_THAT(open_error(), HasSubstr("it is not a store of records"));
  sqlite3_exec(db, "PRAGMA application_id = 0x74787074; PRAGMA user_version = 9", nullptr, nullptr,
               nullptr);
  EXPECT_THAT(open_error(), HasSubstr("its schema is 9, this txpath knows 1"));
  sqlite3_close(db);
  std::filesystem::remove(path_);
  EXPECT_THAT(open_error(RecordStore::Access::read), HasSubstr("there is no such store"));
  path_ = folder_ + "/none/r.db";
  EXPECT_THAT(open_error(), HasSubstr("cannot be opened or made"));
}

TEST_F(Records, AStoreThatIsDamagedIsTold) {
  ASSERT_TRUE(open()->add(std::vector<Record>(2000)).has_value());
  std::fstream file(path_, std::ios::in | std::ios::out | std::ios::binary);
  const std::string noise(std::filesystem::file_size(path_) - 8192, '\xaa');
  file.seekp(8192);
  file << noise;
  file.close();
  const auto store = RecordStore::open(path_, RecordStore::Access::read);
  const auto found = store ? (*store)->find({}) : std::unexpected(store.error());
  ASSERT_FALSE(found.has_value());
  EXPECT_THAT(found.error().what, HasSubstr("the store is damaged"));
}

TEST_F(Records, SeveralWritersShareAStore) {
  const auto a = open(), b = open();
  EXPECT_EQ(a->name(), b->name());
  EXPECT_EQ(a->name().size(), 32U);
  ASSERT_TRUE(a->add(std::vector<Record>(2)).has_value());
  ASSERT_TRUE(b->add(std::vector<Record>(3)).has_value());
  EXPECT_EQ(a->counts()->last, 5);
}

TEST_F(Records, TheRecorderMakesOneOfEqualOnesAndCountsWhatDoesNotFit) {
  {
    auto recorder = Recorder::open(path_, 2);
    ASSERT_TRUE(recorder.has_value());
    for (int i = 0; i < 4; ++i) (*recorder)->put(drop("ip_output", "A"));
    (*recorder)->put(drop("ip_output", "B"));
    (*recorder)->put(drop("ip_output", "C"));
    EXPECT_TRUE((*recorder)->close().has_value());
    (*recorder)->put(drop("ip_output", "D"));
    EXPECT_EQ((*recorder)->lost(), 2);
  }
  const auto store = open(RecordStore::Access::read);
  const auto found = store->find({});
  ASSERT_EQ(found->size(), 2U);
  EXPECT_EQ((*found)[0].record.count, 4);
  EXPECT_EQ((*found)[0].record.pid, ::getpid());
  EXPECT_FALSE((*found)[0].record.host.empty());
  EXPECT_EQ(store->counts()->lost, 1);  // the other came after the end
}

TEST_F(Records, TheCursorOfATargetStays) {
  ASSERT_TRUE(open()->set_sent("http://a", 7).has_value());
  const auto store = open(RecordStore::Access::write);
  EXPECT_EQ(store->sent("http://a"), 7);
  EXPECT_EQ(store->sent("http://b"), 0);
  ASSERT_TRUE(store->add(std::vector<Record>(5)).has_value());
  const auto rest = store->after(3, 1);
  ASSERT_EQ(rest->size(), 1U);
  EXPECT_EQ(rest->front().id, 4);
}

}  // namespace
}  // namespace txp
