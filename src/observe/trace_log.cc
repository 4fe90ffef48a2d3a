// SPDX-License-Identifier: Apache-2.0
#include "observe/trace_log.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "net.h"
#include "observe/packet_filter.h"
#include "observe/trace_json.h"
#include "socket/sock.h"
#include "wire/ethernet.h"
#include "wire/ipv4.h"
#include "wire/udp.h"

namespace txp {
namespace {

constexpr std::size_t kRecent = 32;      // traces that the stat report shows
constexpr std::size_t kWaiting = 4096;   // traces whose packets wait; no more are begun then
constexpr std::size_t kWhole = 1 << 18;  // bytes of a packet for a capture

std::span<const std::uint8_t> network(const TraceBytes& b) {
  std::span<const std::uint8_t> bytes(b.bytes);
  return b.ethernet && bytes.size() >= kEthHlen ? bytes.subspan(kEthHlen) : bytes;
}

// The flow as it went out, from the last packet that shows it.
void learn_flow(const std::vector<TraceEvent>& events, TraceFlow& flow) {
  for (auto e = events.rbegin(); e != events.rend(); ++e) {
    const auto packet = network(e->bytes);
    const auto ip = Ipv4Header::parse(packet);
    if (!ip || (ip->frag_off & kIpOffset) != 0) continue;
    if (packet.size() < ip->hlen() || ip->protocol != kIpProtoUdp) continue;
    const auto udp = UdpHeader::parse(packet.subspan(ip->hlen()));
    if (!udp) continue;
    flow = {ip->saddr, udp->source, ip->daddr, udp->dest};
    return;
  }
}

std::vector<TraceEvent> events_of(const Net& net, const Trace& trace) {
  std::vector<TraceEvent> events;
  const RcuReader reader;
  std::vector<ReportStage> words = report_stages(net, trace);
  for (std::size_t i = 0; i < words.size(); ++i) {
    const TraceStage& t = trace.stages()[i];
    TraceEvent& e = events.emplace_back();
    e.stage = t.stage;
    e.since = t.at - trace.stages().front().at;
    e.len = t.len;
    e.result = std::move(words[i].result);
    e.by = std::move(words[i].by);
    e.out = std::move(words[i].out);
    e.bytes = t.bytes;
  }
  for (const Trace::Drop& d : trace.drops()) {
    const auto at = std::ranges::find_if(events, [&](const TraceEvent& e) {
      return e.stage == d.stage && !e.reason && e.result != "ok" && e.result != "accept";
    });
    if (at != events.end()) at->reason = d.reason;
  }
  return events;
}

}  // namespace

TracedPacket traced_packet(const Net& net, const Trace& trace) {
  TracedPacket packet;
  packet.events = events_of(net, trace);
  learn_flow(packet.events, packet.flow);
  return packet;
}

bool TracedPacket::lost() const {
  return error != 0 || std::ranges::any_of(events, [](const TraceEvent& e) { return !!e.reason; });
}

struct TraceLog::Entry {
  Entry(const Clock& clock, std::uint64_t number, std::size_t snap)
      : trace(clock), wall(clock.wall()) {
    trace.keep_bytes(snap);
    packet.number = number;
  }
  Trace trace;
  Nanos wall;
  TracedPacket packet;  // without its events
  bool ended = false;
};

TraceLog::TraceLog(Net& net, TraceSelection selection)
    : net_(net), selection_(std::move(selection)) {}

TraceLog::~TraceLog() = default;

Result<std::unique_ptr<TraceLog>> TraceLog::open(Net& net, TraceSelection selection) {
  std::unique_ptr<TraceLog> log(new TraceLog(net, std::move(selection)));
  if (!log->selection_.filter.empty()) {
    auto filter = PacketFilter::compile(log->selection_.filter);
    if (!filter) return std::unexpected(filter.error());
    log->filter_ = std::move(*filter);
  }
  return log;
}

void TraceLog::add(std::unique_ptr<TraceSink> sink) {
  const std::lock_guard guard(mutex_);
  whole_ = whole_ || sink->wants_bytes();
  sinks_.push_back(std::move(sink));
}

Trace* TraceLog::begin(Cpu& cpu) {
  if (cpu.trace_skip > 0) {
    --cpu.trace_skip;
    return nullptr;
  }
  cpu.trace_skip = selection_.one_in - 1;
  const std::lock_guard guard(mutex_);
  if (closed_ || entries_.size() >= kWaiting) return nullptr;
  return &entries_.emplace_back(net_.clock, ++begun_, whole_ ? kWhole : kFlowBytes).trace;
}

void TraceLog::end(Trace& trace, const Sock& sk, const MsgHdr& msg, int error) {
  const std::lock_guard guard(mutex_);
  const auto entry = std::ranges::find(entries_, &trace, [](const Entry& e) { return &e.trace; });
  if (entry == entries_.end()) return;
  if (error == EAGAIN && trace.idle()) {  // nothing happened: the caller tries again
    entries_.erase(entry);
    return;
  }
  const SockAddr4 to = msg.name.value_or(SockAddr4{sk.inet_daddr, sk.inet_dport});
  entry->packet.wall = entry->wall;
  entry->packet.flow = {sk.inet_saddr, sk.inet_num, to.addr, to.port};
  entry->packet.error = error;
  entry->ended = true;
  if (!trace.idle()) return;
  write(*entry);
  entries_.erase(entry);
}

void TraceLog::emit() {
  const std::lock_guard guard(mutex_);
  for (auto e = entries_.begin(); e != entries_.end();) {
    if (e->ended && e->trace.idle()) {
      write(*e);
      e = entries_.erase(e);
    } else {
      ++e;
    }
  }
}

// mutex_ held.
void TraceLog::write(const Entry& entry) {
  TracedPacket packet = entry.packet;
  packet.events = events_of(net_, entry.trace);
  if (selection_.drop_only && !packet.lost()) return;
  learn_flow(packet.events, packet.flow);
  if (filter_ && !filter_->matches(packet)) return;
  ++written_;
  for (const auto& sink : sinks_) sink->write(packet);
  for (TraceEvent& e : packet.events) e.bytes = {};
  recent_.push_back(std::move(packet));
  if (recent_.size() > kRecent) recent_.pop_front();
}

Result<void> TraceLog::close() {
  emit();
  const std::lock_guard guard(mutex_);
  if (closed_) return {};
  closed_ = true;
  for (const Entry& e : entries_)
    if (e.ended) write(e);
  Result<void> result;
  for (const auto& sink : sinks_)
    if (auto done = sink->close(); !done && result) result = done;
  return result;
}

std::uint64_t TraceLog::written() const {
  const std::lock_guard guard(mutex_);
  return written_;
}

Json TraceLog::recent() const {
  const std::lock_guard guard(mutex_);
  Json all = Json::array();
  for (const TracedPacket& p : recent_) all.push_back(trace_packet_json(p));
  return all;
}

}  // namespace txp
