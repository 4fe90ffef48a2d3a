// SPDX-License-Identifier: Apache-2.0
// The real interface of the same name, through AF_PACKET sockets with a virtio-net header, for a
// thread that transmits what others queue (`txpath run --doorbell async`).
//
// Datagrams of one flow and one size that wait one behind the other leave as one UDP segmentation
// frame (VIRTIO_NET_HDR_GSO_UDP_L4), which the kernel or the card cuts apart again: the receiver
// gets the same datagrams in the same order; only their IP ids may differ. Nothing waits for that:
// what is there when the doorbell is heard goes. Checksums and UDP_SEGMENT are left to the device
// as well.
#pragma once

#include <cstddef>
#include <memory>

#include "base/result.h"
#include "drivers/driver.h"

namespace txp {

class Bell;

struct AfPacketBulkOptions {
  std::size_t ring = 1024;  // frames that may wait, a queue; a power of two
  bool merge = true;        // several datagrams in one frame
};

// ndo_start_xmit() queues and rings `bell`; whoever hears it calls poll(), one thread, in whose
// descriptor table the sockets are. Errors: no such interface, no CAP_NET_RAW.
[[nodiscard]] Result<std::unique_ptr<Driver>> make_af_packet_bulk(
    const NetDevice& dev, Bell& bell, const AfPacketBulkOptions& options = {});

}  // namespace txp
