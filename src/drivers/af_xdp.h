// SPDX-License-Identifier: Apache-2.0
// The real interface of the same name, through AF_XDP sockets: one a transmit queue, for sending
// only. No XDP program is loaded, and what comes in stays the kernel's, but for the ICMP errors
// that a Net asks for (hear_errors).
//
// Frames are copied into memory that the kernel reads (the umem) and their descriptors put on a
// ring; the doorbell is a sendto() without data. The kernel's discipline is passed by, as with
// PACKET_QDISC_BYPASS, and so are its packet taps.
//
// A queue has one such socket in the whole system: a second one fails with EBUSY (so it may for a
// moment after the first was closed).
//
// Written on the system calls (linux/if_xdp.h): libxdp's use is in loading programs, and it would
// bring libbpf, libelf and zlib into every program under `txpath run`.
#pragma once

#include <cstddef>
#include <memory>
#include <vector>

#include "base/result.h"
#include "drivers/driver.h"

namespace txp {

class Bell;

struct AfXdpOptions {
  std::size_t frames = 1024;  // a queue; a power of two
  // The card takes the frames out of our memory. Only where it is asked for: a queue in this mode
  // receives into the socket's memory too, so that the kernel would get nothing more from it.
  bool zero_copy = false;
  bool hear_errors =
      false;       // ICMP errors about UDP that come in reach the Net's sockets, by poll()
  int min_fd = 0;  // the sockets' descriptors are at least this
  std::vector<int>* fds = nullptr;  // gets the descriptors
  // Not null: ndo_start_xmit() only queues and rings it; whoever hears it calls poll(), which
  // transmits.
  Bell* bell = nullptr;
};

// Errors: no such interface, no CAP_NET_RAW, a queue that is taken, an MTU above a page.
[[nodiscard]] Result<std::unique_ptr<Driver>> make_af_xdp(const NetDevice& dev,
                                                          const AfXdpOptions& options = {});

}  // namespace txp
