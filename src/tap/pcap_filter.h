// SPDX-License-Identifier: Apache-2.0
// A pcap-filter(7) expression over Ethernet frames: "udp port 53 and greater 100".
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "base/result.h"
#include "tap/tap.h"

namespace txp {

class PcapFilter {
 public:
  // An error is libpcap's own words.
  [[nodiscard]] static Result<PcapFilter> compile(const std::string& expression);
  // Thread safety: any thread. `len` is the frame's length when `bytes` is only its beginning.
  bool matches(std::span<const std::uint8_t> bytes, std::size_t len) const;

 private:
  struct Program;
  explicit PcapFilter(std::shared_ptr<const Program> program) : program_(std::move(program)) {}
  std::shared_ptr<const Program> program_;
};

// Shows another tap what matches. As for the kernel's sockets, the filter sees the packet before
// the driver's offloads: a superframe is one frame.
class FilteredTap final : public Tap {
 public:
  FilteredTap(PcapFilter filter, std::unique_ptr<Tap> inner)
      : filter_(std::move(filter)), inner_(std::move(inner)) {}
  void packet(const Net& net, const NetDevice& dev, const Skb& skb, bool outgoing) override;

 private:
  const PcapFilter filter_;
  const std::unique_ptr<Tap> inner_;
};

}  // namespace txp
