// SPDX-License-Identifier: Apache-2.0
// Drivers by name, for `--device DEV=KIND`. Adding one: a file here, a line in registry.cc.
//
//   SPEC    := WRAPPER "/" SPEC | KIND
//   KIND    := "null"          takes every frame and ends it
//            | "pcap:FILE"     writes every frame to a pcapng file
//            | "af_packet"     sends on the interface of the same name in this process's namespace
//            | "af_xdp"        the same by AF_XDP; "af_xdp_zc" in zero-copy mode
//            | "tap:NAME"      a TAP interface of this process's namespace, with virtio-net headers
//            | "loopback"      back into this Net's receive path
//   WRAPPER := "capture(FILE)" what the device takes also goes to a pcapng file
//            | "rate(KEY=VALUE,...)" with
//                mbit                                the speed of the wire
//                slots                               frames in the ring, 256 by default
//            | "fault(KEY=VALUE,...)" with
//                drop, dup, reorder, corrupt, busy   probabilities from 0 to 1
//                seed                                a whole number, 1 by default
//
// Example: "fault(drop=0.01,seed=7)/capture(out.pcapng)/af_packet".
#pragma once

#include <memory>
#include <string_view>

#include "base/result.h"
#include "drivers/driver.h"

namespace txp {

// The driver that `spec` describes, for `dev`. Errors: one sentence for anything else than the
// grammar above, a file that cannot be written, or a socket that cannot be opened.
[[nodiscard]] Result<std::unique_ptr<Driver>> make_driver(Net& net, const NetDevice& dev,
                                                          std::string_view spec);

}  // namespace txp
