// SPDX-License-Identifier: Apache-2.0
#include "base/errno.h"

#include <cstring>

namespace txp {

std::string_view Errno::name() const {
  if (code == kUnknown) return "UNKNOWN";
  const char* name = ::strerrorname_np(code);
  return name != nullptr ? name : "E?";
}

}  // namespace txp
