// SPDX-License-Identifier: Apache-2.0
// txpath top: the path's counters, live in the terminal.
#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include <cerrno>
#include <nlohmann/json.hpp>

#include "base/clock.h"
#include "cli/command.h"
#include "cli/sender.h"
#include "cli/stat_source.h"
#include "explain/flow_question.h"
#include "observe/top_frame.h"

namespace txp::cli {
namespace {

// The terminal's second screen, without a cursor, keys as they are pressed. As it was when this is
// gone.
class Screen {
 public:
  Screen() {
    ::tcgetattr(STDIN_FILENO, &before_);
    termios raw = before_;
    raw.c_lflag &= ~static_cast<tcflag_t>(ICANON | ECHO);
    ::tcsetattr(STDIN_FILENO, TCSANOW, &raw);
    (void)print("\x1b[?1049h\x1b[?25l");
  }
  ~Screen() {
    (void)print("\x1b[?25h\x1b[?1049l");
    ::tcsetattr(STDIN_FILENO, TCSANOW, &before_);
  }
  Screen(const Screen&) = delete;
  Screen& operator=(const Screen&) = delete;

  TopOptions size() const {
    winsize w{};
    TopOptions o;
    if (::ioctl(STDOUT_FILENO, TIOCGWINSZ, &w) == 0) {
      o.columns = w.ws_col;
      o.rows = w.ws_row;
    }
    return o;
  }
  // Draws over what was there; no flicker.
  int show(const std::string& frame) const {
    std::string out = "\x1b[H";
    for (const char c : frame) out += c == '\n' ? std::string("\x1b[K\n") : std::string(1, c);
    if (out.ends_with('\n')) out.pop_back();  // the last row would scroll
    return print(out + "\x1b[J");
  }

 private:
  termios before_{};
};

// Waits; true when the user wants to end.
bool wait_for_key(Nanos until, bool keys) {
  const Clock clock = Clock::monotonic();
  for (Nanos now = clock.now(); now < until && !stopped(); now = clock.now()) {
    pollfd in{keys ? STDIN_FILENO : -1, POLLIN, 0};
    const auto ms = static_cast<int>((until - now + kMillisecond - 1) / kMillisecond);
    if (::poll(&in, 1, ms) <= 0) continue;
    char key = 0;
    const ssize_t n = ::read(STDIN_FILENO, &key, 1);
    if (n <= 0 || key == 'q' || key == 'Q') return true;
  }
  return stopped();
}

int watch_screen(StatReader& reader, StatSource source, Nanos end) {
  constexpr Nanos kPeriod = kSecond;
  const Clock clock = Clock::monotonic();
  const Screen screen;
  Json before = nullptr;
  Nanos then = clock.now();
  for (Nanos due = then;; due += kPeriod) {
    auto now = reader.read(source);
    if (!now) return complain("top: " + now.error().what);
    TopOptions options = screen.size();
    options.seconds = static_cast<double>(clock.now() - then) / static_cast<double>(kSecond);
    options.colour = colours();
    then = clock.now();
    if (const int shown = screen.show(top_frame(before, *now, options)); shown != kOk) return shown;
    before = std::move(*now);
    if ((end > 0 && then >= end) || wait_for_key(due + kPeriod, true)) return kOk;
  }
}

// Not a terminal: one picture of `seconds`.
int print_one(StatReader& reader, StatSource source, Nanos period) {
  const Clock clock = Clock::monotonic();
  const Nanos then = clock.now();
  const auto before = reader.read(source);
  if (!before) return complain("top: " + before.error().what);
  wait_for_key(then + period, false);
  const auto now = reader.read(source);
  if (!now) return complain("top: " + now.error().what);
  const double seconds = static_cast<double>(clock.now() - then) / static_cast<double>(kSecond);
  return print(top_frame(*before, *now, {.seconds = seconds}));
}

}  // namespace

int top(const Arguments& arguments) {
  std::string source;
  std::string seconds;
  bool watch = false;
  CLI::App app(
      "The path's counters, live in the terminal, until q or Ctrl-C. Elsewhere than on a terminal: "
      "one picture.",
      "top");
  app.add_option("--source", source, "whose counters; without it txpath's where one runs")
      ->check(CLI::IsMember({"txpath", "kernel"}))
      ->option_text("txpath|kernel");
  app.add_option("--seconds", seconds, "ends after that time; of one picture: what its rates cover")
      ->option_text("N");
  app.add_flag("--watch", watch,
               "hangs on the kernel's tracepoints, so that its counters come by stage too");
  if (const auto code = parse(app, arguments)) return *code;
  constexpr std::uint64_t kMost = 1'000'000;
  const auto n = parse_number(seconds, kMost);
  if (!seconds.empty() && (!n || *n == 0))
    return complain(
        fmt::format("top: --seconds {}: a number from 1 to {} is wanted", seconds, kMost));
  catch_stop();
  const auto reader = StatReader::open(watch);
  if (!reader) return complain("top: --watch: " + reader.error().what);
  const StatSource whose = *find_stat_source(source);
  const Nanos period = static_cast<Nanos>(n.value_or(1)) * kSecond;
  if (::isatty(STDOUT_FILENO) != 1 || ::isatty(STDIN_FILENO) != 1)
    return print_one(**reader, whose, period);
  return watch_screen(**reader, whose, n ? Clock::monotonic().now() + period : 0);
}

}  // namespace txp::cli
