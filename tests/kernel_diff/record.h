// SPDX-License-Identifier: Apache-2.0
// What happened in one world: the answer of every call, the frames on every device, what the
// counters gained. The two worlds run in processes of their own and hand their records over as
// JSON.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "kernel_diff/frame.h"

namespace txp::kdiff {

// A call's answer in words: "1000", "-1 EMSGSIZE", "5 bytes from 10.77.0.1:4000: 68656c6c6f".
struct CallRecord {
  std::size_t step = 0;  // of Scenario::steps
  std::string answer;
};

struct FrameRecord {
  std::string dev;
  Bytes raw;                       // as it was
  Bytes masked;                    // what is compared
  std::size_t call = 0;            // of WorldRecord::calls: the newest when the frame was seen
  std::size_t superframe = 0;      // bytes of the segmentation superframe that it came in; 0: none
  bool first_segment = true;       // of it
  std::vector<std::string> masks;  // the masks that changed it
};

using Counters = std::map<std::string, std::int64_t>;  // "Udp.OutDatagrams", "va.tx_packets"

struct WorldRecord {
  std::string failed;   // the world could not be run: why
  std::string skipped;  // this host cannot run it: why
  std::vector<CallRecord> calls;
  std::vector<FrameRecord> frames;
  Counters counters;               // gained; zero is left out
  std::vector<std::string> notes;  // for people, with -v: "engine: unknown ..."

  std::string to_json() const;
  static WorldRecord from_json(const std::string& text);
};

}  // namespace txp::kdiff
