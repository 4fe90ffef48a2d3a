// SPDX-License-Identifier: Apache-2.0
#include "kernel_diff/random_run.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <vector>

#include "kernel_diff/compare.h"
#include "kernel_diff/random_scenario.h"
#include "kernel_diff/shrink.h"
#include "kernel_diff/world_process.h"

namespace txp::kdiff {
namespace {

constexpr int kShrinkTries = 600;
constexpr int kPatientTries = 60;  // each in namespaces of its own

double now() {
  timespec t{};
  clock_gettime(CLOCK_MONOTONIC, &t);
  return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_nsec) / 1e9;
}

// What one process tells of one scenario.
struct Tale {
  std::uint64_t seed = 0;
  bool skipped = false;
  bool once = false;   // differed once and not again
  bool empty = false;  // sent no frame
  std::uint64_t calls = 0;
  std::uint64_t frames = 0;
  std::uint64_t refused = 0;  // setup lines that the commands would not take
  std::string differs;        // for people; empty: nothing does

  std::string to_json() const {
    return nlohmann::json{{"seed", seed},       {"skipped", skipped}, {"once", once},
                          {"empty", empty},     {"calls", calls},     {"frames", frames},
                          {"refused", refused}, {"differs", differs}}
        .dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  }
  static Tale from_json(const std::string& text) {
    const nlohmann::json j = nlohmann::json::parse(text);
    return {j.at("seed"),  j.at("skipped"), j.at("once"),    j.at("empty"),
            j.at("calls"), j.at("frames"),  j.at("refused"), j.at("differs")};
  }
};

struct Outcome {
  WorldRecord kernel;
  WorldRecord engine;
};

// The two worlds, renewed now and then.
class Pair {
 public:
  explicit Pair(unsigned a_lab_for, RunOptions run) : a_lab_for_(a_lab_for) { options_.run = run; }

  Outcome play(const Scenario& scenario) {
    if (!kernel_ || !kernel_->alive() || !engine_->alive() || played_ == a_lab_for_) {
      kernel_.reset();
      engine_.reset();
      kernel_ = std::make_unique<WorldProcess>(WorldKind::kernel, options_);
      engine_ = std::make_unique<WorldProcess>(WorldKind::engine, options_);
      played_ = 0;
    }
    ++played_;
    kernel_->play(scenario);
    engine_->play(scenario);
    return {kernel_->answer(), engine_->answer()};
  }

 private:
  const unsigned a_lab_for_;
  WorldProcess::Options options_;
  std::unique_ptr<WorldProcess> kernel_;
  std::unique_ptr<WorldProcess> engine_;
  unsigned played_ = 0;
};

// A setup line that the kernel's world could not carry out: its number, or 0.
int refused_line(const WorldRecord& r) {
  if (!r.failed.starts_with("line ")) return 0;
  return std::atoi(r.failed.c_str() + 5);
}

std::string without_line(const std::string& text, int line) {
  std::size_t at = 0;
  for (int i = 1; i < line; ++i) at = text.find('\n', at) + 1;
  std::string rest = text;
  rest.erase(at, text.find('\n', at) + 1 - at);
  return rest;
}

class Worker {
 public:
  explicit Worker(const RandomOptions& options)
      : options_(options),
        quick_(options.a_lab_for, {.quiet_ms = 1, .patience_ms = 8}),
        patient_(1, {}) {}

  Tale play(std::uint64_t seed) {
    Tale tale;
    tale.seed = seed;
    std::string text = random_scenario(seed, options_.dice);
    Outcome o;
    for (;;) {
      const Result<Scenario> scenario = read(name(seed), text);
      if (!scenario) {
        tale.differs = fmt::format("  the generator wrote what cannot be read: {}\n{}",
                                   scenario.error().what, text);
        return tale;
      }
      o = quick_.play(*scenario);
      const int line = refused_line(o.kernel);
      if (line == 0) break;
      text = without_line(text, line);
      ++tale.refused;
    }
    tale.skipped = !o.kernel.skipped.empty();
    tale.calls = o.kernel.calls.size();
    tale.frames = o.kernel.frames.size();
    tale.empty = o.kernel.frames.empty();
    if (tale.skipped || differences(*read("", text), o.kernel, o.engine).empty()) return tale;
    // Once more with time, and in namespaces that nobody used before.
    const std::string words = how(text, patient_);
    if (words.empty()) {
      tale.once = true;
      save(fmt::format("once-{}.txt", seed),
           text + "\n" + differences(*read("", text), o.kernel, o.engine));
      return tale;
    }
    const bool unknown = meets_unknown(words);
    const std::string whole = text;
    const auto small = [&](Pair& pair, int tries) {
      return shrink(whole, [&](const std::string& t) { return differs(t, pair, unknown); }, tries);
    };
    text = small(quick_, kShrinkTries);
    if (!differs(text, patient_, unknown))
      text = small(patient_, kPatientTries);  // only haste showed it
    tell(tale, text);
    return tale;
  }

 private:
  Result<Scenario> read(std::string name, const std::string& text) const {
    Result<Scenario> scenario = Scenario::parse(std::move(name), text);
    if (scenario && options_.fly) scenario->send_twice();
    return scenario;
  }
  static std::string name(std::uint64_t seed) { return fmt::format("random-{}", seed); }

  // How the worlds differ, in words; empty when they do not.
  std::string how(const std::string& text, Pair& pair) const {
    const Result<Scenario> scenario = read("", text);
    if (!scenario) return {};
    const Outcome o = pair.play(*scenario);
    if (!o.kernel.skipped.empty() || !o.kernel.failed.empty()) return {};
    return differences(*scenario, o.kernel, o.engine);
  }
  // A smaller scenario must not differ only because it meets what the engine does not implement.
  bool differs(const std::string& text, Pair& pair, bool unknown) const {
    const std::string words = how(text, pair);
    return !words.empty() && meets_unknown(words) == unknown;
  }
  static bool meets_unknown(const std::string& differences) {
    return differences.find("UNKNOWN") != std::string::npos;
  }

  std::string save(const std::string& name, const std::string& text) const {
    const std::filesystem::path file = std::filesystem::path(options_.folder) / name;
    std::filesystem::create_directories(options_.folder);
    std::ofstream(file) << text;
    return file.string();
  }

  void tell(Tale& tale, const std::string& text) {
    const std::string file = save(name(tale.seed) + ".scn", text);
    const std::string words = how(text, patient_);
    tale.differs =
        text + "\n" + (words.empty() ? "  it does not always differ\n" : words) +
        fmt::format("  again: kernel_diff -v{} {}\n", options_.fly ? " --fly" : "", file);
  }

  const RandomOptions& options_;
  Pair quick_;
  Pair patient_;
};

class Workers {
 public:
  explicit Workers(const RandomOptions& options) : options_(options) {}

  int run() {
    const double begin = now();
    for (unsigned w = 0; w < options_.jobs; ++w) start(w, begin);
    while (!workers_.empty()) wait_for_some();
    const double took = now() - begin;
    fmt::print(
        "random: {} scenarios, seeds {} to {}, {} differ; {} calls, {} frames; {} sent none, "
        "{} skipped, {} setup lines refused, {} differed once and not again{}; {:.0f} s, {:.0f} a "
        "minute\n",
        played_, options_.seed, options_.seed + (played_ == 0 ? 0 : played_ - 1), differ_, calls_,
        frames_, empty_, skipped_, refused_, once_.size(), words(once_), took,
        static_cast<double>(played_) * 60 / std::max(took, 0.001));
    if (died_) fmt::print("random: a process died before its work was done\n");
    return differ_ != 0 || died_ || played_ == 0 ? 1 : 0;
  }

 private:
  struct One {
    pid_t pid;
    int out;
  };

  static std::string words(const std::vector<std::uint64_t>& seeds) {
    std::string text;
    for (const std::uint64_t s : seeds) text += fmt::format("{}{}", text.empty() ? " (" : ", ", s);
    return text.empty() ? text : text + ")";
  }

  void start(unsigned w, double begin) {
    int out[2];
    if (pipe2(out, O_CLOEXEC) != 0) std::abort();
    std::fflush(nullptr);
    const pid_t pid = fork();
    if (pid == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      close(out[0]);
      Worker worker(options_);
      for (std::uint64_t i = w; i < options_.count; i += options_.jobs) {
        if (options_.seconds != 0 && now() - begin >= options_.seconds) break;
        if (!write_message(out[1], worker.play(options_.seed + i).to_json())) break;
      }
      (void)write_message(out[1], "");
      _exit(0);
    }
    close(out[1]);
    workers_.push_back({pid, out[0]});
  }

  void wait_for_some() {
    std::vector<pollfd> fds;
    for (const One& w : workers_) fds.push_back({w.out, POLLIN, 0});
    if (poll(fds.data(), fds.size(), -1) <= 0) return;
    for (std::size_t i = fds.size(); i-- > 0;) {
      if (fds[i].revents == 0) continue;
      std::string message;
      const bool read = read_message(workers_[i].out, message);
      if (read && !message.empty()) {
        hear(Tale::from_json(message));
        continue;
      }
      died_ |= !read;
      close(workers_[i].out);
      while (waitpid(workers_[i].pid, nullptr, 0) < 0 && errno == EINTR) {
      }
      workers_.erase(workers_.begin() + static_cast<std::ptrdiff_t>(i));
    }
  }

  void hear(const Tale& tale) {
    ++played_;
    calls_ += tale.calls;
    frames_ += tale.frames;
    refused_ += tale.refused;
    empty_ += tale.empty && !tale.skipped;
    skipped_ += tale.skipped;
    if (tale.once) once_.push_back(tale.seed);
    if (tale.differs.empty()) return;
    ++differ_;
    fmt::print("FAIL  seed {}\n{}\n", tale.seed, tale.differs);
    std::fflush(stdout);
  }

  const RandomOptions& options_;
  std::vector<One> workers_;
  std::uint64_t played_ = 0;
  std::uint64_t differ_ = 0;
  std::uint64_t calls_ = 0;
  std::uint64_t frames_ = 0;
  std::uint64_t refused_ = 0;
  std::uint64_t empty_ = 0;
  std::uint64_t skipped_ = 0;
  std::vector<std::uint64_t> once_;
  bool died_ = false;
};

}  // namespace

int run_random(const RandomOptions& options) { return Workers(options).run(); }

}  // namespace txp::kdiff
