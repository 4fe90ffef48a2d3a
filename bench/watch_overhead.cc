// SPDX-License-Identifier: Apache-2.0
// What `watch` costs the kernel's own sendto(): pairs of windows, one without and one with the
// programs attached, in the order ABBA so that a drift of the machine falls on both alike. Prints
// the median of the pairs' ratios, and fails where it is above the bound.
//
// Needs root, and an ifb device (whose driver drops every frame).
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <ctime>
#include <string_view>
#include <vector>

#include "kernel_sender.h"
#include "watch/watch.h"

namespace {

// Of this thread alone: other programs on the machine do not count.
double cpu_ns() {
  timespec t{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) * 1e9 + static_cast<double>(t.tv_nsec);
}

double ns_a_send(KernelSender& kernel) {
  constexpr std::array<std::uint8_t, 64> kPayload{};
  constexpr double kWindow = 10e6;
  double n = 0, now = 0;
  const double begin = cpu_ns();
  do {
    for (int i = 0; i < 64; ++i) kernel.sendto(kPayload);
    n += 64;
    now = cpu_ns();
  } while (now - begin < kWindow);
  return (now - begin) / n;
}

double median(std::vector<double> v) {
  std::ranges::sort(v);
  return v[v.size() / 2];
}

struct Mode {
  std::string_view name;
  double bound;  // ratio; 0: none is promised
  txp::WatchOptions options;
};

// Not measured: why.
std::string measure(KernelSender& kernel, const Mode& mode, bool& good) {
  txp::WatchOptions options = mode.options;
  options.netns = txp::this_netns();
  std::vector<double> without, with, ratios;
  for (int pair = 0; pair < 31; ++pair) {
    double a = 0, b = 0;
    if (pair % 2 == 0) a = ns_a_send(kernel);
    {
      auto watch = txp::Watch::open(options);
      if (!watch) return watch.error().what;
      ns_a_send(kernel);  // warm
      b = ns_a_send(kernel);
    }
    if (pair % 2 == 1) a = ns_a_send(kernel);
    without.push_back(a);
    with.push_back(b);
    ratios.push_back(b / a);
  }
  const double ratio = median(ratios);
  const bool in_bound = mode.bound == 0 || ratio <= mode.bound;
  good = good && in_bound;
  fmt::print("{:<34}{:>9.0f}{:>9.0f}{:>8.3f}  {}\n", mode.name, median(without), median(with),
             ratio,
             mode.bound == 0 ? ""
             : in_bound      ? fmt::format("at most {:.2f}", mode.bound)
                             : fmt::format("ABOVE {:.2f}", mode.bound));
  return "";
}

}  // namespace

int main() {
  KernelSender kernel;
  if (!kernel.why_not().empty()) {
    fmt::print("skipped: {}\n", kernel.why_not());
    return 0;
  }
  std::array<Mode, 5> modes{};
  modes[0] = {"--count", 1.10, {}};
  modes[0].options.counts = true;
  modes[1] = {"--count, a filter that matches not", 0, {}};
  modes[1].options.counts = true;
  modes[1].options.filter = "tcp port 80";
  modes[2] = {"--latency", 1.25, {}};
  modes[2].options.latency = true;
  modes[3] = {"--drops", 1.10, {}};
  modes[3].options.counts = modes[3].options.drops_only = true;
  modes[4] = {"lines (ring never read)", 0, {}};
  modes[4].options.events = true;
  fmt::print("{:<34}{:>9}{:>9}{:>8}\n", "kernel sendto, 64 B, ifb: ns", "without", "with", "ratio");
  bool good = true;
  for (const Mode& mode : modes)
    if (const std::string why = measure(kernel, mode, good); !why.empty()) {
      fmt::print("skipped: {}: {}\n", mode.name, why);
      return 0;
    }
  return good ? EXIT_SUCCESS : EXIT_FAILURE;
}
