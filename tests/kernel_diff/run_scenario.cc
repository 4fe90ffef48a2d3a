// SPDX-License-Identifier: Apache-2.0
#include "kernel_diff/run_scenario.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <filesystem>
#include <map>
#include <set>

#include "base/errno.h"
#include "kernel_diff/masks.h"
#include "kernel_diff/received_in_words.h"
#include "kernel_diff/world.h"

namespace txp::kdiff {
namespace {

std::string in_words(Answer a) {
  if (a >= 0) return fmt::format("{}", a);
  return fmt::format("-1 {}", Errno{static_cast<int>(-a)}.name());
}

// A list of cmsghdr as CMSG_NXTHDR() walks it. A wrong `size` is written but not followed.
Bytes control_bytes(const std::vector<ControlMessage>& messages) {
  Bytes all;
  for (const ControlMessage& m : messages) {
    const Bytes value = m.value.resolve();
    cmsghdr h{};
    h.cmsg_level = m.level;
    h.cmsg_type = m.type;
    h.cmsg_len = m.len.value_or(CMSG_LEN(value.size()));
    const std::size_t at = all.size();
    all.resize(at + CMSG_SPACE(value.size()));
    std::memcpy(&all[at], &h, sizeof h);
    if (!value.empty()) std::memcpy(&all[at + CMSG_LEN(0)], value.data(), value.size());
  }
  return all;
}

std::string value_in_words(const Step& step, const Bytes& v) {
  if (v.size() == 4) {
    std::int32_t n = 0;
    std::memcpy(&n, v.data(), 4);
    if (step.level == SOL_SOCKET && step.option == SO_ERROR && n != 0)
      return std::string(Errno{n}.name());
    return fmt::format("{}", n);
  }
  std::string text = "hex ";
  for (const std::uint8_t b : v) text += fmt::format("{:02x}", b);
  return v.empty() ? "none" : text;
}

// With NAT: every number that could be a port of those that the setup lines name. Else none.
std::set<std::uint16_t> ports_of_nat(const Scenario& scenario) {
  std::set<std::uint16_t> ports;
  bool nat = false;
  for (const Step& step : scenario.steps) {
    if (step.verb != Verb::setup) continue;
    for (const char* word : {"nat", "NAT", "masquerade", "MASQUERADE", "redirect", "REDIRECT"})
      nat |= step.text.find(word) != std::string::npos;
    std::uint32_t number = 0;
    for (const char c : step.text + ' ') {
      if (c >= '0' && c <= '9') {
        number = std::min(number * 10 + static_cast<std::uint32_t>(c - '0'), 1U << 16);
        continue;
      }
      if (number < 1U << 16) ports.insert(static_cast<std::uint16_t>(number));
      number = 0;
    }
  }
  return nat ? ports : std::set<std::uint16_t>();
}

class Runner {
 public:
  Runner(const Scenario& scenario, test::Lab& lab, World& world, const RunOptions& options)
      : scenario_(scenario), lab_(lab), world_(world), options_(options) {}

  WorldRecord run() {
    Counters before;
    bool begun = false;
    for (std::size_t i = 0; i < scenario_.steps.size() && record_.failed.empty(); ++i) {
      const Step& step = scenario_.steps[i];
      if (options_.step != nullptr) options_.step->store(static_cast<int>(i));
      const bool command =
          step.verb == Verb::setup || step.verb == Verb::peer || step.verb == Verb::peer_answers;
      if (!command && !begun) {
        lab_.sync_carrier();
        if (Result<void> done = world_.begin(); !done) {
          record_.failed = done.error().what;
          break;
        }
        begun = true;
        // What the setup itself sent, ARP with its own timers above all, is either seen here or
        // counted afterwards.
        (void)lab_.frames();
        do {
          before = world_.counters();
        } while (!lab_.frames().empty());
      }
      if (const std::size_t last = last_of_batch(i); last != i) {
        perform_batch(i, last);
        i = last;
      } else {
        for (unsigned n = 0; n < step.repeat && record_.failed.empty(); ++n) perform(i, step);
      }
      if (command && begun) {
        lab_.sync_carrier();
        if (Result<void> done = world_.changed(); !done) record_.failed = done.error().what;
      }
    }
    if (begun) {
      finish();
      count(before);
      record_.notes = world_.notes();
    }
    if (!record_.skipped.empty()) record_.failed.clear();
    return std::move(record_);
  }

 private:
  // Until nothing has come for two rounds: on a busy machine softirqs run late.
  void finish() {
    int quiet = 0;
    for (int round = 0; quiet < 2 && round < 50; ++round) {
      const std::size_t before = record_.frames.size();
      world_.settle(options_.quiet_ms);
      take_frames();
      quiet = record_.frames.size() == before ? quiet + 1 : 0;
    }
  }

  // `ip` commands that follow each other are one run of `ip -batch`, `nft add` one of `nft -f`.
  static bool batches(const Step& step, const std::string& command) {
    return step.verb == Verb::setup && step.repeat == 1 && !step.may_fail &&
           step.words.size() > 2 && step.words[0] == command &&
           (command == "nft" ? step.words[1] == "add" : step.words[1][0] != '-');
  }
  std::size_t last_of_batch(std::size_t first) const {
    const Step& step = scenario_.steps[first];
    const std::string command = step.words.empty() ? "" : step.words[0];
    std::size_t last = first;
    if ((command != "ip" && command != "nft") || !batches(step, command)) return first;
    while (last + 1 < scenario_.steps.size() && batches(scenario_.steps[last + 1], command)) ++last;
    return last;
  }
  void perform_batch(std::size_t first, std::size_t last) {
    std::string lines;
    for (std::size_t i = first; i <= last; ++i) {
      const std::vector<std::string>& words = scenario_.steps[i].words;
      for (std::size_t w = 1; w < words.size(); ++w)
        lines += fmt::format("{}{}", words[w], w + 1 == words.size() ? '\n' : ' ');
    }
    const bool nft = scenario_.steps[first].words[0] == "nft";
    const Result<void> done = nft ? lab_.in_sender({"nft", "-f", "-"}, lines)
                                  : lab_.in_sender({"ip", "-batch", "-"}, lines);
    if (done) return;
    // "... Command failed -:2", "/dev/stdin:2:14-20: Error: ..."
    const std::string& what = done.error().what;
    const std::string_view mark = nft ? "/dev/stdin:" : "-:";
    std::size_t line = 1;
    if (const std::size_t at = nft ? what.find(mark) : what.rfind(mark); at != std::string::npos)
      line = std::strtoul(what.c_str() + at + mark.size(), nullptr, 10);
    const std::size_t which = first + std::clamp<std::size_t>(line, 1, last - first + 1) - 1;
    record_.failed = fmt::format("line {}: {}", scenario_.steps[which].line, what);
  }

  void perform(std::size_t index, const Step& step) {
    if (!step.is_call()) {
      Result<void> done;
      switch (step.verb) {
        case Verb::setup: done = lab_.in_sender(step.words); break;
        case Verb::peer: done = lab_.in_peer(step.words); break;
        case Verb::peer_answers: done = lab_.peer_answers(); break;
        case Verb::peer_icmp:
          take_frames();
          done = peer_icmp(step);
          world_.settle(20);
          take_frames();
          break;
        default: world_.settle(step.milliseconds); take_frames();
      }
      if (!done && step.may_fail)
        record_.skipped = record_.failed = fmt::format("this kernel cannot: {}", step.text);
      else if (!done)
        record_.failed = fmt::format("line {}: {}", step.line, done.error().what);
      return;
    }
    record_.calls.push_back({index, {}});
    record_.calls.back().answer = call(step);
    refresh_sockets();
    take_frames();
  }

  // About the newest datagram on va, or the first fragment of it.
  Result<void> peer_icmp(const Step& step) {
    for (auto f = record_.frames.rbegin(); f != record_.frames.rend(); ++f)
      if (f->dev == "va")
        if (const Bytes error = icmp_about(f->raw, step.icmp_type, step.icmp_code, step.icmp_rest);
            !error.empty())
          return lab_.peer_sends(error);
    return fail("there was no datagram to complain about");
  }

  std::string call(const Step& step) {
    if (step.verb == Verb::socket) {
      const Answer a = world_.socket(step.inet6, step.uid, step.unprivileged);
      if (a < 0) return in_words(a);
      handles_[step.sock] = static_cast<int>(a);
      std::erase_if(sockets_, [&](const SocketState& s) { return s.name == step.sock; });
      sockets_.push_back({step.sock});
      sockets_.back().inet6 = step.inet6;
      return "0";
    }
    if (!handles_.contains(step.sock)) return "-1 EBADF";  // closed
    const int s = handles_[step.sock];
    SocketState& state = this->state(step.sock);
    switch (step.verb) {
      case Verb::bind: {
        const Answer a = world_.bind(s, resolved(*step.addr));
        if (a >= 0 && step.addr->port() != 0) state.port_is_drawn = false;
        return in_words(a);
      }
      case Verb::connect: {
        const Answer a = world_.connect(s, resolved(*step.addr));
        if (a >= 0) {
          state.connected = step.addr->family != AF_UNSPEC;
          state.epoch = ++epochs_;
        }
        return in_words(a);
      }
      case Verb::send: return send(s, step);
      case Verb::sendmmsg: return sendmmsg(s, step);
      case Verb::recv: return recv(s);
      case Verb::recvmsg: return recvmsg(s, step);
      case Verb::setsockopt:
        return in_words(world_.setsockopt(s, step.level, step.option, step.value.resolve()));
      case Verb::getsockopt: {
        Bytes value(step.room);
        const Answer a = world_.getsockopt(s, step.level, step.option, value);
        return a < 0 ? in_words(a) : value_in_words(step, value);
      }
      case Verb::getsockname: {
        Addr name;
        const Answer a = world_.getsockname(s, name);
        if (a < 0) return in_words(a);
        if (!state.port_is_drawn || name.port() == 0) return addr_port(name);
        const std::string text = addr_port(name);
        return text.substr(0, text.rfind(':')) + ":auto";
      }
      case Verb::shutdown: return in_words(world_.shutdown(s, step.how));
      default: {
        const Answer a = world_.close(s);
        handles_.erase(step.sock);
        state.name += fmt::format(" closed {}", ++closed_);  // what it sent may still be on its way
        return in_words(a);
      }
    }
  }

  static Addr resolved(Addr a) {
    a.resolve();
    return a;
  }

  // `name` keeps the address while the call is made.
  static SendCall send_call(const Step& step, const Bytes& control, Addr& name) {
    SendCall c;
    if (step.addr) {
      name = resolved(*step.addr);
      c.addr = &name;
    }
    c.addrlen = step.addrlen.value_or(step.addr ? step.addr->size() : 0);
    c.payload = step.payload;
    c.control = control;
    c.flags = step.flags;
    return c;
  }

  std::string send(int s, const Step& step) {
    const Bytes control = control_bytes(step.control);
    Addr name;
    const Answer a = world_.send(s, send_call(step, control, name));
    if (a >= 0) world_.settle(0);
    return in_words(a);
  }

  std::string sendmmsg(int s, const Step& step) {
    std::vector<Bytes> controls;
    std::vector<SendCall> calls;
    std::vector<Addr> names(step.messages.size());
    int flags = 0;  // the call has one word of them
    controls.reserve(step.messages.size());
    for (const Step& m : step.messages) {
      controls.push_back(control_bytes(m.control));
      calls.push_back(send_call(m, controls.back(), names[calls.size()]));
      flags |= m.flags;
    }
    const Answer a = world_.sendmmsg(s, calls, flags);
    if (a >= 0) world_.settle(0);
    return in_words(a);
  }

  std::string recvmsg(int s, const Step& step) {
    ReceivedMsg got;
    const Answer a = world_.recvmsg(s, {step.flags, step.room, step.control_room}, got);
    return a < 0 ? in_words(a) : received_in_words(a, got, sockets_);
  }

  std::string recv(int s) {
    Received got;
    const Answer a = world_.recv(s, got);
    if (a < 0) return in_words(a);
    const std::string from = name_in_words(got.from, sockets_);
    std::string text = fmt::format("{} bytes from {}", got.payload.size(), from);
    if (got.payload.empty()) return text;
    text += ": ";
    for (const std::uint8_t b : got.payload) text += fmt::format("{:02x}", b);
    return text;
  }

  SocketState& state(const std::string& name) {
    for (SocketState& s : sockets_)
      if (s.name == name) return s;
    return sockets_.emplace_back(SocketState{name});  // the parser forbids it
  }

  void refresh_sockets() {
    for (SocketState& s : sockets_) {
      if (!handles_.contains(s.name)) continue;
      Addr name;
      if (world_.getsockname(handles_[s.name], name) >= 0 && name.port() != 0) {
        s.port = name.port();
        if (s.port_is_drawn) s.drawn.insert(s.port);
      }
      Bytes label(sizeof(int));
      s.auto_label =
          s.inet6 &&
          world_.getsockopt(handles_[s.name], SOL_IPV6, IPV6_AUTOFLOWLABEL, label) >= 0 &&
          label.size() == 4 && label[0] != 0;
      Bytes value(sizeof(int));
      if (world_.getsockopt(handles_[s.name], SOL_IP, IP_MTU_DISCOVER, value) >= 0 &&
          value.size() == 4)
        s.ignore_df = value[0] < IP_PMTUDISC_DO || value[0] == IP_PMTUDISC_OMIT;
    }
  }

  // Whose call was the newest.
  std::string caller() const {
    return record_.calls.empty() ? std::string() : scenario_.steps[record_.calls.back().step].sock;
  }

  void take_frames() {
    std::vector<test::WireFrame> seen = lab_.frames();
    for (test::WireFrame& f : world_.loopback_frames()) seen.push_back(std::move(f));
    for (test::WireFrame& f : seen) {
      FrameRecord r;
      r.dev = std::move(f.dev);
      r.raw = std::move(f.bytes);
      r.superframe = f.superframe;
      r.first_segment = f.first_segment;
      if (is_arp(r.raw)) count_arp_above(r);
      r.call = record_.calls.empty() ? 0 : record_.calls.size() - 1;
      const bool several = !record_.calls.empty() &&
                           scenario_.steps[record_.calls.back().step].verb == Verb::sendmmsg;
      if (masker_.apply(r, sockets_, caller(), several)) record_.frames.push_back(std::move(r));
    }
  }

  // The masker takes ARP off the device that it was seen on; a device that stands on that one
  // counted it as well.
  void count_arp_above(const FrameRecord& r) {
    const std::string asked = lab_.link_with_address(std::span(r.raw).subspan<6, 6>());
    if (asked.empty() || asked == r.dev) return;
    arp_above_[asked + ".tx_packets"] += 1;
    arp_above_[asked + ".tx_bytes"] += static_cast<std::int64_t>(r.raw.size());
  }

  void count(const Counters& before) {
    // What the kernel sends by itself (MLD) is either seen or counted neither.
    Counters after;
    std::size_t seen;
    do {
      seen = masker_.seen();
      after = world_.counters();
      take_frames();
    } while (masker_.seen() != seen);
    for (const auto& [name, value] : after) {
      const auto b = before.find(name);
      std::int64_t gained = value - (b == before.end() ? 0 : b->second);
      record_.counters[name] = gained;
    }
    for (const auto& [name, value] : left_out_of_kernel()) {
      record_.counters[name] -= value;
      // The discipline's as well: "va.tx_bytes", "va.pfifo.bytes".
      const std::string dev = name.substr(0, name.find('.') + 1);
      const std::string what = name.substr(name.rfind('_') + 1);
      for (auto& [other, gained] : record_.counters)
        if (other.starts_with(dev) && other.ends_with("." + what) &&
            std::ranges::count(other, '.') == 2)
          gained -= value;
    }
    for (const auto& [name, value] : masker_.segments()) record_.counters[name] += value;
    std::erase_if(record_.counters, [](const auto& c) { return c.second == 0; });
  }

  // In the engine's world the kernel's ARP is not in the engine's counters to begin with.
  Counters left_out_of_kernel() const {
    if (!world_.counts_kernel_arp()) return {};
    Counters all = masker_.left_out();
    all.insert(arp_above_.begin(), arp_above_.end());
    return all;
  }

  const Scenario& scenario_;
  test::Lab& lab_;
  World& world_;
  const RunOptions& options_;
  WorldRecord record_;
  Masker masker_{ports_of_nat(scenario_)};
  Counters arp_above_;
  std::map<std::string, int> handles_;
  std::vector<SocketState> sockets_;
  unsigned epochs_ = 0;
  unsigned closed_ = 0;
};

}  // namespace

WorldRecord run_scenario(const Scenario& scenario, WorldKind kind, const RunOptions& options,
                         std::optional<test::Lab>& lab) {
  WorldRecord record;
  if (scenario.need_root && !test::is_root_of_the_host()) {
    record.skipped = "needs root outside of a user namespace";
    return record;
  }
  for (const std::string& name : scenario.need_sysctls) {
    std::string path = "/proc/sys/" + name;
    std::replace(path.begin(), path.end(), '.', '/');
    if (std::filesystem::exists(path)) continue;
    record.skipped = fmt::format("this kernel has no {}", name);
    return record;
  }
  for (const std::string& name : scenario.need_programs) {
    const bool there = std::ranges::any_of(
        std::array{"/usr/sbin/", "/usr/bin/", "/sbin/", "/bin/"},
        [&](const char* folder) { return std::filesystem::exists(folder + name); });
    if (there) continue;
    record.skipped = fmt::format("this host has no {}", name);
    return record;
  }
  const auto wires = scenario.need_vc ? test::Lab::Wires::two : test::Lab::Wires::one;
  Result<void> ready;
  if (lab && lab->wires() == wires && !lab->ipv6() && !scenario.need_v6) {
    ready = lab->reset();
  } else {
    lab.reset();
    Result<test::Lab> made = test::Lab::make(wires, scenario.need_v6);
    if (made)
      lab.emplace(std::move(*made));
    else
      ready = std::unexpected(made.error());
  }
  if (!ready) {
    record.failed = ready.error().what;
    return record;
  }
  // What leaves by AF_PACKET meets the kernel's own rules at the device's egress once more
  // (packet_direct_xmit()), what leaves by AF_XDP does not.
  const bool egress = scenario.source.find("hook egress") != std::string::npos &&
                      scenario.source.find("mtu ") == std::string::npos;  // at most a page
  const char* const driver = egress ? "af_xdp" : "af_packet";
  const std::unique_ptr<World> world = kind == WorldKind::kernel
                                           ? make_kernel_world(*lab)
                                           : make_engine_world(*lab, options.patience_ms, driver);
  return Runner(scenario, *lab, *world, options).run();
}

}  // namespace txp::kdiff
