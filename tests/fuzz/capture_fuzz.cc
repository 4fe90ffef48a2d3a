// SPDX-License-Identifier: Apache-2.0
// A captured frame of any link layer: the first byte chooses it.
#include <pcap/dlt.h>

#include <cstdint>

#include "explain/capture_flows.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace txp;
  if (size == 0) return 0;
  constexpr int kTypes[] = {DLT_EN10MB, DLT_LINUX_SLL, DLT_LINUX_SLL2, DLT_RAW, DLT_NULL, DLT_LOOP};
  const int type = kTypes[data[0] % std::size(kTypes)];
  const std::span bytes(data + 1, size - 1);
  if (const auto flow = captured_flow(type, bytes, bytes.size()))
    if (flow->payload.size() > bytes.size()) __builtin_trap();
  return 0;
}
