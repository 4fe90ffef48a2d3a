// SPDX-License-Identifier: Apache-2.0
// The real interface of the same name, through AF_PACKET sockets (packet(7)): whole frames, sent in
// batches with sendmmsg() when the queue's doorbell rings.
//
// The kernel's discipline on the interface is passed by (PACKET_QDISC_BYPASS) only when it is one
// that the engine itself runs; any other keeps its say.
#pragma once

#include <memory>
#include <vector>

#include "base/result.h"
#include "drivers/driver.h"

namespace txp {

struct AfPacketOptions {
  int netns_fd = -1;       // a namespace's file descriptor; -1: the calling thread's namespace
  std::size_t ring = 256;  // frames that may wait for the kernel, a queue
  std::size_t batch = 64;  // frames a sendmmsg() call
  int min_fd = 0;          // the sockets' descriptors are at least this
  std::vector<int>* fds = nullptr;  // gets the descriptors
};

// What comes in on the interface is the kernel's, but for ICMP errors about UDP, which the Net's
// own sockets hear of too (poll()). Errors: no such interface, no CAP_NET_RAW.
[[nodiscard]] Result<std::unique_ptr<Driver>> make_af_packet(const NetDevice& dev,
                                                             const AfPacketOptions& options = {});

}  // namespace txp
