// SPDX-License-Identifier: Apache-2.0
// DPDK beside ours: its own loop, as a program would write it. A burst of packets from a mempool,
// headers written into each, the payload copied, checksums in software by rte_ip.h,
// rte_eth_tx_burst() to net_null, which frees them. No route, no neighbour, no counters.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

class DpdkSender {
 public:
  static constexpr std::size_t kBatch = 32;
  DpdkSender();
  // Why it cannot be measured here; empty: it can.
  const std::string& why_not() const { return why_not_; }
  // kBatch datagrams in one burst; one that exceeds the MTU goes as its fragments.
  bool send_batch(std::span<const std::uint8_t> payload);

 private:
  std::string why_not_;
  std::uint16_t id_ = 0;
};
