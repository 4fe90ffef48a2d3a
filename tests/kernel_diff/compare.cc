// SPDX-License-Identifier: Apache-2.0
#include "kernel_diff/compare.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <set>

namespace txp::kdiff {
namespace {

using Frames = std::vector<const FrameRecord*>;

std::string call_name(const Scenario& scenario, const WorldRecord& world, std::size_t call) {
  if (call >= world.calls.size()) return "before any call";
  const Step& step = scenario.steps[world.calls[call].step];
  return fmt::format("line {}: {}", step.line, step.text);
}

Frames on_device(const WorldRecord& world, const std::string& dev) {
  Frames all;
  for (const FrameRecord& f : world.frames)
    if (f.dev == dev) all.push_back(&f);
  return all;
}

std::string masked_by(const FrameRecord& f) {
  std::string text;
  for (const std::string& m : f.masks) text += (text.empty() ? " [masked: " : ", ") + m;
  return text.empty() ? text : text + "]";
}

// The fields whose bytes differ; a field that only one has is told too.
std::string differing_fields(const Bytes& kernel, const Bytes& engine) {
  const std::vector<Field> a = fields(kernel);
  const std::vector<Field> b = fields(engine);
  std::string text = fmt::format("    {:<16}{:<34}{}\n", "field", "kernel", "engine");
  const auto bytes = [](const Bytes& f, const Field& x) {
    const auto from = f.begin() + static_cast<std::ptrdiff_t>(x.offset);
    return Bytes(from, from + static_cast<std::ptrdiff_t>(x.len));
  };
  const auto find = [](const std::vector<Field>& in, const std::string& name) {
    const auto at =
        std::find_if(in.begin(), in.end(), [&](const Field& f) { return f.name == name; });
    return at == in.end() ? nullptr : &*at;
  };
  for (const Field& x : a) {
    const Field* y = find(b, x.name);
    if (y == nullptr)
      text += fmt::format("    {:<16}{:<34}{}\n", x.name, x.value, "-");
    else if (bytes(kernel, x) != bytes(engine, *y))
      text += fmt::format("    {:<16}{:<34}{}\n", x.name, x.value,
                          x.value == y->value ? y->value + " (differs further on)" : y->value);
  }
  for (const Field& y : b)
    if (find(a, y.name) == nullptr)
      text += fmt::format("    {:<16}{:<34}{}\n", y.name, "-", y.value);
  return text;
}

std::string list_frames(const Scenario& scenario, const WorldRecord& world, const char* who,
                        const Frames& frames) {
  std::string text = fmt::format("    {} sent {}\n", who, frames.size());
  for (std::size_t i = 0; i < frames.size(); ++i)
    text += fmt::format("      {}  {}   ({})\n", i + 1, summary(frames[i]->raw),
                        call_name(scenario, world, frames[i]->call));
  return text;
}

std::string compare_calls(const Scenario& scenario, const WorldRecord& kernel,
                          const WorldRecord& engine) {
  std::string text;
  for (std::size_t i = 0; i < std::min(kernel.calls.size(), engine.calls.size()); ++i) {
    if (kernel.calls[i].answer == engine.calls[i].answer) continue;
    text +=
        fmt::format("  call {}, {}\n    kernel  {}\n    engine  {}\n", i + 1,
                    call_name(scenario, kernel, i), kernel.calls[i].answer, engine.calls[i].answer);
  }
  return text;
}

std::string compare_frames(const Scenario& scenario, const WorldRecord& kernel,
                           const WorldRecord& engine) {
  std::set<std::string> devices;
  for (const FrameRecord& f : kernel.frames) devices.insert(f.dev);
  for (const FrameRecord& f : engine.frames) devices.insert(f.dev);
  std::string text;
  for (const std::string& dev : devices) {
    const Frames a = on_device(kernel, dev);
    const Frames b = on_device(engine, dev);
    if (a.size() != b.size()) {
      text += fmt::format("  the number of frames on {} differs\n", dev);
      text += list_frames(scenario, kernel, "kernel", a);
      text += list_frames(scenario, engine, "engine", b);
    }
    // The first frame that differs tells most; more of the same would bury it.
    for (std::size_t i = 0; i < std::min(a.size(), b.size()); ++i) {
      if (a[i]->masked == b[i]->masked) continue;
      text += fmt::format("  frame {} on {} differs, from {}{}\n", i + 1, dev,
                          call_name(scenario, kernel, a[i]->call), masked_by(*a[i]));
      text += differing_fields(a[i]->masked, b[i]->masked);
      text += hexdumps(a[i]->masked, b[i]->masked, "kernel", "engine");
      std::size_t more = 0;
      for (std::size_t j = i + 1; j < std::min(a.size(), b.size()); ++j)
        more += a[j]->masked != b[j]->masked;
      if (more != 0) text += fmt::format("    and {} more frames on {}\n", more, dev);
      break;
    }
  }
  return text;
}

std::string compare_counters(const Scenario& scenario, const Counters& kernel,
                             const Counters& engine) {
  Counters all = kernel;
  all.insert(engine.begin(), engine.end());
  std::string text;
  const auto value = [](const Counters& c, const std::string& name) {
    const auto at = c.find(name);
    return at == c.end() ? std::int64_t{0} : at->second;
  };
  for (const auto& [name, unused] : all) {
    const std::int64_t a = value(kernel, name);
    const std::int64_t b = value(engine, name);
    const auto bound = scenario.bounds.find(name);
    if (bound != scenario.bounds.end() && std::abs(a - b) <= bound->second) continue;
    if (a != b) text += fmt::format("    {:<28}{:>+8}{:>+10}\n", name, a, b);
  }
  if (text.empty()) return text;
  return fmt::format("  counters differ\n    {:<28}{:>8}{:>10}\n", "gained", "kernel", "engine") +
         text;
}

}  // namespace

std::string differences(const Scenario& scenario, const WorldRecord& kernel,
                        const WorldRecord& engine) {
  std::string text;
  if (!kernel.failed.empty()) text += fmt::format("  kernel's world: {}\n", kernel.failed);
  if (!engine.failed.empty()) text += fmt::format("  engine's world: {}\n", engine.failed);
  if (!text.empty()) return text;
  text = compare_calls(scenario, kernel, engine) + compare_frames(scenario, kernel, engine) +
         compare_counters(scenario, kernel.counters, engine.counters);
  if (!text.empty())
    for (const std::string& n : engine.notes) text += fmt::format("  engine: {}\n", n);
  return text;
}

std::string story(const Scenario& scenario, const WorldRecord& world) {
  std::string text;
  if (!world.failed.empty()) text += fmt::format("  {}\n", world.failed);
  const auto tell_frames = [&](std::size_t call) {
    for (const FrameRecord& f : world.frames) {
      if (f.call != call) continue;
      text += fmt::format("      > {}  {}{}{}\n", f.dev, summary(f.raw),
                          f.superframe != 0 ? fmt::format(" (segment of {})", f.superframe) : "",
                          masked_by(f));
    }
  };
  for (std::size_t i = 0; i < world.calls.size(); ++i) {
    text += fmt::format("  {:<60} = {}\n", scenario.steps[world.calls[i].step].text,
                        world.calls[i].answer);
    tell_frames(i);
  }
  std::string line = "  gained:";
  for (const auto& [name, gained] : world.counters) {
    if (line.size() > 90) text += std::exchange(line, "         ") + "\n";
    line += fmt::format(" {} {:+}", name, gained);
  }
  if (!world.counters.empty()) text += line + "\n";
  for (const std::string& n : world.notes) text += fmt::format("  note: {}\n", n);
  return text;
}

std::string by_hand(const Scenario& scenario) {
  std::string text =
      "  by hand (S sends, P is the peer):\n"
      "    ip netns add S; ip netns add P\n"
      "    ip netns exec S sysctl -qw net.ipv6.conf.all.disable_ipv6=1 "
      "net.ipv4.igmp_link_local_mcast_reports=0\n"
      "    ip netns exec P sysctl -qw net.ipv6.conf.all.disable_ipv6=1\n"
      "    ip -n P rule add pref 10 lookup local; ip -n P rule del pref 0; "
      "ip -n P rule add pref 5 ipproto udp blackhole\n"
      "    ip -n S link set lo up; ip -n P link set lo up\n";
  const auto wire = [&](const char* here, const char* there, int n) {
    text += fmt::format(
        "    ip -n S link add {0} address 02:00:00:{2}:00:01 type veth peer name {1} address "
        "02:00:00:{2}:00:02 netns P\n"
        "    ip -n P addr add 10.{2}.0.2/24 dev {1}; ip -n P link set {1} up; "
        "ip -n S addr add 10.{2}.0.1/24 dev {0}; ip -n S link set {0} up\n",
        here, there, n);
  };
  if (scenario.need_v6) text += "    # IPv6 as tests/support/lab.cc has it (Lab::make)\n";
  wire("va", "vb", 77);
  if (scenario.need_vc) wire("vc", "vd", 78);
  for (const Step& s : scenario.steps) {
    std::string words;
    for (const std::string& w : s.words)
      words += (w.find(' ') != std::string::npos ? " '" + w + "'" : " " + w);
    if (s.verb == Verb::setup)
      text += fmt::format("    ip netns exec S{}\n", words);
    else if (s.verb == Verb::peer)
      text += fmt::format("    ip netns exec P{}\n", words);
    else if (s.verb == Verb::peer_answers)
      text += "    ip -n P rule del pref 5\n";
    else
      text += fmt::format("    # {}\n", s.text);
  }
  return text + "    ip netns del S; ip netns del P\n";
}

}  // namespace txp::kdiff
