// SPDX-License-Identifier: Apache-2.0
// A snapshot file that nobody has checked.
#include <cstdint>
#include <string_view>

#include "mirror/snapshot.h"
#include "net.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace txp;
  const void* bytes = data;
  Net net(Net::Options{.clock = Clock::manual(), .seed = 1});
  (void)load_snapshot_text(net, std::string_view(static_cast<const char*>(bytes), size), "input");
  return 0;
}
