// SPDX-License-Identifier: Apache-2.0
// A thread that stands in a network namespace and runs what it is given, so that the caller's own
// thread never changes its namespace.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "base/result.h"

namespace txp {

class NetnsThread {
 public:
  // `netns` as ImportOptions has it. Errors: no such namespace, no permission to enter it.
  [[nodiscard]] static Result<std::unique_ptr<NetnsThread>> start(const std::string& netns);
  ~NetnsThread();
  NetnsThread(const NetnsThread&) = delete;
  NetnsThread& operator=(const NetnsThread&) = delete;

  // Runs `job` there and waits for its end. From one thread at a time.
  void run(const std::function<void()>& job);

 private:
  struct Impl;
  explicit NetnsThread(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace txp
