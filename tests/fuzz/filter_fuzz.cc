// SPDX-License-Identifier: Apache-2.0
// Classic BPF programs and packets: the translation answers as libpcap does, or refuses.
#include <cstdlib>

#include "watch/filter.h"
#include "watch/filter_run.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) return 0;
  // An expression, a NUL, a packet.
  const std::string text(data, data + size);
  const std::string expression = text.substr(0, text.find('\0'));
  if (expression.size() > 200) return 0;
  const auto classic = txp::compile_classic(expression);
  if (!classic) return 0;
  const auto filter = txp::translate_filter(*classic);
  if (!filter) return 0;
  std::span<const std::uint8_t> packet;
  if (expression.size() + 1 < size)
    packet = {data + expression.size() + 1, size - expression.size() - 1};
  if (packet.size() > TXP_WATCH_HDR) packet = packet.first(TXP_WATCH_HDR);
  const auto wire = static_cast<std::uint32_t>(packet.size()) + 20;
  if ((txp::run_filter(*filter, packet, wire) != 0) != txp::classic_match(*classic, packet, wire))
    std::abort();
  return 0;
}
