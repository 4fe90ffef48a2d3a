// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "base/result.h"
#include "explain/explain.h"

namespace txp::cli {

// The frames of an explanation as a pcapng file, which appears whole or not at all. Nothing was
// sent, so their time is zero.
[[nodiscard]] Result<void> write_frames_pcap(const std::string& path, const Explanation& x);

}  // namespace txp::cli
