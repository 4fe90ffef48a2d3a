// SPDX-License-Identifier: Apache-2.0
// What really went over a wire: an AF_PACKET socket on one end of it, and the offloads that a veth
// leaves undone (no hardware ever does them) finished in software.
//
// The offloads of the devices stay untouched, so that the kernel takes the path that it always
// takes. A frame with an unfilled checksum or a segmentation superframe is told by its virtio-net
// header (PACKET_VNET_HDR) and completed here, independently of the engine's own code.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"

namespace txp::wirecap {

struct WireFrame {
  std::string dev;                  // the sender's name for the wire
  std::vector<std::uint8_t> bytes;  // the whole frame, complete
  std::size_t superframe = 0;       // when segmented here: the bytes of the frame that came
  bool first_segment = true;        // of its superframe
};

class WireCapture {
 public:
  enum class Direction { arriving, leaving };
  // In the calling thread's namespace. Frames are told as of `dev`; `interface` is captured.
  static Result<WireCapture> open(std::string dev, const std::string& interface,
                                  Direction direction);
  WireCapture(WireCapture&& o) noexcept
      : fd_(std::exchange(o.fd_, -1)), dev_(std::move(o.dev_)), direction_(o.direction_) {}
  WireCapture& operator=(WireCapture&&) = delete;
  ~WireCapture();

  // Appends what has come, without waiting.
  void take(std::vector<WireFrame>& to);
  int fd() const { return fd_; }

 private:
  WireCapture(int fd, std::string dev, Direction direction)
      : fd_(fd), dev_(std::move(dev)), direction_(direction) {}
  int fd_ = -1;
  std::string dev_;
  Direction direction_;
};

// What a virtio-net header tells about a frame (struct virtio_net_hdr).
struct Offloads {
  bool needs_csum = false;
  std::uint16_t csum_start = 0;   // bytes from the frame's start
  std::uint16_t csum_offset = 0;  // bytes from csum_start
  std::uint16_t gso_size = 0;     // UDP payload bytes of a segment; 0: whole
};
// The frames that hardware would put on the wire for `frame`: segmented as __udp_gso_segment() and
// inet_gso_segment() do, checksums filled.
std::vector<std::vector<std::uint8_t>> complete(std::vector<std::uint8_t> frame,
                                                const Offloads& offloads);

}  // namespace txp::wirecap
