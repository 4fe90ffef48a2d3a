// SPDX-License-Identifier: Apache-2.0
// AF_PACKET sockets of a real interface (packet(7)).
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "base/clock.h"
#include "base/result.h"

namespace txp {

class Net;
struct NetDevice;

std::unexpected<Error> packet_call_failed(const std::string& dev, const char* call, int code);

// A raw socket that receives nothing yet, in the namespace of a file descriptor or (-1) of the
// calling thread; -1 and errno when it failed. Its descriptor is `min_fd` or above, where there is
// room.
int packet_socket(int netns_fd, int min_fd = 0);

// The ICMP and ICMPv6 errors about UDP that come in on an interface. The kernel has its say about
// them too; a filter in the kernel lets nothing else through, and what does not concern a socket of
// the Net is left to it.
class IcmpErrorReceiver {
 public:
  [[nodiscard]] static Result<std::unique_ptr<IcmpErrorReceiver>> open(const NetDevice& dev,
                                                                       int ifindex, int netns_fd,
                                                                       int min_fd);
  ~IcmpErrorReceiver();
  IcmpErrorReceiver(const IcmpErrorReceiver&) = delete;
  IcmpErrorReceiver& operator=(const IcmpErrorReceiver&) = delete;
  int fd() const { return fd_; }
  // Takes in what came, at most `budget` frames; answers how many.
  std::size_t poll(Net& net, NetDevice& dev, std::size_t budget);

 private:
  explicit IcmpErrorReceiver(int fd) : fd_(fd) {}
  int fd_;
  std::atomic<Nanos> next_look_{0};
};

// Sends one frame that is longer than the interface's MTU, which AF_PACKET refuses and the kernel's
// own path does not look at (a route may have a larger MTU). False: refused here too.
//
// With a virtio-net header that asks for segmentation, AF_PACKET leaves the length alone; and a
// packet that is no longer than its segment size is not segmented.
bool send_long_frame(int netns_fd, int ifindex, bool qdisc_bypass,
                     std::span<const std::uint8_t> frame);

}  // namespace txp
