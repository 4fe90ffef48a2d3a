// SPDX-License-Identifier: Apache-2.0
#include "kernel_diff/world_process.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>
#include <optional>

namespace txp::kdiff {

namespace {

// A fork has every descriptor of its parent, and with them the ends of other worlds' pipes, which
// would then never come to their end.
void close_all_but(int a, int b) {
  if (a > b) std::swap(a, b);
  const auto range = [](int from, int to) {
    if (from <= to) (void)close_range(static_cast<unsigned>(from), static_cast<unsigned>(to), 0);
  };
  range(3, a - 1);
  range(a + 1, b - 1);
  range(b + 1, INT_MAX);
}

}  // namespace

bool write_all(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t n = write(fd, text.data(), text.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    text.remove_prefix(static_cast<std::size_t>(n));
  }
  return true;
}

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

bool write_message(int fd, std::string_view text) {
  const std::uint64_t size = text.size();
  std::string all(sizeof size, '\0');
  std::memcpy(all.data(), &size, sizeof size);
  all += text;
  return write_all(fd, all);
}

bool read_message(int fd, std::string& text) {
  const auto exactly = [fd](char* to, std::size_t n) {
    while (n > 0) {
      const ssize_t got = read(fd, to, n);
      if (got < 0 && errno == EINTR) continue;
      if (got <= 0) return false;
      to += got;
      n -= static_cast<std::size_t>(got);
    }
    return true;
  };
  std::uint64_t size = 0;
  char head[sizeof size];
  if (!exactly(head, sizeof head)) return false;
  std::memcpy(&size, head, sizeof size);
  text.resize(size);
  return exactly(text.data(), size);
}

WorldProcess::WorldProcess(WorldKind kind, const Options& options)
    : kind_(kind),
      options_(options),
      step_(new(mmap(nullptr, sizeof(std::atomic<int>), PROT_READ | PROT_WRITE,
                     MAP_SHARED | MAP_ANONYMOUS, -1, 0)) std::atomic<int>(-1)),
      errors_(memfd_create("stderr", MFD_CLOEXEC)) {
  int in[2];
  int out[2];
  if (pipe2(in, O_CLOEXEC) != 0 || pipe2(out, O_CLOEXEC) != 0) return;
  std::fflush(nullptr);
  pid_ = fork();
  if (pid_ == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    dup2(errors_, 2);
    close_all_but(in[0], out[1]);
    live(in[0], out[1]);
    _exit(0);
  }
  close(in[0]);
  close(out[1]);
  in_ = in[1];
  out_ = out[0];
}

WorldProcess::~WorldProcess() {
  end();
  close(errors_);
  munmap(step_, sizeof *step_);
}

void WorldProcess::play(const Scenario& scenario) {
  scenario_ = scenario;
  step_->store(-1);
  if (alive()) (void)write_message(in_, scenario.name + "\n" + scenario.source);
}

WorldRecord WorldProcess::answer() {
  std::string json;
  if (alive() && read_message(out_, json)) return WorldRecord::from_json(json);
  WorldRecord record;
  record.failed = last_words(end());
  return record;
}

// In the process.
void WorldProcess::live(int in, int out) {
  std::optional<test::Lab> lab;
  std::string message;
  while (read_message(in, message)) {
    if (!options_.keep) alarm(options_.seconds_at_most);
    const std::size_t name = message.find('\n');
    const Result<Scenario> scenario =
        Scenario::parse(message.substr(0, name), std::string_view(message).substr(name + 1));
    WorldRecord record;
    if (!scenario) {
      record.failed = scenario.error().what;
    } else {
      RunOptions run = options_.run;
      run.step = step_;
      record = run_scenario(*scenario, kind_, run, lab);
    }
    if (options_.keep && lab) {
      record.notes.push_back(fmt::format("sender: nsenter --net=/proc/{}/ns/net", getpid()));
      record.notes.push_back(
          fmt::format("peer:   nsenter --net=/proc/{}/fd/{}", getpid(), lab->peer().fd()));
    }
    alarm(0);
    if (!write_message(out, record.to_json())) return;
  }
}

int WorldProcess::end() {
  if (pid_ <= 0) return 0;
  close(in_);
  close(out_);
  int status = 0;
  while (waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
  }
  pid_ = -1;
  return status;
}

std::string WorldProcess::last_words(int status) {
  std::string text = "ended without a record";
  if (WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM)
    text = fmt::format("was not done after {} s", options_.seconds_at_most);
  else if (WIFSIGNALED(status))
    text = fmt::format("died: {}", strsignal(WTERMSIG(status)));
  else if (WIFEXITED(status) && WEXITSTATUS(status) != 0)
    text = fmt::format("ended with status {}", WEXITSTATUS(status));
  if (const int at = step_->load();
      at >= 0 && static_cast<std::size_t>(at) < scenario_.steps.size()) {
    const Step& step = scenario_.steps[static_cast<std::size_t>(at)];
    text += fmt::format(" at line {}: {}", step.line, step.text);
  }
  std::string errors;
  lseek(errors_, 0, SEEK_SET);
  while (read_some(errors_, errors)) {
  }
  return errors.empty() ? text : text + "\n" + errors;
}

}  // namespace txp::kdiff
