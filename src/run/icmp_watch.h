// SPDX-License-Identifier: Apache-2.0
// Hears ICMP errors that come to this host: the kernel learns path MTUs and redirects from them,
// and announces neither. Whoever hears one reads them again.
//
// The kernel lists an exception only once a route of its own uses it (fnhe_dump_bucket()), and the
// engine's datagrams make it look for none: so a socket is connected to where the datagram went.
#pragma once

#include <cstdint>
#include <vector>

namespace txp {

class IcmpWatch {
 public:
  IcmpWatch();  // in the calling thread's network namespace; deaf without CAP_NET_RAW
  ~IcmpWatch();
  IcmpWatch(const IcmpWatch&) = delete;
  IcmpWatch& operator=(const IcmpWatch&) = delete;
  int fd() const { return fd_; }  // -1: deaf
  // Whether one came since the last call, or between the last two: the kernel acts on a message a
  // moment after it is heard here.
  bool heard();

 private:
  int fd_ = -1;
  std::vector<std::uint32_t> just_now_;  // destinations, in network order
};

}  // namespace txp
