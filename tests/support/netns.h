// SPDX-License-Identifier: Apache-2.0
// Network namespaces for tests, held only by file descriptors of this process: when the process
// ends, however it ends, nothing of them is left.
//
// Threads: setns() and unshare() change the calling thread. Make and enter namespaces before any
// thread is started.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"

namespace txp::test {

// One network namespace, owned through a descriptor.
class NetNs {
 public:
  // A new, empty namespace. The caller stays where it is.
  static Result<NetNs> make();
  // The one that the caller is in.
  static Result<NetNs> current();

  NetNs(NetNs&& o) noexcept : fd_(std::exchange(o.fd_, -1)) {}
  NetNs& operator=(NetNs&& o) noexcept {
    std::swap(fd_, o.fd_);
    return *this;
  }
  ~NetNs();

  // Moves the calling thread into it.
  Result<void> enter() const;
  int fd() const { return fd_; }

 private:
  explicit NetNs(int fd) : fd_(fd) {}
  int fd_ = -1;
};

// Inside a namespace for as long as it lives, then back.
class InNetNs {
 public:
  explicit InNetNs(const NetNs& ns);
  ~InNetNs();
  InNetNs(const InNetNs&) = delete;
  InNetNs& operator=(const InNetNs&) = delete;
  bool ok() const { return ok_; }

 private:
  int back_ = -1;
  bool ok_ = false;
};

// Gives a process that is not root a user namespace of its own in which it is root, and with it
// the right to make network namespaces. Does nothing for root. Call before any thread is started.
// The error is one sentence that says why this host forbids it: tests print it and skip.
Result<void> become_root_of_own_user_namespace();

// Root, and not only inside a user namespace: every user id and every sysctl is within reach.
bool is_root_of_the_host();

// Runs a program (no shell), its standard input `input`, and waits. Descriptors without CLOEXEC
// are inherited. The error is the program's last words, or why it did not start.
Result<void> run(const std::vector<std::string>& argv, std::string_view input = {});
// The same, answering what the program printed.
Result<std::string> output_of(const std::vector<std::string>& argv, std::string_view input = {});

// Writes one sysctl of the calling thread's namespace: set_sysctl("net.ipv4.ip_forward", "1").
// Slashes or dots separate, as with sysctl(8).
Result<void> set_sysctl(std::string_view name, std::string_view value);
Result<std::string> get_sysctl(std::string_view name);

}  // namespace txp::test
