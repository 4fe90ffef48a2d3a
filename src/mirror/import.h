// SPDX-License-Identifier: Apache-2.0
// Reads a network namespace into a Net: rtnetlink, nf_tables, XFRM, ethtool, /proc, /sys and the
// cgroup's BPF programs.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "base/result.h"
#include "mirror/message.h"

namespace txp {

class Net;

struct ImportOptions {
  // "": the calling thread's namespace. A name: /run/netns/NAME. With a '/': the file itself.
  std::string netns;
  // Sees every message (a snapshot being written). May be empty.
  MessageSink record;
  // Live following only: bytes of notifications that the kernel keeps for us (it may give less to
  // those without CAP_NET_ADMIN). 32 MiB are some 100,000 changes of routes.
  int notification_buffer = 32 * 1024 * 1024;
};

struct ImportReport {
  // What could not be read and might matter, one sentence each ("cgroup BPF programs: Operation
  // not permitted").
  std::vector<std::string> warnings;
  std::size_t messages = 0;
  std::size_t routes = 0;
};

// Fills an empty Net; takes net.rtnl. The caller's thread stays in its own namespace. Sets
// net.neigh->owner to NeighOwner::kernel and leaves ask_kernel empty (mirror/live.h sets it).
// On error the Net is half filled: throw it away. Errors: no such namespace, no permission to enter
// it, a dump that was interrupted again and again, a message that cannot be read.
// Thread safety: nobody else writes to the Net; others may send.
[[nodiscard]] Result<ImportReport> import_namespace(Net& net, const ImportOptions& options);

}  // namespace txp
