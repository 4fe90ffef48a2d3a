// SPDX-License-Identifier: Apache-2.0
#include "kernel_diff/scenario.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <net/if.h>
#include <sys/socket.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>

#include "kernel_diff/sockopt_names.h"

namespace txp::kdiff {
namespace {

using Words = std::vector<std::string>;

// Words are separated by blanks; "..." keeps blanks; # begins a comment.
Result<Words> split(std::string_view line) {
  Words words;
  std::string word;
  bool in_word = false;
  bool quoted = false;
  for (const char c : line) {
    if (c == '"') {
      quoted = !quoted;
      in_word = true;
    } else if (!quoted && (c == ' ' || c == '\t')) {
      if (in_word) words.push_back(std::exchange(word, {}));
      in_word = false;
    } else if (!quoted && !in_word && c == '#') {
      break;
    } else {
      word += c;
      in_word = true;
    }
  }
  if (quoted) return fail("a quotation mark is not closed");
  if (in_word) words.push_back(word);
  return words;
}

// A datagram's content: long period, another start on every line, so that a swapped or shifted
// fragment shows.
std::vector<std::uint8_t> pattern(std::size_t n, int line) {
  std::vector<std::uint8_t> bytes(n);
  for (std::size_t i = 0; i < n; ++i)
    bytes[i] = static_cast<std::uint8_t>((i + static_cast<std::size_t>(line) * 7) % 251);
  return bytes;
}

Result<Addr> parse_sockaddr(const std::string& word) {
  if (word == "unspec") return Addr{};
  if (const std::optional<Addr> a = parse_addr_port(word)) return *a;
  return fail(fmt::format("'{}' is not ADDR:PORT", word));
}

Result<void> parse_control(const Words& w, std::size_t& at, Step& step) {
  ControlMessage m;
  std::size_t size = sizeof(int);
  if (at >= w.size()) return fail("cmsg wants a name");
  const std::string name = w[at++];
  if (const std::optional<OptionName> o = find_option(name)) {
    m.level = o->level;
    m.type = o->option;
    if (name == "UDP_SEGMENT") size = 2;
    if (name == "SO_TXTIME") size = 8;
  } else {
    const std::optional<std::int64_t> level = parse_number(name);
    const std::optional<std::int64_t> type = at < w.size() ? parse_number(w[at++]) : std::nullopt;
    if (!level || !type) return fail(fmt::format("'{}' is no control message", name));
    m.level = static_cast<int>(*level);
    m.type = static_cast<int>(*type);
  }
  Result<Value> value = parse_value(w, at, size);
  if (!value) return std::unexpected(value.error());
  m.value = std::move(*value);
  if (at + 1 < w.size() && w[at] == "size") {
    const std::optional<std::int64_t> len = parse_number(w[at + 1]);
    if (!len) return fail("size wants a number");
    m.len = static_cast<std::size_t>(*len);
    at += 2;
  }
  step.control.push_back(std::move(m));
  return {};
}

// What follows the socket and the address: len N | data TEXT | hex BYTES, MSG_*, cmsg ..., addrlen
// N, family F.
Result<void> parse_send(const Words& w, std::size_t at, Step& step) {
  while (at < w.size()) {
    const std::string& word = w[at++];
    const auto number = [&]() -> Result<std::int64_t> {
      const std::optional<std::int64_t> n = at < w.size() ? parse_number(w[at++]) : std::nullopt;
      if (!n || *n < 0) return fail(fmt::format("{} wants a number", word));
      return *n;
    };
    if (word == "len") {
      const Result<std::int64_t> n = number();
      if (!n) return std::unexpected(n.error());
      if (*n > 200'000) return fail("len is at most 200000");
      step.payload = pattern(static_cast<std::size_t>(*n), step.line);
    } else if (word == "data" && at < w.size()) {
      step.payload.assign(w[at].begin(), w[at].end());
      ++at;
    } else if (word == "hex") {
      --at;
      const Result<Value> bytes = parse_value(w, at, 0);
      if (!bytes) return std::unexpected(bytes.error());
      step.payload = bytes->bytes;
    } else if (word == "cmsg") {
      if (Result<void> done = parse_control(w, at, step); !done) return done;
    } else if (word == "addrlen") {
      const Result<std::int64_t> n = number();
      if (!n) return std::unexpected(n.error());
      step.addrlen = static_cast<std::size_t>(*n);
    } else if (word == "family" && step.addr) {
      const Result<std::int64_t> n = number();
      if (!n) return std::unexpected(n.error());
      step.addr->four.sin_family = step.addr->six.sin6_family = static_cast<sa_family_t>(*n);
    } else if (word == "flowinfo" && step.addr) {
      const Result<std::int64_t> n = number();
      if (!n) return std::unexpected(n.error());
      step.addr->six.sin6_flowinfo = htonl(static_cast<std::uint32_t>(*n));
    } else if (const std::optional<int> flag = find_flag(word)) {
      step.flags |= *flag;
    } else {
      return fail(fmt::format("'{}' is not understood here", word));
    }
  }
  return {};
}

struct CallName {
  std::string_view name;
  Verb verb;
  bool wants_addr;
};
constexpr CallName kCalls[] = {
    {"socket", Verb::socket, false},         {"bind", Verb::bind, true},
    {"connect", Verb::connect, true},        {"sendto", Verb::send, true},
    {"sendmsg", Verb::send, true},           {"send", Verb::send, false},
    {"sendmmsg", Verb::sendmmsg, false},     {"recv", Verb::recv, false},
    {"recvmsg", Verb::recvmsg, false},       {"setsockopt", Verb::setsockopt, false},
    {"getsockopt", Verb::getsockopt, false}, {"getsockname", Verb::getsockname, false},
    {"shutdown", Verb::shutdown, false},     {"close", Verb::close, false},
};

// Messages between slashes, each with an address of its own or `-`.
Result<void> parse_sendmmsg(const Words& w, std::size_t at, Step& step) {
  while (at < w.size()) {
    const std::size_t end = static_cast<std::size_t>(
        std::find(w.begin() + static_cast<std::ptrdiff_t>(at), w.end(), "/") - w.begin());
    Step message;
    message.line = step.line;
    if (w[at] != "-") {
      const Result<Addr> a = parse_sockaddr(w[at]);
      if (!a) return std::unexpected(a.error());
      message.addr = *a;
    }
    const Words part(w.begin() + static_cast<std::ptrdiff_t>(at) + 1,
                     w.begin() + static_cast<std::ptrdiff_t>(end));
    if (Result<void> done = parse_send(part, 0, message); !done) return done;
    step.messages.push_back(std::move(message));
    at = end + 1;
  }
  return {};
}

// MSG_*, size N (of the datagram's room), control N (of the control messages').
Result<void> parse_recvmsg(const Words& w, std::size_t at, Step& step) {
  while (at < w.size()) {
    const std::string& word = w[at++];
    if (const std::optional<int> flag = find_flag(word)) {
      step.flags |= *flag;
      continue;
    }
    const std::optional<std::int64_t> n = at < w.size() ? parse_number(w[at++]) : std::nullopt;
    if ((word != "size" && word != "control") || !n || *n < 0 || *n > 1 << 17)
      return fail(fmt::format("'{}' is not understood here", word));
    (word == "size" ? step.room : step.control_room) = static_cast<std::size_t>(*n);
  }
  return {};
}

// An option's name, or its level and number.
Result<void> parse_option(const Words& w, std::size_t& at, Step& step) {
  const std::string name = at < w.size() ? w[at++] : "";
  if (const std::optional<OptionName> o = find_option(name)) {
    step.level = o->level;
    step.option = o->option;
    return {};
  }
  const std::optional<std::int64_t> level = parse_number(name);
  const std::optional<std::int64_t> option = at < w.size() ? parse_number(w[at++]) : std::nullopt;
  if (!level || !option) return fail(fmt::format("'{}' is no option", name));
  step.level = static_cast<int>(*level);
  step.option = static_cast<int>(*option);
  return {};
}

Result<void> parse_call(const CallName& call, const Words& w, Step& step) {
  step.verb = call.verb;
  if (w.size() < 2) return fail(fmt::format("{} wants a socket's name", call.name));
  step.sock = w[1];
  std::size_t at = 2;
  if (call.wants_addr) {
    if (at >= w.size()) return fail(fmt::format("{} wants ADDR:PORT", call.name));
    const Result<Addr> a = parse_sockaddr(w[at++]);
    if (!a) return std::unexpected(a.error());
    step.addr = *a;
  }
  switch (step.verb) {
    case Verb::send: return parse_send(w, at, step);
    case Verb::sendmmsg: return parse_sendmmsg(w, at, step);
    case Verb::recvmsg: step.room = 1 << 17; return parse_recvmsg(w, at, step);
    case Verb::connect:
      if (at + 2 == w.size() && w[at] == "flowinfo") {
        const std::optional<std::int64_t> n = parse_number(w[at + 1]);
        if (!n) return fail("flowinfo wants a number");
        step.addr->six.sin6_flowinfo = htonl(static_cast<std::uint32_t>(*n));
        at += 2;
      }
      break;
    case Verb::socket:
      if (w.size() > 2 && w[2] == "inet6") {
        step.inet6 = true;
        Words rest = w;
        rest.erase(rest.begin() + 2);
        if (Result<void> done = parse_call(call, rest, step); !done) return done;
        return {};
      }
      if (w.size() == 3 && w[2] == "unprivileged") {
        step.unprivileged = true;
        at = 3;
      } else if (w.size() == 4 && w[2] == "uid") {
        const std::optional<std::int64_t> uid = parse_number(w[3]);
        if (!uid) return fail("uid wants a number");
        step.uid = static_cast<std::uint32_t>(*uid);
        at = 4;
      }
      break;
    case Verb::setsockopt:
    case Verb::getsockopt: {
      if (Result<void> done = parse_option(w, at, step); !done) return done;
      if (step.verb == Verb::getsockopt) {
        if (at + 2 == w.size() && w[at] == "size") {
          const std::optional<std::int64_t> n = parse_number(w[at + 1]);
          if (!n || *n < 0 || *n > 65536) return fail("size wants a number");
          step.room = static_cast<std::size_t>(*n);
          at += 2;
        }
        break;
      }
      Result<Value> v = parse_value(w, at, sizeof(int));
      if (!v) return std::unexpected(v.error());
      step.value = std::move(*v);
      break;
    }
    case Verb::shutdown: {
      const std::optional<std::int64_t> how = at < w.size() ? parse_number(w[at++]) : std::nullopt;
      if (!how) return fail("shutdown wants SHUT_RD, SHUT_WR or SHUT_RDWR");
      step.how = static_cast<int>(*how);
      break;
    }
    default: break;
  }
  if (at != w.size()) return fail(fmt::format("'{}' is too much", w[at]));
  return {};
}

// peer icmp TYPE CODE [REST]
Result<void> parse_icmp(Step& step) {
  step.verb = Verb::peer_icmp;
  std::int64_t numbers[3] = {};
  for (std::size_t i = 1; i < step.words.size() || i < 3; ++i) {
    const std::optional<std::int64_t> n = i < std::min<std::size_t>(step.words.size(), 4)
                                              ? parse_number(step.words[i])
                                              : std::nullopt;
    if (!n) return fail("peer icmp wants a type, a code and perhaps the header's second word");
    numbers[i - 1] = *n;
  }
  step.icmp_type = static_cast<std::uint8_t>(numbers[0]);
  step.icmp_code = static_cast<std::uint8_t>(numbers[1]);
  step.icmp_rest = static_cast<std::uint32_t>(numbers[2]);
  return {};
}

Result<void> parse_line(Words w, Step& step) {
  if (w[0] == "repeat" && w.size() > 2) {
    const std::optional<std::int64_t> n = parse_number(w[1]);
    if (!n || *n < 1 || *n > 10'000) return fail("repeat wants a number up to 10000");
    step.repeat = static_cast<unsigned>(*n);
    w.erase(w.begin(), w.begin() + 2);
  }
  if (w[0] == "setup" || w[0] == "peer") {
    step.verb = w[0] == "setup" ? Verb::setup : Verb::peer;
    step.words.assign(w.begin() + 1, w.end());
    if (step.words.empty()) return fail(fmt::format("{} wants a command", w[0]));
    if (step.verb == Verb::peer && step.words[0] == "answers") step.verb = Verb::peer_answers;
    if (step.verb == Verb::peer && step.words[0] == "icmp") return parse_icmp(step);
    return {};
  }
  if (w[0] == "sleep") {
    const std::optional<std::int64_t> ms = w.size() == 2 && w[1].ends_with("ms")
                                               ? parse_number(w[1].substr(0, w[1].size() - 2))
                                               : std::nullopt;
    if (!ms || *ms < 0 || *ms > 2000) return fail("sleep wants a time such as 20ms, up to 2000ms");
    step.verb = Verb::sleep;
    step.milliseconds = static_cast<int>(*ms);
    return {};
  }
  for (const CallName& call : kCalls)
    if (call.name == w[0]) return parse_call(call, w, step);
  return fail(fmt::format("'{}' is not a word of this language", w[0]));
}

}  // namespace

std::vector<std::uint8_t> Value::resolve() const {
  std::vector<std::uint8_t> done = bytes;
  for (const Interface& i : interfaces) {
    std::uint32_t index = if_nametoindex(i.name.c_str());
    if (i.big_endian) index = htonl(index);
    std::memcpy(done.data() + i.offset, &index, sizeof index);
  }
  return done;
}

void Addr::resolve() {
  if (!scope.empty()) six.sin6_scope_id = if_nametoindex(scope.c_str());
}

const sockaddr* Addr::get() const {
  return is6() ? reinterpret_cast<const sockaddr*>(&six) : reinterpret_cast<const sockaddr*>(&four);
}

Addr Addr::from(const sockaddr_storage& a) {
  Addr to;
  to.family = a.ss_family;
  if (to.is6())
    std::memcpy(&to.six, &a, sizeof to.six);
  else
    std::memcpy(&to.four, &a, sizeof to.four);
  return to;
}

std::optional<Addr> parse_addr_port(std::string_view text) {
  const std::size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return std::nullopt;
  const std::optional<std::int64_t> port = parse_number(text.substr(colon + 1));
  if (!port || *port < 0 || *port > 65535) return std::nullopt;
  Addr a;
  std::string host(text.substr(0, colon));
  if (host.starts_with('[') && host.ends_with(']')) {
    host = host.substr(1, host.size() - 2);
    if (const std::size_t percent = host.find('%'); percent != std::string::npos) {
      a.scope = host.substr(percent + 1);
      host.resize(percent);
    }
    a.family = a.six.sin6_family = AF_INET6;
    a.six.sin6_port = htons(static_cast<std::uint16_t>(*port));
    if (inet_pton(AF_INET6, host.c_str(), &a.six.sin6_addr) != 1) return std::nullopt;
    return a;
  }
  a.family = a.four.sin_family = AF_INET;
  a.four.sin_port = htons(static_cast<std::uint16_t>(*port));
  if (inet_pton(AF_INET, host.c_str(), &a.four.sin_addr) != 1) return std::nullopt;
  return a;
}

std::string addr_port(const Addr& a) {
  char text[INET6_ADDRSTRLEN] = {};
  if (a.is6()) {
    inet_ntop(AF_INET6, &a.six.sin6_addr, text, sizeof text);
    // Interface numbers differ from lab to lab; whether there is a scope does not.
    return fmt::format("[{}{}]:{}", text, a.six.sin6_scope_id != 0 ? "%" : "", a.port());
  }
  inet_ntop(AF_INET, &a.four.sin_addr, text, sizeof text);
  return fmt::format("{}:{}", text, a.port());
}

Result<Scenario> Scenario::parse(std::string name, std::string_view text) {
  Scenario s;
  s.name = std::move(name);
  s.source = text;
  std::map<std::string, bool> sockets;
  int number = 0;
  const auto bad = [&](const std::string& what) {
    return fail(fmt::format("{}.scn:{}: {}", s.name, number, what));
  };
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    const std::string line(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
    ++number;
    if (s.idea.empty()) {
      if (!line.starts_with("# ")) return bad("the first line is '# the one idea'");
      s.idea = line.substr(2);
      continue;
    }
    Result<Words> words = split(line);
    if (!words) return bad(words.error().what);
    if (words->empty()) continue;
    const bool may_fail = words->size() > 2 && (*words)[0] == "need" && (*words)[1] == "setup";
    if (may_fail) words->erase(words->begin());
    if (words->front() == "need") {
      for (std::size_t i = 1; i < words->size(); ++i) {
        const std::string& need = (*words)[i];
        if (need == "root")
          s.need_root = true;
        else if (need == "vc")
          s.need_vc = true;
        else if (need == "v6")
          s.need_v6 = true;
        else if (need == "once")
          s.need_once = true;
        else if (need == "program" && i + 1 < words->size())
          s.need_programs.push_back((*words)[++i]);
        else if (need.find('.') != std::string::npos)
          s.need_sysctls.push_back(need);
        else
          return bad(fmt::format("cannot need '{}'", need));
      }
      continue;
    }
    if (words->front() == "bound") {
      std::int64_t n = 0;
      const std::string& last = words->back();
      const auto [end, error] = std::from_chars(last.data(), last.data() + last.size(), n);
      if (words->size() < 3 || error != std::errc() || end != last.data() + last.size() || n <= 0)
        return bad("bound COUNTER N, with N above 0");
      std::string counter = (*words)[1];
      for (std::size_t i = 2; i + 1 < words->size(); ++i) counter += " " + (*words)[i];
      s.bounds[counter] = n;
      continue;
    }
    Step step;
    step.line = number;
    step.text = line;
    step.may_fail = may_fail;
    if (Result<void> done = parse_line(*words, step); !done) return bad(done.error().what);
    if (step.verb == Verb::socket)
      sockets[step.sock] = true;
    else if (step.is_call() && !sockets.contains(step.sock))
      return bad(fmt::format("there is no socket '{}' yet", step.sock));
    s.steps.push_back(std::move(step));
  }
  if (s.steps.empty()) return bad("nothing happens here");
  return s;
}

Result<Scenario> Scenario::load(const std::string& path) {
  std::ifstream file(path);
  if (!file) return fail(fmt::format("{}: cannot be read", path));
  std::ostringstream text;
  text << file.rdbuf();
  return parse(std::filesystem::path(path).stem().string(), text.str());
}

void Scenario::send_twice() {
  for (Step& step : steps)
    if (step.verb == Verb::send) step.repeat *= 2;
}

}  // namespace txp::kdiff
