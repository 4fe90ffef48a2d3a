// SPDX-License-Identifier: Apache-2.0
#include "observe/trace.h"

#include <algorithm>

#include "skb/skb.h"

namespace txp {

// Fragments and segments come to a stage again and again, so the newest record is the one meant.
TraceStage& Trace::at(Stage stage) {
  for (auto it = stages_.rbegin(); it != stages_.rend(); ++it)
    if (it->stage == stage) return *it;
  if (stages_.empty()) enter(stage, 0);
  return stages_.back();
}

void Trace::enter(Stage stage, std::size_t len) {
  if (latency_ != nullptr) return take_time(stage);
  TraceStage s;
  s.stage = stage;
  s.at = clock_.now();
  s.len = len;
  s.layer = layer_;
  stages_.push_back(std::move(s));
}

void Trace::enter(Stage stage, const Skb& skb) {
  layer_ = skb.layer;
  enter(stage, skb.len);
  if (latency_ != nullptr) return;
  if (keep_ == 0 || stage < Stage::ip_send_skb) return;  // no headers above
  TraceBytes& b = stages_.back().bytes;
  b.ethernet = skb.mac_header != 0 && skb.data == skb.mac();
  b.len = skb.len;
  const std::size_t most = std::min<std::size_t>(keep_, skb.len);
  b.bytes.assign(skb.data, skb.data + std::min<std::size_t>(most, skb.headlen()));
  for (const Skb* f = skb.frag_list; f != nullptr && b.bytes.size() < most; f = f->next)
    b.bytes.insert(b.bytes.end(), f->data,
                   f->data + std::min<std::size_t>(most - b.bytes.size(), f->len));
}

void trace_hold(Trace& trace) { trace.hold(); }
void trace_release(Trace& trace) { trace.release(); }

void Trace::by(Stage stage, Deciding what) {
  if (latency_ != nullptr) return;
  at(stage).by.push_back(std::move(what));
}

void Trace::also(Stage stage, Deciding what) {
  if (latency_ != nullptr) return;
  at(stage).also.push_back(std::move(what));
}

void Trace::out(Stage stage, std::string_view key, std::string_view value) {
  if (latency_ != nullptr) return;
  at(stage).out.emplace_back(key, std::string(value));
}

void Trace::out(Stage stage, std::string_view key, std::int64_t value) {
  if (latency_ != nullptr) return;
  at(stage).out.emplace_back(key, value);
}

void Trace::out_null(Stage stage, std::string_view key) {
  if (latency_ != nullptr) return;
  at(stage).out.emplace_back(key, nullptr);
}

void Trace::result(Stage stage, std::string_view text) {
  if (latency_ != nullptr) return;
  at(stage).result = text;
}

void Trace::dropped(Stage stage, DropReason reason) {
  if (latency_ != nullptr) return;
  drops_.push_back({stage, reason});
  // unknown() came before and says more.
  if (reason != DropReason::TXPATH_UNKNOWN) at(stage).result = "drop";
}

void Trace::queued(Stage stage) {
  if (latency_ != nullptr) return;
  ++queued_;
  queued_at_ = stage;
  at(stage).result = "queued";
}

void Trace::unknown(Stage stage, NamedObject object) {
  if (latency_ != nullptr) return;
  TraceStage& s = at(stage);
  s.result = "unknown";
  s.by.push_back(object);
  // Every fragment meets the same object; the report names it once.
  const bool known = std::ranges::any_of(unknowns_, [&](const NamedObject& u) {
    return u.kind == object.kind && u.text == object.text && u.handle == object.handle;
  });
  if (!known) unknowns_.push_back(std::move(object));
}

void Trace::frame(const Link& dev, std::uint8_t layer, std::uint8_t encaps,
                  std::vector<std::uint8_t> bytes) {
  if (latency_ != nullptr) return;
  frames_.push_back({dev.name, dev.ifindex, clock_.now(), std::move(bytes), layer, encaps});
}

void Trace::inner_frame(const Link& dev, std::uint8_t layer, std::uint8_t encaps,
                        std::vector<std::uint8_t> bytes) {
  if (latency_ != nullptr) return;
  inner_frames_.push_back({dev.name, dev.ifindex, clock_.now(), std::move(bytes), layer, encaps});
}

void Trace::masked(std::string_view field) {
  if (latency_ != nullptr) return;
  if (std::ranges::find(masked_, field) == masked_.end()) masked_.emplace_back(field);
}

}  // namespace txp
