// SPDX-License-Identifier: Apache-2.0
// The report: what this host would do with one datagram, stage by stage, with every deciding object
// and the exact frames. Its forms for programs and people are in report.h.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "base/errno.h"
#include "explain/flow_question.h"
#include "path.h"
#include "skb/drop_reason.h"
#include "wire/ip4.h"
#include "wire/ip6.h"

namespace txp {

class Net;
class Trace;
struct NamedObject;

using FieldValue = std::variant<std::string, std::int64_t, std::nullptr_t>;
using Fields = std::vector<std::pair<std::string, FieldValue>>;

// A deciding object: its kind, the fields that scripts ask for, and its own tool's words.
struct ReportObject {
  std::string kind;
  Fields fields;
  std::string text;
  std::vector<std::string> detail{};  // what it is made of, with the values met
};

struct ReportStage {
  Stage stage{};
  std::size_t len = 0;  // bytes as they came to the stage
  unsigned layer = 0;   // devices on devices above: 1 is the walk below a tunnel, VLAN or bridge
  std::string result;
  std::vector<ReportObject> by;
  std::vector<ReportObject> also;  // looked at, and did not match
  Fields out;
};

struct ReportFrame {
  std::string dev;
  std::uint16_t link_type = 1;  // ARPHRD_*
  std::vector<std::uint8_t> bytes;
  unsigned layer = 0;
  unsigned encaps = 0;  // outer IP headers of tunnels before the datagram's own
};

enum class Verdict : std::uint8_t { sent, dropped, queued, error, unknown };
std::string_view name(Verdict v);

struct Explanation {
  struct Flow {
    FlowProto proto = FlowProto::udp;
    std::optional<Ip4> src;              // nothing: not decided before the end
    std::optional<std::uint16_t> sport;  // nothing: random
    Ip4 dst;
    std::optional<Ip6> src6;  // of an IPv6 flow, instead
    std::optional<Ip6> dst6;
    std::uint16_t dport = 0;
    std::size_t len = 0;  // payload bytes
    std::optional<std::string> src_text() const {
      if (src6) return src6->str();
      return src ? std::optional(src->str()) : std::nullopt;
    }
    std::string dst_text() const { return dst6 ? dst6->str() : dst.str(); }
    // As it stands before ":PORT".
    std::string dst_host() const { return dst6 ? "[" + dst6->str() + "]" : dst.str(); }
    std::string src_host() const {
      return src6 ? "[" + src6->str() + "]" : src ? src->str() : dst6 ? "[*]" : "*";
    }
  };
  Flow flow;
  std::vector<ReportStage> stages;  // in the order they were walked
  Verdict verdict = Verdict::unknown;
  std::vector<ReportFrame> frames;
  std::vector<ReportFrame> inner_frames;  // as they came to devices that stand on others
  std::optional<Errno> error;             // of the send call, or of `failed_call`
  std::string failed_call;  // "bind", "setsockopt(SO_BINDTODEVICE)"; "": the send or none
  std::optional<DropReason> reason;
  std::optional<Stage> dropped_at;  // where the datagram, or a part of it, ended
  std::vector<ReportObject> unknown;
  std::vector<std::string> masked;
  bool conserved = true;  // false: a bug of ours (CounterTotals::conserved())
};

// Walks one datagram with `payload`, or with FlowProto::tcp the SYN of a connection, through `net`,
// whose drivers it replaces: nothing is really sent and no neighbour is asked. The Net is the
// caller's private copy of a configuration; it may be asked again, and then remembers what a
// namespace remembers (counters, quotas, sets). The verdict of a datagram that became several
// packets: unknown when any met what the engine does not implement; error when the call failed;
// dropped when any was dropped; queued when any waits; else sent. `caller_uid`: the socket's owner
// when the question names none. Thread safety: nobody else uses `net`.
Explanation explain_flow(Net& net, const FlowQuestion& question,
                         std::span<const std::uint8_t> payload, std::uint32_t caller_uid);

// The trace's stages in words. Inside an RcuReader, or with net.rtnl held.
std::vector<ReportStage> report_stages(const Net& net, const Trace& trace);
ReportObject report_object(const NamedObject& object);

// Makes random fields zero in `frames` ("udp.sport", "tcp.sport", "ip.id"; "outer.udp.sport" and
// "outer.ip.id" of the tunnels' headers before) and the checksums those of the frames with the
// zeros, so that equal questions have equal answers.
void mask_frames(std::span<ReportFrame> frames, std::span<const std::string> masked);

}  // namespace txp
