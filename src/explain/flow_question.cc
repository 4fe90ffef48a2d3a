// SPDX-License-Identifier: Apache-2.0
#include "explain/flow_question.h"

#include <fmt/format.h>
#include <netinet/in.h>

#include <charconv>
#include <functional>
#include <utility>

namespace txp {
namespace {

constexpr std::pair<std::string_view, int> kDfWords[] = {{"dont", IP_PMTUDISC_DONT},
                                                         {"want", IP_PMTUDISC_WANT},
                                                         {"do", IP_PMTUDISC_DO},
                                                         {"probe", IP_PMTUDISC_PROBE}};

template <typename T>
Result<void> number(std::string_view word, std::string_view text, std::uint64_t max,
                    std::optional<T>& into) {
  const auto n = parse_number(text, max);
  if (!n) return fail(fmt::format("{} {}: a number from 0 to {} is wanted", word, text, max));
  into = static_cast<T>(*n);
  return {};
}

Result<void> from(FlowQuestion& q, std::string_view text) {
  const auto a = parse_addr_port(text);
  if (!a) return fail(fmt::format("from {}: {}", text, a.error().what));
  if (a->addr6) {
    q.from6 = a->addr6;
    q.from_scope = a->scope;
  } else {
    q.from = a->addr;
  }
  q.from_port = a->port.value_or(0);
  return {};
}

Result<void> to(FlowQuestion& q, std::string_view text) {
  const auto a = parse_addr_port(text);
  if (!a) return fail(fmt::format("to {}: {}", text, a.error().what));
  if (!a->port) return fail(fmt::format("to {0}: the port is missing, write to {0}:PORT", text));
  q.to = a->addr;
  q.to6 = a->addr6;
  q.to_scope = a->scope;
  q.to_port = *a->port;
  return {};
}

Result<void> df(FlowQuestion& q, std::string_view text) {
  for (const auto& [word, value] : kDfWords) {
    if (word == text) {
      q.df = value;
      return {};
    }
  }
  return fail(fmt::format("df {}: one of do, dont, want, probe is wanted", text));
}

// The words that take a value.
struct Word {
  std::string_view name;
  Result<void> (*take)(FlowQuestion&, std::string_view text);
  bool payload = false;
  bool udp = false;  // nothing that a connection has
};

constexpr Word kWords[] = {
    {"from", from},
    {"to", to},
    {"oif",
     [](FlowQuestion& q, std::string_view t) -> Result<void> {
       // IFNAMSIZ: the kernel would cut the name and bind to another device.
       if (t.empty() || t.size() > 15)
         return fail(fmt::format("oif {}: a device's name has 1 to 15 characters", t));
       q.oif = t;
       return {};
     }},
    {"mark",
     [](FlowQuestion& q, std::string_view t) { return number("mark", t, 0xffffffff, q.mark); }},
    {"tos", [](FlowQuestion& q, std::string_view t) { return number("tos", t, 255, q.tos); }},
    {"ttl", [](FlowQuestion& q, std::string_view t) { return number("ttl", t, 255, q.ttl); }},
    {"uid",
     [](FlowQuestion& q, std::string_view t) { return number("uid", t, 0xfffffffe, q.uid); }},
    {"df", df},
    {"gso", [](FlowQuestion& q, std::string_view t) { return number("gso", t, 65535, q.gso); },
     false, true},
    {"len", [](FlowQuestion& q, std::string_view t) { return number("len", t, kMaxLen, q.len); },
     true},
    {"data",
     [](FlowQuestion& q, std::string_view t) -> Result<void> {
       if (t.empty()) return fail("data: the file's name is empty");
       q.data = t;
       return {};
     },
     true},
};

bool taken_by(const Word& w, FlowProto proto, PayloadWords payload) {
  if (proto == FlowProto::tcp) return !w.payload && !w.udp;
  return !w.payload || payload == PayloadWords::yes;
}

std::string all_words(FlowProto proto, PayloadWords payload) {
  std::string list;
  for (const Word& w : kWords)
    if (taken_by(w, proto, payload)) list += fmt::format("{}{}", list.empty() ? "" : ", ", w.name);
  return proto == FlowProto::udp ? list + ", broadcast" : list;
}

}  // namespace

std::optional<std::uint64_t> parse_number(std::string_view text, std::uint64_t max) {
  int base = 10;
  if (text.starts_with("0x") || text.starts_with("0X")) {
    text.remove_prefix(2);
    base = 16;
  }
  std::uint64_t n = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), n, base);
  if (error != std::errc() || end != text.data() + text.size() || text.empty() || n > max)
    return std::nullopt;
  return n;
}

Result<AddrPort> parse_addr_port6(std::string_view text) {
  AddrPort result;
  std::string_view addr = text;
  if (text.starts_with('[')) {
    const auto close = text.find(']');
    if (close == std::string_view::npos) return fail("the bracket is not closed");
    addr = text.substr(1, close - 1);
    const std::string_view rest = text.substr(close + 1);
    if (!rest.empty()) {
      const auto n = rest.starts_with(':') ? parse_number(rest.substr(1), 65535) : std::nullopt;
      if (!n) return fail(fmt::format("port {}: a number from 0 to 65535 is wanted", rest));
      result.port = static_cast<std::uint16_t>(*n);
    }
  }
  if (const auto percent = addr.find('%'); percent != std::string_view::npos) {
    result.scope = addr.substr(percent + 1);
    addr = addr.substr(0, percent);
    if (result.scope.empty() || result.scope.size() > 15)
      return fail("behind % a device's name of 1 to 15 characters is wanted");
  }
  result.addr6 = Ip6::parse(addr);
  if (!result.addr6) return fail("an IPv6 address as [2001:db8::1]:53 is wanted");
  return result;
}

Result<AddrPort> parse_addr_port(std::string_view text) {
  const auto first = text.find(':');
  if (text.starts_with('[') ||
      (first != std::string_view::npos && text.find(':', first + 1) != std::string_view::npos))
    return parse_addr_port6(text);
  AddrPort result;
  std::string_view addr = text;
  const auto colon = text.find(':');
  if (colon != std::string_view::npos) {
    const std::string_view port = text.substr(colon + 1);
    const auto n = parse_number(port, 65535);
    if (!n) return fail(fmt::format("port {}: a number from 0 to 65535 is wanted", port));
    result.port = static_cast<std::uint16_t>(*n);
    addr = text.substr(0, colon);
  }
  const auto ip = Ip4::parse(addr);
  if (!ip) return fail("an IPv4 address as 10.0.0.2 is wanted");
  result.addr = *ip;
  return result;
}

std::string_view name(FlowProto proto) { return proto == FlowProto::udp ? "udp" : "tcp"; }

Result<FlowQuestion> parse_flow_question(std::span<const std::string> words, PayloadWords payload,
                                         FlowProto proto) {
  FlowQuestion q;
  q.proto = proto;
  std::vector<std::string_view> seen;
  for (std::size_t i = 0; i < words.size(); ++i) {
    const std::string& word = words[i];
    for (const std::string_view s : seen)
      if (s == word) return fail(fmt::format("{}: given twice", word));
    seen.emplace_back(word);
    if (word == "broadcast" && proto == FlowProto::udp) {
      q.broadcast = true;
      continue;
    }
    const Word* known = nullptr;
    for (const Word& w : kWords)
      if (w.name == word && taken_by(w, proto, payload)) known = &w;
    if (known == nullptr)
      return fail(fmt::format("{}: unknown word, known{} are {}", word,
                              proto == FlowProto::tcp ? " with tcp" : "",
                              all_words(proto, payload)));
    if (i + 1 == words.size()) return fail(fmt::format("{}: its value is missing", word));
    if (auto taken = known->take(q, words[++i]); !taken) return std::unexpected(taken.error());
  }
  const auto given = [&](std::string_view word) {
    for (const std::string_view s : seen)
      if (s == word) return true;
    return false;
  };
  if (!given("to")) return fail("the destination is missing, write to ADDR:PORT");
  if (q.to6 ? q.from.has_value() : q.from6.has_value())
    return fail("from and to are of different families, give both as IPv4 or both as IPv6");
  if (q.to6 && proto == FlowProto::tcp) return fail("tcp is asked over IPv4 only in this version");
  if (q.len && !q.data.empty()) return fail("len and data exclude each other, give one");
  return q;
}

}  // namespace txp
