// SPDX-License-Identifier: Apache-2.0
// The story of one datagram: every stage it came to, the objects that decided there, its frames and
// its end. `explain` asks for one; a packet without one pays a branch on a null pointer.
//
// Stages hand in plain values; words are made in explain/ and in observe/, never in a stage.
#pragma once

#include <atomic>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/clock.h"
#include "base/errno.h"
#include "dev/fdb.h"
#include "dev/link.h"
#include "neigh/neigh_spec.h"
#include "path.h"
#include "route/fib_rules.h"
#include "route/route.h"
#include "route/route6.h"
#include "skb/drop_reason.h"

namespace txp {

struct Latency;
struct Skb;

// A deciding object of any other kind, in the words of its own tool.
struct NamedObject {
  std::string kind;  // "sysctl", "sockopt", "address", "nft-rule", "qdisc", "route-exception", ...
  std::string text;  // "net.ipv4.ip_default_ttl = 64"
  // For netfilter objects (cli.md).
  std::string family{};
  std::string table{};
  std::string chain{};
  std::uint64_t handle = 0;
  std::vector<std::string> detail{};  // what it is made of, with the values met: --detailed
};

// `ip nexthop` by id; the group's chosen member has its own object.
struct NexthopSpec {
  std::uint32_t id = 0;
  bool blackhole = false;
  bool fdb = false;
  std::uint8_t protocol = 0;
  std::uint8_t scope = 0;
  NextHop nh;
  std::vector<std::pair<std::uint32_t, std::uint16_t>> group;  // id, weight
  bool resilient = false;
  friend bool operator==(const NexthopSpec&, const NexthopSpec&) = default;
};

// The kind of an object that decided nothing: what would have let the packet pass.
inline constexpr std::string_view kWouldPass = "would-pass";

using Deciding = std::variant<NamedObject, FibRule, Route, NexthopSpec, NeighSpec, InAddr,
                              QdiscSpec, Link, Route6, In6Addr, FdbEntry>;

// A packet as it came to a stage: its first bytes, from the Ethernet header or from the IP header.
struct TraceBytes {
  std::vector<std::uint8_t> bytes;
  std::size_t len = 0;  // of the whole packet
  bool ethernet = false;
};

struct TraceStage {
  Stage stage;
  Nanos at = 0;
  std::size_t len = 0;
  std::uint8_t layer = 0;  // devices on devices above it (Skb::layer)
  TraceBytes bytes;
  std::string result = "ok";   // "ok", "accept", "drop", "queued", "error", "unknown", ...
  std::vector<Deciding> by;    // what decided
  std::vector<Deciding> also;  // what was looked at and did not match
  // Results worth printing, in order: ("dev", "va"), ("mtu", "1500"), ("gateway", "") prints null.
  std::vector<std::pair<std::string, std::variant<std::string, std::int64_t, std::nullptr_t>>> out;
};

struct TraceFrame {
  std::string dev;
  int ifindex = 0;
  Nanos at = 0;
  std::vector<std::uint8_t> bytes;
  std::uint8_t layer = 0;
  std::uint8_t encaps = 0;  // outer IP headers before the datagram's own
};

// Thread safety: none, but for hold() and release(); one datagram at a time, by the thread that
// walks it.
class Trace {
 public:
  explicit Trace(const Clock& clock) : clock_(clock) {}
  // One that only takes the time from stage to stage; whatever else it is told, it forgets.
  Trace(const Clock& clock, Latency& latency) : clock_(clock), latency_(&latency) {}
  bool tells() const { return latency_ == nullptr; }
  void stop_time();  // the last stage ends now

  // Keeps the first `most` bytes of the packet at every stage.
  void keep_bytes(std::size_t most) { keep_ = most; }
  void enter(Stage stage, std::size_t len);
  void enter(Stage stage, const Skb& skb);
  // About the newest record of `stage` (the newest record when it has none).
  void by(Stage stage, Deciding what);
  void also(Stage stage, Deciding what);
  void out(Stage stage, std::string_view key, std::string_view value);
  void out(Stage stage, std::string_view key, std::int64_t value);
  void out_null(Stage stage, std::string_view key);
  void result(Stage stage, std::string_view text);
  // The ends.
  void dropped(Stage stage, DropReason reason);
  void queued(Stage stage);
  void unknown(Stage stage, NamedObject object);
  // What is told without a packet at hand is of this layer.
  void layer(std::uint8_t layer) { layer_ = layer; }
  // A whole frame of layer and encaps, as a driver took it.
  void frame(const Link& dev, std::uint8_t layer, std::uint8_t encaps,
             std::vector<std::uint8_t> bytes);
  // The same by a device that hands it on to another.
  void inner_frame(const Link& dev, std::uint8_t layer, std::uint8_t encaps,
                   std::vector<std::uint8_t> bytes);
  // A random field that the walk chose: "udp.sport", "ip.id".
  void masked(std::string_view field);

  // Packets that tell it (TraceRef). When none is left, nothing more is told.
  void hold() { held_.fetch_add(1, std::memory_order_relaxed); }
  void release() { held_.fetch_sub(1, std::memory_order_release); }
  bool idle() const { return held_.load(std::memory_order_acquire) == 0; }

  const std::vector<TraceStage>& stages() const { return stages_; }
  const std::vector<TraceFrame>& frames() const { return frames_; }
  const std::vector<TraceFrame>& inner_frames() const { return inner_frames_; }
  const std::vector<NamedObject>& unknowns() const { return unknowns_; }
  const std::vector<std::string>& masked_fields() const { return masked_; }
  struct Drop {
    Stage stage;
    DropReason reason;
  };
  const std::vector<Drop>& drops() const { return drops_; }
  std::size_t queued_count() const { return queued_; }
  std::optional<Stage> queued_at() const { return queued_at_; }

 private:
  TraceStage& at(Stage stage);
  void take_time(Stage stage);
  const Clock& clock_;
  Latency* latency_ = nullptr;
  std::optional<Stage> timed_;  // since since_, in Clock::ticks()
  std::uint64_t since_ = 0;
  std::size_t keep_ = 0;
  std::atomic<int> held_{0};
  std::vector<TraceStage> stages_;
  std::uint8_t layer_ = 0;
  std::vector<TraceFrame> frames_;
  std::vector<TraceFrame> inner_frames_;
  std::vector<NamedObject> unknowns_;
  std::vector<std::string> masked_;
  std::vector<Drop> drops_;
  std::size_t queued_ = 0;
  std::optional<Stage> queued_at_;
};

// The trace when it wants words; what makes words asks this first.
inline Trace* telling(Trace* trace) { return trace != nullptr && trace->tells() ? trace : nullptr; }

}  // namespace txp
