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
#include <filesystem>
#include <memory>
#include <new>
#include <thread>

#include "kernel_diff/compare.h"
#include "kernel_diff/masks.h"
#include "kernel_diff/run_scenario.h"
#include "kernel_diff/scenario.h"
#include "support/netns.h"

namespace {

using namespace txp;
using namespace txp::kdiff;

constexpr int kSkipped = 77;            // SKIP_RETURN_CODE of the CTest test
constexpr unsigned kWorldSeconds = 20;  // a world that takes longer hangs

struct Options {
  std::string world = "both";
  bool itself = false;
  bool keep = false;
  bool verbose = false;
  bool masks = false;
  unsigned jobs = 0;
  std::vector<std::string> files;
};

void write_all(int fd, const std::string& text) {
  for (std::size_t at = 0; at < text.size();) {
    const ssize_t n = write(fd, text.data() + at, text.size() - at);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return;
    at += static_cast<std::size_t>(n);
  }
}

// False at the end of the file.
bool read_some(int fd, std::string& to) {
  char buffer[65536];
  ssize_t n = 0;
  do {
    n = read(fd, buffer, sizeof buffer);
  } while (n < 0 && errno == EINTR);
  if (n <= 0) return false;
  to.append(buffer, static_cast<std::size_t>(n));
  return true;
}

// A world in a process of its own: everything it makes goes with it.
class WorldProcess {
 public:
  WorldProcess(const Scenario& scenario, WorldKind kind, bool keep)
      : scenario_(scenario),
        kind_(kind),
        step_(new(mmap(nullptr, sizeof(std::atomic<int>), PROT_READ | PROT_WRITE,
                       MAP_SHARED | MAP_ANONYMOUS, -1, 0)) std::atomic<int>(-1)),
        errors_(memfd_create("stderr", MFD_CLOEXEC)) {
    int out[2];
    int go[2];
    if (pipe2(out, O_CLOEXEC) != 0 || pipe2(go, O_CLOEXEC) != 0) return;
    std::fflush(nullptr);
    pid_ = fork();
    if (pid_ == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      close(out[0]);
      close(go[1]);
      if (!keep) alarm(kWorldSeconds);
      dup2(errors_, 2);
      live(out[1], go[0], keep);
      _exit(0);
    }
    close(out[1]);
    close(go[0]);
    out_ = out[0];
    go_ = go[1];
  }
  WorldProcess(const WorldProcess&) = delete;
  WorldProcess& operator=(const WorldProcess&) = delete;
  ~WorldProcess() {
    end();
    close(errors_);
    munmap(step_, sizeof *step_);
  }

  // Waits for the record; the process and its namespaces live on until end().
  const WorldRecord& record() {
    if (done_) return record_;
    done_ = true;
    std::string json;
    while (read_some(out_, json)) {
    }
    record_ = WorldRecord::from_json(json);
    if (json.empty()) record_.failed = last_words(end());
    return record_;
  }

  // Answers the process's wait status.
  int end() {
    if (pid_ <= 0) return 0;
    close(go_);
    close(out_);
    int status = 0;
    while (waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
    }
    pid_ = -1;
    return status;
  }

 private:
  void live(int out, int go, bool keep) {
    RunOptions options;
    options.step = step_;
    options.done = [&](const WorldRecord& record, const test::Lab* lab) {
      WorldRecord told = record;
      if (keep && lab != nullptr) {
        told.notes.push_back(fmt::format("sender: nsenter --net=/proc/{}/ns/net", getpid()));
        told.notes.push_back(
            fmt::format("peer:   nsenter --net=/proc/{}/fd/{}", getpid(), lab->peer().fd()));
      }
      write_all(out, told.to_json());
      close(out);
      char byte = 0;
      if (keep && read(go, &byte, 1) < 0) return;  // until the parent closes its end
    };
    run_scenario(scenario_, kind_, options);
  }

  std::string last_words(int status) {
    std::string text = "ended without a record";
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM)
      text = fmt::format("was not done after {} s", kWorldSeconds);
    else if (WIFSIGNALED(status))
      text = fmt::format("died: {}", strsignal(WTERMSIG(status)));
    else if (WIFEXITED(status) && WEXITSTATUS(status) != 0)
      text = fmt::format("ended with status {}", WEXITSTATUS(status));
    if (const int at = step_->load(); at >= 0) {
      const Step& step = scenario_.steps[static_cast<std::size_t>(at)];
      text += fmt::format(" at line {}: {}", step.line, step.text);
    }
    std::string errors;
    lseek(errors_, 0, SEEK_SET);
    while (read_some(errors_, errors)) {
    }
    return errors.empty() ? text : text + "\n" + errors;
  }

  const Scenario& scenario_;
  WorldKind kind_;
  std::atomic<int>* step_;
  int errors_ = -1;
  pid_t pid_ = -1;
  int out_ = -1;
  int go_ = -1;
  bool done_ = false;
  WorldRecord record_;
};

// One scenario, both worlds at once. Prints to `to`; answers the exit code.
int run_file(const std::string& path, const Options& options, std::string& to) {
  const Result<Scenario> scenario = Scenario::load(path);
  if (!scenario) {
    to += fmt::format("FAIL  {}\n", scenario.error().what);
    return 1;
  }
  std::unique_ptr<WorldProcess> kernel;
  std::unique_ptr<WorldProcess> engine;
  if (options.world != "engine")
    kernel = std::make_unique<WorldProcess>(*scenario, WorldKind::kernel, options.keep);
  if (options.world != "kernel")
    engine = std::make_unique<WorldProcess>(
        *scenario, options.itself ? WorldKind::kernel : WorldKind::engine, options.keep);
  std::string wrong;
  std::string skipped;
  for (WorldProcess* world : {kernel.get(), engine.get()}) {
    if (world == nullptr) continue;
    const WorldRecord& r = world->record();
    if (!r.skipped.empty()) skipped = r.skipped;
    if (!r.failed.empty() && (!kernel || !engine)) wrong += fmt::format("  {}\n", r.failed);
  }
  if (kernel && engine && skipped.empty())
    wrong = differences(*scenario, kernel->record(), engine->record());

  const char* verdict = !skipped.empty() ? "skip" : wrong.empty() ? "ok  " : "FAIL";
  to += fmt::format("{}  {}: {}{}\n", verdict, scenario->name, scenario->idea,
                    skipped.empty() ? "" : fmt::format(" ({})", skipped));
  if (options.verbose && skipped.empty()) {
    if (kernel) to += "  -- kernel\n" + story(*scenario, kernel->record());
    if (engine) to += "  -- engine\n" + story(*scenario, engine->record());
  }
  if (skipped.empty() && !wrong.empty()) {
    if (options.verbose && kernel && engine) to += "  -- differences\n";
    to += wrong;
    to += fmt::format("  again: kernel_diff -v {}\n", path) + by_hand(*scenario);
  }
  if (options.keep) {
    for (WorldProcess* world : {kernel.get(), engine.get()}) {
      if (world == nullptr || options.verbose) continue;
      for (const std::string& n : world->record().notes) to += fmt::format("  {}\n", n);
    }
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
  app.add_flag("--list-masks", options.masks, "Print what is not compared, and why");
  app.add_option("-J,--jobs", options.jobs, "Scenarios at once (the processors' number)");
  app.add_option("FILE", options.files, "Scenarios, or folders of them")->check(CLI::ExistingPath);
  CLI11_PARSE(app, argc, argv);

  if (options.masks) {
    fmt::print("{}", list_masks());
    return 0;
  }
  expand_folders(options.files);
  if (options.files.empty()) {
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
  return Suite(options).run();
}
