// SPDX-License-Identifier: Apache-2.0
// kernel_diff: runs scenarios once through the kernel and once through the engine, in equal
// namespaces, and compares what came out. docs/kernel_diff.md.
#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <memory>
#include <new>
#include <thread>

#include "kernel_diff/compare.h"
#include "kernel_diff/conformance.h"
#include "kernel_diff/masks.h"
#include "kernel_diff/random_run.h"
#include "kernel_diff/random_scenario.h"
#include "kernel_diff/run_scenario.h"
#include "kernel_diff/scenario.h"
#include "kernel_diff/world_process.h"
#include "support/netns.h"

namespace {

using namespace txp;
using namespace txp::kdiff;

constexpr int kSkipped = 77;  // SKIP_RETURN_CODE of the CTest test

struct Options {
  std::string world = "both";
  bool itself = false;
  bool keep = false;
  bool verbose = false;
  bool masks = false;
  bool text = false;
  std::string conformance;
  unsigned jobs = 0;
  RandomOptions random;
  std::vector<std::string> files;
};

// One scenario, both worlds at once. Prints to `to`; answers the exit code.
int run_file(const std::string& path, const Options& options, std::string& to) {
  Result<Scenario> scenario = Scenario::load(path);
  if (!scenario) {
    to += fmt::format("FAIL  {}\n", scenario.error().what);
    return 1;
  }
  if (options.random.fly && scenario->need_once) {
    to += fmt::format("skip  {}: {} (its calls are made once)\n", scenario->name, scenario->idea);
    return kSkipped;
  }
  WorldProcess::Options world;
  world.keep = options.keep;
  if (options.random.fly) scenario->send_twice();
  std::unique_ptr<WorldProcess> kernel;
  std::unique_ptr<WorldProcess> engine;
  if (options.world != "engine") kernel = std::make_unique<WorldProcess>(WorldKind::kernel, world);
  if (options.world != "kernel")
    engine = std::make_unique<WorldProcess>(options.itself ? WorldKind::kernel : WorldKind::engine,
                                            world);
  for (WorldProcess* w : {kernel.get(), engine.get()})
    if (w != nullptr) w->play(*scenario);
  WorldRecord theirs;
  WorldRecord ours;
  if (kernel) theirs = kernel->answer();
  if (engine) ours = engine->answer();
  std::string wrong;
  const std::string skipped = theirs.skipped.empty() ? ours.skipped : theirs.skipped;
  if (kernel && engine) {
    if (skipped.empty()) wrong = differences(*scenario, theirs, ours);
  } else if (const std::string& failed = kernel ? theirs.failed : ours.failed; !failed.empty()) {
    wrong = fmt::format("  {}\n", failed);
  }

  const char* verdict = !skipped.empty() ? "skip" : wrong.empty() ? "ok  " : "FAIL";
  to += fmt::format("{}  {}: {}{}\n", verdict, scenario->name, scenario->idea,
                    skipped.empty() ? "" : fmt::format(" ({})", skipped));
  if (options.verbose && skipped.empty()) {
    if (kernel) to += "  -- kernel\n" + story(*scenario, theirs);
    if (engine) to += "  -- engine\n" + story(*scenario, ours);
  }
  if (skipped.empty() && !wrong.empty()) {
    if (options.verbose && kernel && engine) to += "  -- differences\n";
    to += wrong;
    to += fmt::format("  again: kernel_diff -v {}\n", path) + by_hand(*scenario);
  }
  if (options.keep) {
    for (const WorldRecord* r : {&theirs, &ours})
      for (const std::string& n : r->notes)
        if (!options.verbose) to += fmt::format("  {}\n", n);
    write_all(1, std::exchange(to, {}) + "  Enter ends the namespaces\n");
    (void)std::getchar();
  }
  if (!skipped.empty()) return kSkipped;
  return wrong.empty() ? 0 : 1;
}

// Scenarios at once, each in a process of its own; told in the order of the files.
class Suite {
 public:
  explicit Suite(const Options& options) : options_(options) {}

  int run() {
    const std::size_t n = options_.files.size();
    jobs_.resize(n);
    std::size_t started = 0;
    for (std::size_t told = 0; told < n; ++told) {
      while (jobs_[told].running || told >= started) {
        while (started < n && running_ < options_.jobs) start(started++);
        wait_for_one();
      }
      tell(jobs_[told]);
    }
    fmt::print("{} passed, {} failed{}\n", passed_, failed_,
               skipped_ == 0 ? "" : fmt::format(", {} skipped", skipped_));
    if (failed_ != 0) return 1;
    return passed_ == 0 && skipped_ != 0 ? kSkipped : 0;
  }

 private:
  struct Job {
    pid_t pid = -1;
    int out = -1;
    bool running = false;
    std::string text;
    int code = 0;
  };

  void start(std::size_t i) {
    int out[2];
    if (pipe2(out, O_CLOEXEC) != 0) std::abort();
    std::fflush(nullptr);
    const pid_t pid = fork();
    if (pid == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      close(out[0]);
      std::string text;
      const int code = run_file(options_.files[i], options_, text);
      write_all(out[1], text);
      _exit(code);
    }
    close(out[1]);
    jobs_[i] = {pid, out[0], true, {}, 1};
    ++running_;
  }

  void wait_for_one() {
    std::vector<pollfd> fds;
    std::vector<Job*> who;
    for (Job& j : jobs_) {
      if (!j.running) continue;
      fds.push_back({j.out, POLLIN, 0});
      who.push_back(&j);
    }
    if (poll(fds.data(), fds.size(), -1) <= 0) return;
    for (std::size_t i = 0; i < fds.size(); ++i) {
      if (fds[i].revents == 0 || read_some(who[i]->out, who[i]->text)) continue;
      Job& j = *who[i];
      close(j.out);
      int status = 0;
      while (waitpid(j.pid, &status, 0) < 0 && errno == EINTR) {
      }
      j.code = WIFEXITED(status) ? WEXITSTATUS(status) : 1;
      if (j.text.empty() && !options_.keep) j.text = "FAIL  a scenario's process died\n";
      j.running = false;
      --running_;
    }
  }

  void tell(const Job& j) {
    fmt::print("{}", j.text);
    std::fflush(stdout);
    if (j.code == 0)
      ++passed_;
    else if (j.code == kSkipped)
      ++skipped_;
    else
      ++failed_;
  }

  const Options& options_;
  std::vector<Job> jobs_;
  unsigned running_ = 0;
  int passed_ = 0;
  int failed_ = 0;
  int skipped_ = 0;
};

// A folder stands for the scenarios in it, by name; folders below it are not entered.
void expand_folders(std::vector<std::string>& files) {
  std::vector<std::string> all;
  for (const std::string& f : files) {
    if (!std::filesystem::is_directory(f)) {
      all.push_back(f);
      continue;
    }
    std::vector<std::string> inside;
    for (const auto& entry : std::filesystem::directory_iterator(f))
      if (entry.path().extension() == ".scn") inside.push_back(entry.path().string());
    std::sort(inside.begin(), inside.end());
    all.insert(all.end(), inside.begin(), inside.end());
  }
  files = std::move(all);
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  CLI::App app{"Runs scenarios through the kernel and through the engine and compares them"};
  app.add_option("--world", options.world, "kernel, engine or both")
      ->check(CLI::IsMember({"kernel", "engine", "both"}))
      ->capture_default_str();
  app.add_flag("--self", options.itself,
               "The kernel against itself: shows a scenario that is not pinned, or a missing mask");
  app.add_flag("--keep", options.keep,
               "Keep the namespaces until Enter, and say how to enter them");
  app.add_flag("-v,--verbose", options.verbose, "Tell every call, frame and counter");
  app.add_flag("--fly", options.random.fly,
               "Every send call twice, so that the second may be sent by a flow plan");
  app.add_flag("--list-masks", options.masks, "Print what is not compared, and why");
  app.add_option("--conformance", options.conformance,
                 "Print what the scenarios of that folder show, for docs/conformance.md")
      ->check(CLI::ExistingDirectory);
  app.add_option("-J,--jobs", options.jobs, "Scenarios at once (the processors' number)");
  auto* random =
      app.add_option("--random", options.random.count, "Play that many random scenarios");
  app.add_option("--seed", options.random.seed,
                 "The first random scenario's seed (the time of day)");
  app.add_option("--seconds", options.random.seconds, "Begin no random scenario after that time")
      ->needs(random);
  app.add_option("--a-lab-for", options.random.a_lab_for,
                 "Random scenarios that share a pair of namespaces")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--save", options.random.folder, "Where a random scenario that differs is written")
      ->capture_default_str();
  const auto rolls = [&](Dice dice) { return [&options, dice] { options.random.dice = dice; }; };
  app.add_flag_callback("--rulesets", rolls(Dice::rulesets),
                        "Random scenarios with a random ruleset each");
  app.add_flag_callback("--v6", rolls(Dice::ipv6), "Random scenarios over IPv6");
  app.add_flag("--text", options.text, "Print the random scenario of --seed instead of playing it");
  app.add_option("FILE", options.files, "Scenarios, or folders of them")->check(CLI::ExistingPath);
  CLI11_PARSE(app, argc, argv);

  if (options.masks) {
    fmt::print("{}", list_masks());
    return 0;
  }
  if (!options.conformance.empty()) {
    const Result<std::string> text = conformance(options.conformance);
    if (!text) {
      fmt::print(stderr, "kernel_diff: {}\n", text.error().what);
      return 2;
    }
    fmt::print("{}", *text);
    return 0;
  }
  if (options.random.seed == 0) options.random.seed = static_cast<std::uint64_t>(time(nullptr));
  if (options.text) {
    fmt::print("{}", random_scenario(options.random.seed, options.random.dice));
    return 0;
  }
  expand_folders(options.files);
  if (options.files.empty() && options.random.count == 0) {
    fmt::print(stderr, "kernel_diff: no scenario given: name .scn files or a folder of them\n");
    return 2;
  }
  if (options.jobs == 0) options.jobs = std::max(1U, std::thread::hardware_concurrency());
  if (options.keep) options.jobs = 1;
  signal(SIGPIPE, SIG_IGN);
  if (Result<void> root = test::become_root_of_own_user_namespace(); !root) {
    fmt::print("skipped: {}\n", root.error().what);
    return kSkipped;
  }
  if (options.random.count != 0) {
    options.random.jobs = options.jobs;
    fmt::print("random: the first seed is {}\n", options.random.seed);
    std::fflush(stdout);
    return run_random(options.random);
  }
  return Suite(options).run();
}
