// SPDX-License-Identifier: Apache-2.0
// The messages that are our own (message.h): text, with words parted by one space.
#include <algorithm>
#include <charconv>

#include <fmt/format.h>

#include "mirror/decode.h"

namespace txp {

namespace {

// Takes the first word off `text`.
std::string_view take_word(std::string_view& text) {
  const std::size_t end = std::min(text.find(' '), text.size());
  const std::string_view word = text.substr(0, end);
  text.remove_prefix(std::min(end + 1, text.size()));
  return word;
}

template <typename T>
bool number(std::string_view word, T& out, int base = 10) {
  const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), out, base);
  return error == std::errc{} && end == word.data() + word.size();
}

Result<Decoded> decode_xps(std::string_view text) {
  LinkXps x;
  if (!number(take_word(text), x.ifindex) || x.ifindex <= 0) return fail("no interface index");
  while (!text.empty()) {
    std::string_view mask = take_word(text);
    std::vector<std::uint32_t> words;
    while (mask != "-" && !mask.empty()) {
      const std::size_t comma = mask.rfind(',');
      const std::string_view last = comma == std::string_view::npos ? mask : mask.substr(comma + 1);
      std::uint32_t word = 0;
      if (!number(last, word, 16) || words.size() == 1024) return fail("a mask that is none");
      words.push_back(word);
      mask = comma == std::string_view::npos ? std::string_view{} : mask.substr(0, comma);
    }
    if (x.cpus.size() == 65536) return fail("too many queues");
    x.cpus.push_back(std::move(words));
  }
  return Decoded{.what = std::move(x)};
}

}  // namespace

std::string encode(const LinkXps& xps, const std::vector<std::string>& masks) {
  std::string text = fmt::format("{}", xps.ifindex);
  for (const std::string& m : masks) text += " " + (m.empty() ? "-" : m);
  return text;
}
std::string encode(const SysctlValue& v) { return v.path + "=" + v.value; }
std::string encode(const ForeignHook& h) {
  return fmt::format("{} {} {} {}", h.hook == NfHook::local_out ? "local_out" : "post_routing",
                     h.priority, h.kind, h.text);
}
std::string encode(const EgressHook& h) {
  return fmt::format("{} {} {}", h.ifindex, h.kind, h.text);
}
std::string encode(const PathObstacle& o) {
  return fmt::format("{} {} {}", name(o.stage), o.kind, o.text);
}

Result<Decoded> decode_own(const Message& m) {
  const void* bytes = m.raw.data();
  std::string_view text(static_cast<const char*>(bytes), m.raw.size());
  const auto bad = [&m](std::string_view why) {
    return fail(fmt::format("{}: {}", name(m.type), why));
  };
  if (m.raw.size() > 65536) return bad("too long");
  for (const char c : text)
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) return bad("control characters");
  switch (m.type) {
    case MessageType::xps: {
      auto x = decode_xps(text);
      if (!x) return bad(x.error().what);
      return x;
    }
    case MessageType::sysctl: {
      const std::size_t eq = text.find('=');
      if (eq == std::string_view::npos || eq == 0) return bad("not NAME=VALUE");
      return Decoded{
          .what = SysctlValue{std::string(text.substr(0, eq)), std::string(text.substr(eq + 1))}};
    }
    case MessageType::nf_hook: {
      ForeignHook h;
      const std::string_view hook = take_word(text);
      if (hook != "local_out" && hook != "post_routing") return bad("no such hook");
      h.hook = hook == "local_out" ? NfHook::local_out : NfHook::post_routing;
      if (!number(take_word(text), h.priority)) return bad("no priority");
      h.kind = take_word(text);
      h.text = text;
      return Decoded{.what = std::move(h)};
    }
    case MessageType::egress_hook: {
      EgressHook h;
      if (!number(take_word(text), h.ifindex) || h.ifindex <= 0) return bad("no interface index");
      h.kind = take_word(text);
      h.text = text;
      return Decoded{.what = std::move(h)};
    }
    case MessageType::obstacle: {
      const auto stage = find_stage(take_word(text));
      if (!stage) return bad("no such stage");
      PathObstacle o{*stage, std::string(take_word(text)), {}};
      o.text = text;
      return Decoded{.what = std::move(o)};
    }
    default: return bad("not one of ours");
  }
}

}  // namespace txp
