// SPDX-License-Identifier: Apache-2.0
// What the kernel says of one of its UDP sockets: everything that a send reads, asked with
// getsockopt(), getsockname() and getpeername(), so that it does not matter who set it, when, and
// through which descriptor.
#pragma once

#include <cstdint>
#include <string>

#include "run/fallback.h"
#include "wire/ip4.h"

namespace txp {

class Net;
class Sock;

struct KernelSocket {
  bool is_udp = false;       // false: nothing else is known
  std::uint64_t cookie = 0;  // SO_COOKIE: which socket this is, unique until the next boot
  std::uint64_t netns = 0;   // SO_NETNS_COOKIE; 0: this kernel does not tell (before 5.14)
  std::uint32_t uid = 0;     // of its maker (sk_uid)
  Ip4 local;                 // getsockname()
  std::uint16_t local_port = 0;
  Ip4 peer;  // getpeername()
  std::uint16_t peer_port = 0;
  bool connected = false;
  int bound_dev_if = 0;
  std::uint32_t mark = 0;
  std::uint32_t priority = 0;
  int sndbuf = 0;
  bool broadcast = false;
  bool localroute = false;
  bool no_check_tx = false;
  int tos = 0;
  int ttl = 0;  // IP_TTL; the sysctl's where the program gave none
  int mc_ttl = 1;
  bool mc_loop = true;
  int uc_index = 0;
  int pmtudisc = 0;
  bool recverr = false;
  bool freebind = false;
  bool transparent = false;
  std::uint16_t gso_size = 0;
  bool corkflag = false;
  // Not none: an option for which only the kernel can send, in words.
  Fallback refused = Fallback::none;
  std::string refused_by;
  friend bool operator==(const KernelSocket&, const KernelSocket&) = default;
};

// `fd`'s socket, if it is one.
KernelSocket read_kernel_socket(int fd);
// The engine's socket that sends as that one would. Not in the UDP table: the port is the kernel's.
Sock* make_shadow(Net& net, const KernelSocket& k);
bool is_udp_socket(int fd);  // IPv4 or IPv6

}  // namespace txp
