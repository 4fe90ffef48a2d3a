// SPDX-License-Identifier: Apache-2.0
// In the place of watch.cc where a tool to build the eBPF programs was missing.
#include "watch/watch.h"

namespace txp {

Result<std::unique_ptr<Watch>> Watch::open(const WatchOptions&) {
  return fail("this txpath was built without its eBPF programs, install " TXPATH_WATCH_MISSING
              " and build it again");
}

}  // namespace txp
