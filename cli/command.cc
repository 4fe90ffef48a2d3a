// SPDX-License-Identifier: Apache-2.0
#include "cli/command.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace txp::cli {
namespace {

int home_fd = -1;

void line(std::string_view text) {
  std::string one(text);
  for (char& c : one)
    if (static_cast<unsigned char>(c) < 0x20) c = ' ';
  fmt::print(stderr, "txpath: {}\n", one);
}

}  // namespace

int complain(std::string_view message) {
  line(message);
  return kUsage;
}

void warn(std::string_view message) { line(fmt::format("warning: {}", message)); }

void warn(const ImportReport& report) {
  for (const std::string& w : report.warnings) warn(w);
}

int internal_error(std::string_view message) {
  line(fmt::format("internal error: {}; please report it", message));
  return kInternal;
}

std::optional<int> parse(CLI::App& app, const Arguments& arguments) {
  Arguments reversed(arguments.rbegin(), arguments.rend());  // CLI11 takes them from the end
  try {
    app.parse(std::move(reversed));
    return std::nullopt;
  } catch (const CLI::CallForHelp&) {
    return print(app.help());
  } catch (const CLI::ParseError& e) {
    return complain(
        fmt::format("{}: {}, see txpath {} --help", app.get_name(), e.what(), app.get_name()));
  }
}

int print(std::string_view text) {
  if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size() || std::fflush(stdout) != 0)
    return complain(fmt::format("standard output: {}", std::strerror(errno)));
  return kOk;
}

bool colours() {
  const char* term = std::getenv("TERM");
  return ::isatty(STDOUT_FILENO) == 1 && std::getenv("NO_COLOR") == nullptr && term != nullptr &&
         std::string_view(term) != "dumb";
}

Result<void> enter_netns(const std::string& name) {
  const std::string path = name.find('/') == std::string::npos ? "/run/netns/" + name : name;
  const auto fail_errno = [&](std::string_view advice) {
    return fail(fmt::format("--netns {}: {}{}", name, std::strerror(errno), advice));
  };
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0)
    return fail_errno(errno == ENOENT ? ", `ip netns list` shows those that there are" : "");
  home_fd = ::open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
  const int entered = ::setns(fd, CLONE_NEWNET);
  if (entered != 0) {
    const int error = errno;
    ::close(fd);
    errno = error;
    return fail_errno(error == EPERM    ? ", be root or have CAP_SYS_ADMIN"
                      : error == EINVAL ? ", the file is not a network namespace"
                                        : "");
  }
  ::close(fd);
  return {};
}

int home_netns() { return home_fd; }

}  // namespace txp::cli
