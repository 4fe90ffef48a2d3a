// SPDX-License-Identifier: Apache-2.0
// For tests: a new network namespace of its own, in which commands run. It goes with the object.
#pragma once

#include <sched.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>

#include <fmt/format.h>

#include "mirror/netns.h"

namespace txp {

class TestNetns {
 public:
  TestNetns() {
    auto started = NetnsThread::start("");
    if (!started) return;
    thread_ = std::move(*started);
    thread_->run([this] {
      if (unshare(CLONE_NEWNET) != 0) return;
      path_ = fmt::format("/proc/self/task/{}/ns/net", gettid());
    });
  }
  // False without the permission to make one: skip the test.
  bool made() const { return !path_.empty(); }
  // For ImportOptions::netns.
  const std::string& path() const { return path_; }

  // Runs a shell command there; answers whether it succeeded.
  bool sh(const std::string& command) {
    int status = -1;
    thread_->run([&] { status = std::system(("(" + command + ") >/dev/null 2>&1").c_str()); });
    return status == 0;
  }
  // What it prints on standard output.
  std::string out(const std::string& command) {
    std::string text;
    thread_->run([&] {
      FILE* f = popen(command.c_str(), "r");
      if (f == nullptr) return;
      char buffer[4096];
      while (const std::size_t n = fread(buffer, 1, sizeof buffer, f)) text.append(buffer, n);
      pclose(f);
    });
    return text;
  }
  void run(const std::function<void()>& job) { thread_->run(job); }

 private:
  std::unique_ptr<NetnsThread> thread_;
  std::string path_;
};

}  // namespace txp
