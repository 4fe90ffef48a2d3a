// SPDX-License-Identifier: Apache-2.0
// Drops and failed calls of the kernel as records. What was seen of a packet before is kept for as
// long as it is under way, within bounds.
#include <algorithm>
#include <deque>
#include <nlohmann/json.hpp>
#include <unordered_map>

#include "base/errno.h"
#include "records/recorder.h"
#include "watch/drop_stage.h"
#include "watch/flow.h"
#include "watch/report.h"
#include "watch/sink.h"

namespace txp {
namespace {

constexpr std::size_t kStories = 4096;  // packets under way
constexpr std::size_t kLines = 64;      // of one

class WatchRecorder final : public WatchSink {
 public:
  explicit WatchRecorder(Recorder& recorder) : recorder_(recorder) {}

  void write(const WatchEvent& e, Nanos wall) override {
    const txp_watch_event& r = *e.raw;
    Json* story = r.packet != 0 ? story_of(r.packet) : nullptr;
    if (story != nullptr && story->size() < kLines) story->push_back(line(e, wall));
    const bool failed = r.point == TXP_POINT_sock_send_length && r.value < 0;
    if (!failed && e.reason.empty()) {
      if (r.point == TXP_POINT_consume_skb) stories_.erase(r.packet);
      return;
    }
    Record record;
    record.time = wall;
    record.source = record_source::kKernel;
    record.kind = failed ? record_kind::kFailure : record_kind::kDrop;
    record.netns = r.netns;
    record.pid = r.pid;
    record.command = std::string(r.comm, ::strnlen(r.comm, sizeof r.comm));
    record.dev = std::string(r.dev, ::strnlen(r.dev, sizeof r.dev));
    record.len = r.len;
    record.reason = e.reason;
    record.object = e.location;
    std::optional<Stage> stage = e.stage;
    if (failed) {
      record.error = Errno{-r.value}.name();
      if (const auto alone = error_stage(-r.value)) stage = alone;
    }
    if (stage) record.stage = name(*stage);
    if (const auto flow = watch_flow(r)) {
      record.proto = flow->proto;
      record.src = flow->src;
      record.dst = flow->dst;
      record.sport = flow->sport.value_or(0);
      record.dport = flow->dport.value_or(0);
    }
    // Drops that are alike become one, so those without a story stay without.
    if (story != nullptr && story->size() > 1) record.trace = finished(*story);
    if (r.point != TXP_POINT_sock_send_length) stories_.erase(r.packet);
    recorder_.put(std::move(record));
  }
  Result<void> close() override { return {}; }  // the recorder's own close() tells

 private:
  // A line of a story; its time is made one since the first by finished().
  static Json line(const WatchEvent& e, Nanos wall) {
    const txp_watch_event& r = *e.raw;
    const std::string word = watch_word(r);
    const std::string result = !e.reason.empty() ? "drop" : word.empty() ? "ok" : word;
    return Json{{"ns", wall},
                {"stage", e.stage ? Json(name(*e.stage)) : Json("(freed)")},
                {"len", r.len},
                {"result", result},
                {"reason", e.reason.empty() ? Json(nullptr) : Json(e.reason)},
                {"by", e.location.empty() ? Json::array() : Json::array({e.location})}};
  }
  static std::string finished(Json story) {
    Nanos first = story.front()["ns"];
    for (Json& l : story) l["ns"] = l["ns"].get<Nanos>() - first;
    return story.dump(-1, ' ', false, Json::error_handler_t::replace);
  }
  Json* story_of(std::uint64_t packet) {
    const auto [at, fresh] = stories_.try_emplace(packet, Json::array());
    if (fresh) {
      order_.push_back(packet);
      while (order_.size() > kStories) {
        if (order_.front() != packet) stories_.erase(order_.front());
        order_.pop_front();
      }
    }
    return &at->second;
  }

  Recorder& recorder_;
  std::unordered_map<std::uint64_t, Json> stories_;
  std::deque<std::uint64_t> order_;  // of stories_, and some that are gone
};

}  // namespace

std::unique_ptr<WatchSink> make_watch_recorder(Recorder& recorder) {
  return std::make_unique<WatchRecorder>(recorder);
}

}  // namespace txp
