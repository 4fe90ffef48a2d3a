// SPDX-License-Identifier: Apache-2.0
// The send path beside its peers, in one process, pinned to one core, in turn: every round gives
// each subject a few windows and takes their median, and the median of the rounds is what is told,
// with the smallest and the largest round beside it. Time is this thread's CPU time, system calls
// included, so that what else runs on the machine disturbs less.
//
//   build/bin/side_by_side [--json FILE] [--rounds N]
//
// Subjects that are not to be had here are left out with a word.
#include <sched.h>
#include <sys/utsname.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <fstream>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "dpdk_sender.h"
#include "kernel_sender.h"
#include "lwip_sender.h"
#include "txpath_sender.h"

namespace {

using Json = nlohmann::ordered_json;
using Payload = std::span<const std::uint8_t>;

constexpr double kWindow = 20e6;  // ns
constexpr int kWindows = 3;       // a round

struct Subject {
  std::string name;
  std::size_t largest = 65507;  // bytes of payload that it can send
  double datagrams = 1;         // a call
  std::function<bool(Payload)> send;
};

struct Row {
  std::string name;
  std::size_t size = 0;
  std::vector<double> rounds;  // ns a datagram
  double median() const {
    std::vector<double> sorted = rounds;
    std::ranges::sort(sorted);
    return sorted[sorted.size() / 2];
  }
};

double now() {
  timespec t{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) * 1e9 + static_cast<double>(t.tv_nsec);
}

// One window: ns a datagram; negative when a call failed.
double window(const Subject& s, Payload payload) {
  constexpr int kBetweenLooks = 256;
  const double start = now();
  double calls = 0;
  for (;;) {
    for (int i = 0; i < kBetweenLooks; ++i)
      if (!s.send(payload)) return -1;
    calls += kBetweenLooks;
    if (const double t = now() - start; t >= kWindow) return t / (calls * s.datagrams);
  }
}

double round_of(const Subject& s, Payload payload) {
  std::vector<double> windows;
  for (int i = 0; i < kWindows; ++i) windows.push_back(window(s, payload));
  std::ranges::sort(windows);
  return windows[windows.size() / 2];
}

std::string cpu_model() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);)
    if (line.starts_with("model name")) return line.substr(line.find(':') + 2);
  return "unknown";
}

std::string today() {
  const std::time_t t = std::time(nullptr);
  char text[16];
  std::strftime(text, sizeof text, "%Y-%m-%d", std::gmtime(&t));
  return text;
}

int fail(const std::string& why) {
  fmt::print(stderr, "side_by_side: {}\n", why);
  return 1;
}

}  // namespace

int main(int argc, char** argv) {
  std::string json_file;
  int rounds = 5;
  for (int i = 1; i + 1 < argc; i += 2) {
    if (std::string(argv[i]) == "--json") json_file = argv[i + 1];
    if (std::string(argv[i]) == "--rounds") rounds = std::max(1, std::atoi(argv[i + 1]));
  }
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(static_cast<unsigned>(std::max(0, sched_getcpu())), &one);
  sched_setaffinity(0, sizeof one, &one);

  TxpathSender flying("noqueue", true);
  TxpathSender walking("noqueue", false);
  LwipSender lwip;
  KernelSender kernel;
  std::vector<Subject> subjects = {
      {.name = "txpath, connected", .send = [&](Payload p) { return flying.send(p); }},
      {.name = "txpath, sendto", .send = [&](Payload p) { return flying.sendto(p); }},
      {.name = "txpath, batch of 32",
       .datagrams = TxpathSender::kBatch,
       .send = [&](Payload p) { return flying.send_batch(p); }},
      {.name = "txpath, reserve, fill, commit",
       .send = [&](Payload p) { return flying.commit(p); }},
      {.name = "txpath walking, connected", .send = [&](Payload p) { return walking.send(p); }},
      {.name = "txpath walking, sendto", .send = [&](Payload p) { return walking.sendto(p); }},
      {.name = "lwIP, connected", .send = [&](Payload p) { return lwip.send(p); }},
      {.name = "lwIP, sendto", .send = [&](Payload p) { return lwip.sendto(p); }}};
  if (kernel.why_not().empty()) {
    subjects.push_back(
        {.name = "kernel to ifb, connected", .send = [&](Payload p) { return kernel.send(p); }});
    subjects.push_back(
        {.name = "kernel to ifb, sendto", .send = [&](Payload p) { return kernel.sendto(p); }});
    subjects.push_back({.name = "kernel to ifb, sendmmsg of 32",
                        .datagrams = KernelSender::kBatch,
                        .send = [&](Payload p) { return kernel.sendmmsg(p); }});
    subjects.push_back({.name = "AF_PACKET to ifb", .largest = 1458, .send = [&](Payload p) {
                          return kernel.packet(p);
                        }});
  } else {
    fmt::print("left out: the kernel and AF_PACKET, {}\n", kernel.why_not());
  }
  DpdkSender dpdk;
  if (dpdk.why_not().empty())
    subjects.push_back({.name = "DPDK loop, burst of 32",
                        .datagrams = DpdkSender::kBatch,
                        .send = [&](Payload p) { return dpdk.send_batch(p); }});
  else
    fmt::print("left out: DPDK, {}\n", dpdk.why_not());
  fmt::print("left out: VPP, smoltcp, F-Stack, gVisor, no program of ours links them\n");

  const std::vector<std::uint8_t> bytes(8192, 0x5a);
  std::vector<Row> rows;
  for (const std::size_t size : {64UL, 1400UL, 8192UL}) {
    const Payload payload(bytes.data(), size);
    const std::size_t first = rows.size();
    for (const Subject& s : subjects)
      if (size <= s.largest) rows.push_back({s.name, size, {}});
    for (int r = 0; r < rounds; ++r) {
      std::size_t at = first;
      for (const Subject& s : subjects) {
        if (size > s.largest) continue;
        const double ns = round_of(s, payload);
        if (ns < 0) return fail(s.name + " refused a datagram");
        rows[at++].rounds.push_back(ns);
      }
    }
  }
  for (const TxpathSender* s : {&flying, &walking})
    if (const auto stats = s->stats(); !stats.conserved() || stats.dropped != 0)
      return fail("packets were lost");

  utsname u{};
  uname(&u);
  Json json{{"date", today()},
            {"cpu", cpu_model()},
            {"kernel", u.release},
            {"rounds", rounds},
            {"windows", kWindows},
            {"window_ms", kWindow / 1e6},
            {"unit", "ns a datagram, CPU time"},
            {"rows", Json::array()}};
  fmt::print("\n{}, Linux {}, one core, {}: ns of CPU time a datagram, median of {} rounds\n\n",
             cpu_model(), u.release, today(), rounds);
  fmt::print("| payload | | ns | smallest and largest round | txpath connected is |\n");
  fmt::print("|---|---|---|---|---|\n");
  double base = 0;
  std::size_t size = 0;
  for (const Row& row : rows) {
    const double median = row.median();
    if (row.size != size) {
      size = row.size;
      base = median;
    }
    const auto [least, most] = std::ranges::minmax(row.rounds);
    fmt::print("| {} B | {} | {:.1f} | {:.1f} to {:.1f} | {} |\n", row.size, row.name, median,
               least, most,
               median == base ? "" : fmt::format("{:.2f} times as fast", median / base));
    json["rows"].push_back({{"bytes", row.size},
                            {"subject", row.name},
                            {"median", median},
                            {"rounds", row.rounds},
                            {"ratio", median / base}});
  }
  if (!json_file.empty()) std::ofstream(json_file) << json.dump(1) << "\n";
  return 0;
}
