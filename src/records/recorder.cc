// SPDX-License-Identifier: Apache-2.0
#include "records/recorder.h"

#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <utility>

#include "mirror/read_file.h"

namespace txp {
namespace {

constexpr std::size_t kBatch = 4096;  // records that are worth a write at once

Record of_this_process() {
  Record r;
  char host[256] = {};
  if (::gethostname(host, sizeof host - 1) == 0) r.host = host;
  struct stat netns{};
  if (::stat("/proc/self/ns/net", &netns) == 0) r.netns = static_cast<std::int64_t>(netns.st_ino);
  r.pid = ::getpid();
  r.command = read_file("/proc/self/comm").value_or("");
  if (r.command.ends_with('\n')) r.command.pop_back();
  return r;
}

// What equal records have in common: all but when, and how many.
std::string key_of(const Record& r) {
  std::string key;
  for (const RecordColumn& c : kRecordColumns) {
    if (c.name == "time" || c.name == "count") continue;
    if (const auto* text = std::get_if<std::string Record::*>(&c.member))
      key += r.**text;
    else
      key += std::to_string(r.*std::get<std::int64_t Record::*>(c.member));
    key += '\n';
  }
  return key;
}

std::size_t size_of(const Record& r) {
  std::size_t n = sizeof r;
  for (const RecordColumn& c : kRecordColumns)
    if (const auto* text = std::get_if<std::string Record::*>(&c.member)) n += (r.**text).size();
  return n;
}

}  // namespace

Result<std::unique_ptr<Recorder>> Recorder::open(const std::string& path, std::size_t most) {
  auto store = RecordStore::open(path, RecordStore::Access::make);
  if (!store) return std::unexpected(store.error());
  return std::unique_ptr<Recorder>(new Recorder(std::move(*store), most));
}

Recorder::Recorder(std::unique_ptr<RecordStore> store, std::size_t most)
    : store_(std::move(store)), most_(most), here_(of_this_process()) {
  sigset_t all;
  sigset_t before;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  thread_ = std::thread([this] { write(); });
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

Recorder::~Recorder() { (void)close(); }

void Recorder::put(Record r) {
  if (r.time == 0) r.time = Clock::monotonic().wall();
  if (r.host.empty()) r.host = here_.host;
  if (r.source.empty()) r.source = record_source::kTxpath;
  if (r.source == record_source::kTxpath) {
    if (r.netns == 0) r.netns = here_.netns;
    if (r.pid == 0) {
      r.pid = here_.pid;
      r.command = here_.command;
    }
  }
  const std::size_t size = size_of(r);
  std::string key = r.kind == record_kind::kTrace ? std::string() : key_of(r);
  const std::lock_guard guard(mutex_);
  if (!key.empty())
    if (const auto same = equal_.find(key); same != equal_.end()) {
      waiting_[same->second].count += r.count;
      return;
    }
  if (closing_ || waiting_.size() >= most_ || bytes_ + size > kMostBytes) {
    ++lost_;
    return;
  }
  if (!key.empty()) equal_.emplace(std::move(key), waiting_.size());
  bytes_ += size;
  waiting_.push_back(std::move(r));
  if (waiting_.size() == 1 || waiting_.size() == kBatch) wake_.notify_one();
}

void Recorder::lose(std::int64_t records) {
  const std::lock_guard guard(mutex_);
  lost_ += records;
}

std::int64_t Recorder::lost() const {
  const std::lock_guard guard(mutex_);
  return lost_;
}

void Recorder::write() {
  std::unique_lock lock(mutex_);
  for (;;) {
    wake_.wait(lock, [this] { return closing_ || !waiting_.empty(); });
    wake_.wait_for(lock, std::chrono::nanoseconds(kGather),
                   [this] { return closing_ || waiting_.size() >= kBatch; });
    const bool last = closing_;
    const std::vector<Record> batch = std::exchange(waiting_, {});
    equal_.clear();
    bytes_ = 0;
    const std::int64_t lost = lost_ - lost_told_;
    lock.unlock();
    Result<void> added;
    if (!batch.empty() || lost != 0) added = store_->add(batch, lost);
    lock.lock();
    if (added) {
      lost_told_ += lost;
    } else {
      lost_ += static_cast<std::int64_t>(batch.size());
      if (error_) error_ = added;
    }
    if (last) return;
  }
}

Result<void> Recorder::close() {
  {
    const std::lock_guard guard(mutex_);
    closing_ = true;
  }
  wake_.notify_one();
  if (thread_.joinable()) thread_.join();
  return error_;
}

}  // namespace txp
