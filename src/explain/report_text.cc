// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "explain/frame_layout.h"
#include "explain/ip_text.h"
#include "explain/report.h"
#include "observe/trace.h"
#include "wire/ipv4.h"

namespace txp {
namespace {

// Terminal colours (ECMA-48), or nothing.
struct Paint {
  bool on;
  std::string operator()(std::string_view code, std::string_view text) const {
    return on ? fmt::format("\x1b[{}m{}\x1b[0m", code, text) : std::string(text);
  }
};
constexpr std::string_view kBold = "1";
constexpr std::string_view kDim = "2";
constexpr std::string_view kRed = "1;31";
constexpr std::string_view kGreen = "1;32";
constexpr std::string_view kYellow = "1;33";

std::string_view colour_of(Verdict v) {
  switch (v) {
    case Verdict::sent: return kGreen;
    case Verdict::queued:
    case Verdict::unknown: return kYellow;
    default: return kRed;
  }
}

std::string value_text(const FieldValue& v) {
  if (const auto* text = std::get_if<std::string>(&v)) return *text;
  if (const auto* n = std::get_if<std::int64_t>(&v)) return std::to_string(*n);
  return "none";
}

const FieldValue* field(const Fields& fields, std::string_view key) {
  for (const auto& [k, v] : fields)
    if (k == key) return &v;
  return nullptr;
}

// A walk below another one stands further in.
std::string indent(unsigned layer) { return std::string(std::size_t{4} * layer, ' '); }

std::string objects(const std::vector<ReportObject>& list, const Paint& paint,
                    std::string_view prefix, bool detailed, unsigned layer) {
  std::string text;
  for (const ReportObject& o : list) {
    text += fmt::format("{}      {} {}{}\n", indent(layer),
                        paint(kDim, fmt::format("{:<9}", o.kind)), prefix, object_line(o));
    if (detailed)
      for (const std::string& d : o.detail)
        text += fmt::format("{}                {}\n", indent(layer), d);
  }
  return text;
}

std::string stage_text(const ReportStage& s, Detail detail, const Paint& paint) {
  std::string line =
      fmt::format("{}  {}", indent(s.layer), paint(kBold, fmt::format("{:<22}", name(s.stage))));
  if (detail == Detail::detailed) line += fmt::format(" {:>5} B", s.len);
  const bool bad = s.result == "drop" || s.result == "error";
  if (s.result != "ok")
    line += "  " + paint(bad ? kRed : s.result == "accept" ? kGreen : kYellow, s.result);
  if (const std::string out = fields_line(s.out); !out.empty()) line += "  " + out;
  while (line.ends_with(' ')) line.pop_back();
  line += '\n';
  const bool detailed = detail == Detail::detailed;
  line += objects(s.by, paint, "", detailed, s.layer);
  if (detailed) line += objects(s.also, paint, "no match: ", detailed, s.layer);
  return line;
}

std::string hexdump(const std::vector<std::uint8_t>& bytes) {
  std::string text;
  for (std::size_t at = 0; at < bytes.size(); at += 16) {
    text += fmt::format("    {:04x} ", at);
    std::string letters;
    for (std::size_t i = at; i < at + 16; ++i) {
      if (i % 8 == 0) text += ' ';
      if (i >= bytes.size()) {
        text += "   ";
        continue;
      }
      text += fmt::format("{:02x} ", bytes[i]);
      letters += bytes[i] >= 0x20 && bytes[i] < 0x7f ? static_cast<char>(bytes[i]) : '.';
    }
    text += fmt::format(" {}\n", letters);
  }
  return text;
}

// The frame's headers in tcpdump's manner.
std::string frame_line(const ReportFrame& f) {
  std::string line;
  std::span<const std::uint8_t> packet(f.bytes);
  if (has_ethernet_header(f.link_type)) {
    const auto eth = EthernetHeader::parse(packet);
    if (!eth) return "cut";
    line = fmt::format("{} > {} ", eth->source.str(), eth->dest.str());
    packet = packet.subspan(kEthHlen);
  }
  const auto ip = Ipv4Header::parse(packet);
  if (!ip) return line + "not IPv4";
  line +=
      fmt::format("IPv4 {} > {} ttl {} tos {:#x} id {}{} len {}", ip->saddr.str(), ip->daddr.str(),
                  ip->ttl, ip->tos, ip->id, (ip->frag_off & kIpDf) != 0 ? " DF" : "", ip->tot_len);
  if ((ip->frag_off & (kIpMf | kIpOffset)) != 0)
    line += fmt::format(" fragment at {}{}", (ip->frag_off & kIpOffset) * 8,
                        (ip->frag_off & kIpMf) != 0 ? ", more follow" : ", the last");
  return line;
}

std::string plural(std::size_t n, std::string_view what) {
  return fmt::format("{} {}{}", n, what, n == 1 ? "" : "s");
}

std::string sent_sentence(const Explanation& x) {
  if (x.frames.empty()) return "sent: no frame appears on a wire";
  std::string devices;
  std::string sizes;
  for (std::size_t i = 0; i < x.frames.size(); ++i) {
    const ReportFrame& f = x.frames[i];
    if (devices.find(f.dev) == std::string::npos) devices += (i > 0 ? ", " : "") + f.dev;
    constexpr std::size_t kNamed = 4;  // sizes told before "..."
    if (i < kNamed) sizes += fmt::format("{}{}", i > 0 ? ", " : "", f.bytes.size());
    if (i == kNamed) sizes += ", ...";
  }
  return fmt::format("sent: {} leave{} on {}, {} bytes", plural(x.frames.size(), "frame"),
                     x.frames.size() == 1 ? "s" : "", devices, sizes);
}

std::string queued_sentence(const Explanation& x) {
  for (auto s = x.stages.rbegin(); s != x.stages.rend(); ++s) {
    if (s->result != "queued") continue;
    if (s->stage == Stage::qdisc_enqueue)
      return fmt::format("queued: it waits at {} for its discipline to let it go", name(s->stage));
    for (auto h = x.stages.rbegin(); h != x.stages.rend(); ++h)
      if (const FieldValue* v = field(h->out, "nexthop"); v != nullptr)
        return fmt::format("queued: it waits at {} until {} has a hardware address", name(s->stage),
                           value_text(*v));
    return fmt::format("queued: it waits at {}", name(s->stage));
  }
  return "queued";
}

}  // namespace

std::string fields_line(const Fields& fields) {
  std::string line;
  for (const auto& [key, value] : fields)
    line += fmt::format("{}{} {}", line.empty() ? "" : ", ", key, value_text(value));
  return line;
}

const ReportObject* decided(const std::vector<ReportObject>& by) {
  const auto last = std::find_if(by.rbegin(), by.rend(),
                                 [](const ReportObject& o) { return o.kind != kWouldPass; });
  return last != by.rend() ? &*last : nullptr;
}

std::string object_line(const ReportObject& o) {
  if (o.kind == "rule")
    if (const FieldValue* v = field(o.fields, "priority"); v != nullptr)
      return fmt::format("{}: {}", value_text(*v), o.text);
  if (o.kind == "route")
    if (const FieldValue* v = field(o.fields, "table"); v != nullptr) {
      const auto* n = std::get_if<std::int64_t>(v);
      return fmt::format(
          "{} (table {})", o.text,
          n != nullptr ? table_name(static_cast<std::uint32_t>(*n)) : value_text(*v));
    }
  if (o.kind.starts_with("nft")) {
    std::string place;
    for (const std::string_view key : {"family", "table", "chain"})
      if (const FieldValue* v = field(o.fields, key); v != nullptr) place += value_text(*v) + " ";
    if (const FieldValue* v = field(o.fields, "handle"); v != nullptr)
      place += fmt::format("handle {} ", value_text(*v));
    return place.empty() ? o.text
                         : fmt::format("{}: {}", place.substr(0, place.size() - 1), o.text);
  }
  return o.text;
}

std::string flow_line(const Explanation& x) {
  return fmt::format("{} {}:{} > {}:{}, {}", name(x.flow.proto), x.flow.src_host(),
                     x.flow.sport ? std::to_string(*x.flow.sport) : "*", x.flow.dst_host(),
                     x.flow.dport,
                     x.flow.proto == FlowProto::tcp ? "SYN" : fmt::format("{} bytes", x.flow.len));
}

std::string verdict_sentence(const Explanation& x) {
  switch (x.verdict) {
    case Verdict::sent: return sent_sentence(x);
    case Verdict::dropped:
      return fmt::format("dropped at {}: {}", name(*x.dropped_at), name(*x.reason));
    case Verdict::queued: return queued_sentence(x);
    case Verdict::error: {
      const std::string why = fmt::format("{} ({})", x.error->name(), std::strerror(x.error->code));
      if (!x.failed_call.empty()) return fmt::format("error: {} fails with {}", x.failed_call, why);
      return fmt::format("error: {} fails with {}{}",
                         x.flow.proto == FlowProto::tcp ? "connect" : "the send call", why,
                         x.dropped_at ? fmt::format(", at {}", name(*x.dropped_at)) : "");
    }
    case Verdict::unknown: break;
  }
  std::string objects;
  for (const ReportObject& o : x.unknown)
    objects += fmt::format("{}{}", objects.empty() ? "" : "; ", object_line(o));
  return "unknown: not implemented here: " + (objects.empty() ? "(no name)" : objects);
}

std::string explanation_text(const Explanation& x, Detail detail, bool colour) {
  const Paint paint{colour};
  const std::string sentence = verdict_sentence(x);
  const std::size_t colon = sentence.find_first_of(": ");
  const std::string verdict = paint(colour_of(x.verdict), sentence.substr(0, colon)) +
                              (colon == std::string::npos ? "" : sentence.substr(colon)) + "\n";
  if (detail == Detail::minimal) return verdict;
  std::string text = paint(kBold, flow_line(x)) + "\n";
  for (const ReportStage& s : x.stages) {
    const bool decided = !s.by.empty() || s.result != "ok";
    if (detail != Detail::summary || decided) text += stage_text(s, detail, paint);
  }
  if (detail == Detail::detailed) {
    for (const ReportFrame& f : x.inner_frames)
      text += fmt::format("  inner frame on {}, {} bytes: {}\n{}", f.dev, f.bytes.size(),
                          frame_line(f), hexdump(f.bytes));
    for (std::size_t i = 0; i < x.frames.size(); ++i)
      text += fmt::format("  frame {} on {}, {} bytes: {}\n{}", i + 1, x.frames[i].dev,
                          x.frames[i].bytes.size(), frame_line(x.frames[i]),
                          hexdump(x.frames[i].bytes));
    if (!x.masked.empty()) {
      std::string masked;
      for (const std::string& m : x.masked) masked += (masked.empty() ? "" : ", ") + m;
      text += fmt::format("  random, shown as zero: {}\n", masked);
    }
  }
  if (const std::string change = smallest_change(x); !change.empty())
    return fmt::format("{}{}to let it pass: {}\n", text, verdict, change);
  return text + verdict;
}

}  // namespace txp
