// SPDX-License-Identifier: Apache-2.0
// Taps that come with the library: into a pcapng file, a ring in memory, a queue, a function.
// A filter before any of them: pcap_filter.h.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "tap/pcapng_writer.h"
#include "tap/tap.h"

namespace txp {

// A frame as a tap keeps it: linear, its checksum complete.
struct TapFrame {
  std::string dev;
  int ifindex = 0;
  Nanos wall = 0;  // ns since the epoch
  bool outgoing = false;
  std::vector<std::uint8_t> bytes;
};

// Every frame into a pcapng file. A GSO packet that the driver segments by itself is one frame, as
// tcpdump shows it.
class PcapngTap final : public Tap {
 public:
  explicit PcapngTap(std::shared_ptr<PcapngWriter> writer) : writer_(std::move(writer)) {}
  void packet(const Net& net, const NetDevice& dev, const Skb& skb, bool outgoing) override;

 private:
  std::shared_ptr<PcapngWriter> writer_;
};

// The last `capacity` frames, oldest first; earlier ones are overwritten.
class RingTap final : public Tap {
 public:
  explicit RingTap(std::size_t capacity) : frames_(capacity) {}
  void packet(const Net& net, const NetDevice& dev, const Skb& skb, bool outgoing) override;
  std::vector<TapFrame> frames() const;
  std::uint64_t seen() const;  // frames so far, the overwritten ones too

 private:
  mutable std::mutex mutex_;
  std::vector<TapFrame> frames_;
  std::uint64_t seen_ = 0;
};

// Frames for a reader on a thread of its own. One that is slow loses its own copies, which are
// counted, and never holds up a sender (as a socket of PACKET_RX_RING does).
class QueueTap final : public Tap {
 public:
  explicit QueueTap(std::size_t capacity) : frames_(capacity) {}
  void packet(const Net& net, const NetDevice& dev, const Skb& skb, bool outgoing) override;
  // The oldest frame. False: none waits.
  bool take(TapFrame& frame);
  std::uint64_t seen() const;  // PACKET_STATISTICS: tp_packets
  std::uint64_t lost() const;  // tp_drops

 private:
  mutable std::mutex mutex_;
  std::vector<TapFrame> frames_;
  std::size_t head_ = 0;
  std::size_t count_ = 0;
  std::uint64_t seen_ = 0;
  std::uint64_t lost_ = 0;
};

// Calls `function` for every frame, by any sending thread, also by several at once.
class CallbackTap final : public Tap {
 public:
  using Function = std::function<void(const TapFrame& frame)>;
  explicit CallbackTap(Function function) : function_(std::move(function)) {}
  void packet(const Net& net, const NetDevice& dev, const Skb& skb, bool outgoing) override;

 private:
  const Function function_;
};

}  // namespace txp
