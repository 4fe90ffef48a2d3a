// SPDX-License-Identifier: Apache-2.0
#include <sys/stat.h>

#include "watch/watch.h"

namespace txp {

std::uint32_t this_netns() {
  struct stat s{};
  return ::stat("/proc/thread-self/ns/net", &s) == 0 ? static_cast<std::uint32_t>(s.st_ino) : 0;
}

}  // namespace txp
