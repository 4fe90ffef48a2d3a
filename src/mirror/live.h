// SPDX-License-Identifier: Apache-2.0
// Keeps a Net equal to its namespace: notifications, and a full resync when some were lost.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "mirror/import.h"

namespace txp {

class Net;

// Thread safety: pump() from one thread at a time (it takes net.rtnl); the Net's neighbour table
// may ask the kernel from any thread. Destroy it before its Net, when nobody sends any more.
class Live {
 public:
  // Subscribes, imports as import_namespace() does, and makes the kernel resolve neighbours:
  // net.neigh->ask_kernel sends RTM_NEWNEIGH with NTF_USE.
  [[nodiscard]] static Result<std::unique_ptr<Live>> open(Net& net, const ImportOptions& options);
  ~Live();
  Live(const Live&) = delete;
  Live& operator=(const Live&) = delete;

  // Readable when pump() has work.
  int fd() const;
  // Applies what has come, without waiting. What the kernel does not announce (sysctls, routes that
  // went with a link) is read again: at once when a message hints at it, and sysctls
  // every second (every ten with more than 64 interfaces).
  // Answers how many messages were applied. After an Error the Net may be out of date: open anew.
  [[nodiscard]] Result<std::size_t> pump();

  // The next pump() reads learnt path MTUs and redirects again, which the kernel does not announce.
  void doubt_exceptions();

  const ImportReport& report() const;
  std::size_t resyncs() const;  // full ones, after an overflow

 private:
  struct Impl;
  explicit Live(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace txp
