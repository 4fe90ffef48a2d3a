// SPDX-License-Identifier: Apache-2.0
// What a txpath::Net holds.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "mirror/live.h"
#include "net.h"
#include "tap/pcapng_writer.h"
#include "tap/tap.h"
#include "txpath/net.h"

namespace txpath {

struct Net::Impl {
  explicit Impl(std::uint64_t seed) : net({.clock = txp::Clock::monotonic(), .seed = seed}) {}
  ~Impl();
  Result<TapId> add_tap(const std::string& dev, std::unique_ptr<txp::Tap> tap);

  txp::Net net;
  std::unique_ptr<txp::Live> live;  // null: nothing to follow
  std::map<TapId, std::unique_ptr<txp::Tap>> taps;
  std::map<TapId, std::shared_ptr<txp::PcapngWriter>> captures;
  TapId last_tap = 0;
  std::vector<std::string> warnings;
};

}  // namespace txpath
