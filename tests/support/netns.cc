// SPDX-License-Identifier: Apache-2.0
#include "support/netns.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <fstream>

namespace txp::test {
namespace {

std::string why() { return std::strerror(errno); }

Result<void> write_file(const std::string& path, std::string_view text) {
  const int fd = open(path.c_str(), O_WRONLY | O_CLOEXEC);
  if (fd < 0) return fail(fmt::format("{}: {}", path, why()));
  const ssize_t n = write(fd, text.data(), text.size());
  const int error = errno;
  close(fd);
  if (n != static_cast<ssize_t>(text.size()))
    return fail(fmt::format("{}: {}", path, std::strerror(error)));
  return {};
}

// The calling thread's, which /proc/self/ns is not in a process with threads.
int open_current() { return open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC); }

struct Pipe {
  int fd[2] = {-1, -1};
  Pipe() {
    if (pipe2(fd, O_CLOEXEC) != 0) fd[0] = fd[1] = -1;
  }
  ~Pipe() {
    close_end(0);
    close_end(1);
  }
  Pipe(const Pipe&) = delete;
  Pipe& operator=(const Pipe&) = delete;
  void close_end(int i) {
    if (fd[i] >= 0) close(fd[i]);
    fd[i] = -1;
  }
};

}  // namespace

Result<NetNs> NetNs::make() {
  const Result<NetNs> before = current();
  if (!before) return std::unexpected(before.error());
  if (unshare(CLONE_NEWNET) != 0)
    return fail(fmt::format("cannot make a network namespace: {}", why()));
  Result<NetNs> made = current();
  if (Result<void> back = before->enter(); !back) return std::unexpected(back.error());
  return made;
}

Result<NetNs> NetNs::current() {
  const int fd = open_current();
  if (fd < 0) return fail(fmt::format("cannot open the current network namespace: {}", why()));
  return NetNs(fd);
}

NetNs::~NetNs() {
  if (fd_ >= 0) close(fd_);
}

Result<void> NetNs::enter() const {
  if (setns(fd_, CLONE_NEWNET) != 0)
    return fail(fmt::format("cannot enter a network namespace: {}", why()));
  return {};
}

InNetNs::InNetNs(const NetNs& ns) : back_(open_current()) {
  ok_ = back_ >= 0 && ns.enter().has_value();
}

InNetNs::~InNetNs() {
  if (back_ < 0) return;
  if (ok_ && setns(back_, CLONE_NEWNET) != 0) abort();  // a test in the wrong place proves nothing
  close(back_);
}

Result<void> become_root_of_own_user_namespace() {
  const uid_t uid = geteuid();
  const gid_t gid = getegid();
  if (uid == 0) return {};
  if (unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0) {
    return fail(
        fmt::format("not root, and this host allows no user namespace with a network "
                    "namespace inside: {}",
                    why()));
  }
  // The group map may be written only once setgroups() is given up (user_namespaces(7)).
  Result<void> done = write_file("/proc/self/setgroups", "deny");
  if (done) done = write_file("/proc/self/uid_map", fmt::format("0 {} 1", uid));
  if (done) done = write_file("/proc/self/gid_map", fmt::format("0 {} 1", gid));
  return done;
}

bool is_root_of_the_host() {
  std::ifstream map("/proc/self/uid_map");
  std::uint64_t inside = 1;
  std::uint64_t outside = 1;
  std::uint64_t count = 0;
  map >> inside >> outside >> count;
  return geteuid() == 0 && inside == 0 && outside == 0 && count == 0xffffffff;
}

Result<std::string> output_of(const std::vector<std::string>& argv, std::string_view input) {
  if (argv.empty()) return fail("no program given");
  Pipe in;
  Pipe out;
  if (in.fd[0] < 0 || out.fd[0] < 0) return fail(fmt::format("pipe: {}", why()));
  std::vector<char*> args;
  for (const std::string& a : argv) args.push_back(const_cast<char*>(a.c_str()));
  args.push_back(nullptr);
  const pid_t pid = fork();
  if (pid < 0) return fail(fmt::format("fork: {}", why()));
  if (pid == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    dup2(in.fd[0], 0);
    dup2(out.fd[1], 1);
    dup2(out.fd[1], 2);
    execvp(args[0], args.data());
    const std::string text = fmt::format("{}: {}", argv[0], why());
    if (write(2, text.data(), text.size()) < 0) _exit(126);
    _exit(127);
  }
  in.close_end(0);
  out.close_end(1);
  // Batches are far smaller than a pipe, so writing before reading cannot wait for ever.
  if (!input.empty() && write(in.fd[1], input.data(), input.size()) < 0) in.close_end(1);
  in.close_end(1);
  std::string text;
  std::array<char, 4096> buffer;
  for (;;) {
    const ssize_t n = read(out.fd[0], buffer.data(), buffer.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) break;
    text.append(buffer.data(), static_cast<std::size_t>(n));
  }
  int status = 0;
  while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return text;
  while (!text.empty() && text.back() == '\n') text.pop_back();
  std::replace(text.begin(), text.end(), '\n', ' ');
  if (text.empty()) text = fmt::format("ended with status {}", status);
  return fail(std::move(text));
}

Result<void> run(const std::vector<std::string>& argv, std::string_view input) {
  const Result<std::string> out = output_of(argv, input);
  if (!out) return std::unexpected(out.error());
  return {};
}

namespace {

std::string sysctl_path(std::string_view name) {
  std::string path(name);
  std::replace(path.begin(), path.end(), '.', '/');
  return "/proc/sys/" + path;
}

}  // namespace

Result<void> set_sysctl(std::string_view name, std::string_view value) {
  return write_file(sysctl_path(name), value);
}

Result<std::string> get_sysctl(std::string_view name) {
  const std::string path = sysctl_path(name);
  std::ifstream file(path);
  std::string text;
  if (!file || !std::getline(file, text)) return fail(fmt::format("{} cannot be read", path));
  return text;
}

}  // namespace txp::test
