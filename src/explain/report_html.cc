// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "explain/report.h"

namespace txp {
namespace {

std::string escape(std::string_view text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&': out += "&amp;"; break;
      case '<': out += "&lt;"; break;
      case '>': out += "&gt;"; break;
      case '"': out += "&quot;"; break;
      default: out += c;
    }
  }
  return out;
}

constexpr std::string_view kStyle = R"(
:root{--bg:#fff;--fg:#1b1f24;--dim:#6a737d;--line:#d0d7de;--on:#dbeafe;--onl:#2563eb;
--good:#15803d;--bad:#b91c1c;--wait:#a16207}
@media(prefers-color-scheme:dark){:root{--bg:#14171a;--fg:#e6e8ea;--dim:#8b949e;--line:#333a41;
--on:#1e3a5f;--onl:#60a5fa;--good:#4ade80;--bad:#f87171;--wait:#facc15}}
body{background:var(--bg);color:var(--fg);font:15px/1.45 system-ui,sans-serif;margin:2rem auto;
max-width:72rem;padding:0 1rem}
h1{font-size:1.3rem;margin:0}code,pre,.o{font-family:ui-monospace,monospace;font-size:.86rem}
.v{font-size:1.1rem;font-weight:600;margin:.4rem 0 1.5rem}
.sent{color:var(--good)}.dropped,.error{color:var(--bad)}.queued,.unknown{color:var(--wait)}
main{display:grid;grid-template-columns:19rem 1fr;gap:2rem}
@media(max-width:60rem){main{grid-template-columns:1fr}}
svg text{font:13px ui-monospace,monospace;fill:var(--fg)}svg .off text{fill:var(--dim)}
svg rect{fill:none;stroke:var(--line);rx:5}svg .on rect{fill:var(--on);stroke:var(--onl)}
svg .end rect{stroke:var(--bad);stroke-width:2.5}svg .wait rect{stroke:var(--wait);stroke-width:2.5}
svg path{stroke:var(--dim);fill:none}
section{border-left:3px solid var(--onl);padding:.1rem 0 .3rem .8rem;margin:0 0 .7rem}
section.end{border-color:var(--bad)}section.wait{border-color:var(--wait)}
section h2{font:600 1rem ui-monospace,monospace;margin:0}h2 span{font-weight:400;color:var(--dim)}
.d{color:var(--dim);font-size:.86rem}.o b{color:var(--onl);font-weight:600}.o.no{color:var(--dim)}
pre{overflow-x:auto;border:1px solid var(--line);padding:.6rem;border-radius:5px}
)";

std::string_view mood(const ReportStage& s) {
  if (s.result == "drop" || s.result == "error") return "end";
  if (s.result == "queued" || s.result == "unknown") return "wait";
  return "on";
}

// The whole path from top to bottom; what the datagram walked is filled.
std::string drawing(const Explanation& x) {
  struct Seen {
    std::size_t times = 0;
    std::string_view mood = "on";
  };
  std::array<Seen, kStageCount> seen{};
  for (const ReportStage& s : x.stages) {
    Seen& at = seen[static_cast<std::size_t>(s.stage)];
    ++at.times;
    if (mood(s) != "on") at.mood = mood(s);
  }
  constexpr int kStep = 40;
  constexpr int kBox = 28;
  const bool tcp = x.flow.proto == FlowProto::tcp;
  const bool ipv6 = x.flow.dst6.has_value();
  const auto boxes = static_cast<int>(
      std::ranges::count_if(kPath, [&](const StageInfo& s) { return walks(s.walker, tcp, ipv6); }));
  std::string svg = fmt::format(
      "<svg viewBox=\"0 0 300 {}\" role=\"img\" aria-label=\"The send path\">\n", boxes * kStep);
  int y = 0;
  for (std::size_t i = 0; i < kStageCount; ++i) {
    if (!walks(kPath[i].walker, tcp, ipv6)) continue;
    const Seen& at = seen[i];
    const std::string mood_class = at.times == 0     ? "off"
                                   : at.mood == "on" ? "on"
                                                     : fmt::format("on {}", at.mood);
    const std::string label =
        escape(kPath[i].name) + (at.times > 1 ? fmt::format(" ×{}", at.times) : "");
    svg += fmt::format("<g class=\"{}\"><title>{}</title>", mood_class, escape(kPath[i].does));
    if (at.times > 0) svg += fmt::format("<a href=\"#s{}\">", i);
    svg += fmt::format(
        "<rect x=\"1\" y=\"{}\" width=\"296\" height=\"{}\"/><text x=\"12\" y=\"{}\">{}</text>",
        y + 1, kBox, y + 20, label);
    if (at.times > 0) svg += "</a>";
    if (i + 1 < kStageCount)
      svg += fmt::format("<path d=\"M150 {}v{}m-4 -4l4 4l4 -4\"/>", y + kBox + 1, kStep - kBox);
    svg += "</g>\n";
    y += kStep;
  }
  return svg + "</svg>\n";
}

std::string object_html(const ReportObject& o, bool matched) {
  return fmt::format("<div class=\"o{}\"><b>{}</b> {}{}</div>\n", matched ? "" : " no",
                     escape(o.kind), matched ? "" : "(no match) ", escape(object_line(o)));
}

std::string details(const Explanation& x) {
  std::string html;
  std::array<bool, kStageCount> linked{};
  for (const ReportStage& s : x.stages) {
    const auto i = static_cast<std::size_t>(s.stage);
    html += fmt::format("<section class=\"{}\"{}><h2>{} <span>{}</span></h2>\n", mood(s),
                        linked[i] ? "" : fmt::format(" id=\"s{}\"", i), escape(name(s.stage)),
                        escape(s.result));
    linked[i] = true;
    html += fmt::format("<div class=\"d\">{}</div>\n", escape(info(s.stage).does));
    for (const ReportObject& o : s.by) html += object_html(o, true);
    for (const ReportObject& o : s.also) html += object_html(o, false);
    if (const std::string out = fields_line(s.out); !out.empty())
      html += fmt::format("<div class=\"o\">→ {}</div>\n", escape(out));
    html += "</section>\n";
  }
  return html;
}

std::string frame_html(const ReportFrame& f, std::size_t number) {
  std::string hex;
  for (std::size_t i = 0; i < f.bytes.size(); ++i) {
    if (i % 16 == 0) hex += fmt::format("{}{:04x} ", i > 0 ? "\n" : "", i);
    hex += fmt::format(" {:02x}", f.bytes[i]);
  }
  return fmt::format("<h2>Frame {} on {}, {} bytes</h2>\n<pre>{}</pre>\n", number, escape(f.dev),
                     f.bytes.size(), hex);
}

}  // namespace

std::string explanation_html(const Explanation& x) {
  const std::string change = smallest_change(x);
  std::string html = fmt::format(
      "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
      "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">"
      "<title>{0}</title><style>{1}</style></head><body>\n<h1><code>{0}</code></h1>\n"
      "<p class=\"v {2}\">{3}{6}</p>\n<main><div>\n{4}</div><div>\n{5}",
      escape(flow_line(x)), kStyle, name(x.verdict), escape(verdict_sentence(x)), drawing(x),
      details(x),
      change.empty()
          ? ""
          : fmt::format("<br><span class=\"d\">to let it pass:</span> {}", escape(change)));
  for (std::size_t i = 0; i < x.frames.size(); ++i) html += frame_html(x.frames[i], i + 1);
  if (!x.masked.empty()) {
    html += "<p class=\"d\">Random, shown as zero:";
    for (const std::string& m : x.masked) html += fmt::format(" {}", escape(m));
    html += "</p>\n";
  }
  return html + "</div></main></body></html>\n";
}

}  // namespace txp
