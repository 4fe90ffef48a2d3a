// SPDX-License-Identifier: Apache-2.0
// A scenario: setup commands and socket calls from a small text file. docs/kernel_diff.md is the
// language's description.
#pragma once

#include <netinet/in.h>

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace txp::kdiff {

// A sockaddr_in or a sockaddr_in6. A scope ("fe80::2%va") is a name until resolve().
struct Addr {
  sockaddr_in four{};
  sockaddr_in6 six{};
  sa_family_t family = AF_UNSPEC;
  std::string scope;

  bool is6() const { return family == AF_INET6; }
  std::uint16_t port() const { return ntohs(is6() ? six.sin6_port : four.sin_port); }
  // As a system call takes it, in the calling thread's namespace; the family as said.
  void resolve();
  const sockaddr* get() const;
  socklen_t size() const { return is6() ? sizeof six : sizeof four; }
  // From what a system call gave.
  static Addr from(const sockaddr_storage& a);
};

// The bytes of an option or a control message. Interface numbers are known only inside the
// namespace, so they are named here and put in by resolve().
struct Value {
  struct Interface {
    std::size_t offset;
    std::string name;
    bool big_endian;
  };
  std::vector<std::uint8_t> bytes;
  std::vector<Interface> interfaces;
  // In the calling thread's namespace. An interface that is not there has number 0.
  std::vector<std::uint8_t> resolve() const;
};

struct ControlMessage {
  int level = 0;
  int type = 0;
  Value value;
  std::optional<std::size_t> len;  // a wrong cmsg_len, given with `size`
};

enum class Verb {
  setup,         // a command in the sending namespace
  peer,          // a command in the peer
  peer_answers,  // the peer answers UDP with ICMP port unreachable
  peer_icmp,  // (icmp, icmp6) the peer sends an ICMP message about the newest datagram that it got
  sleep,      // both worlds wait
  socket,
  bind,
  connect,
  send,      // send, sendto, sendmsg
  sendmmsg,  // several messages
  recv,
  recvmsg,
  setsockopt,
  getsockopt,
  getsockname,
  shutdown,
  close,
};

struct Step {
  int line = 0;
  std::string text;  // as written
  Verb verb = Verb::setup;
  unsigned repeat = 1;
  std::vector<std::string> words;  // setup, peer: the command
  bool may_fail = false;           // need setup: the scenario is skipped then
  int milliseconds = 0;            // sleep
  std::uint8_t icmp_type = 0;      // peer_icmp
  std::uint8_t icmp_code = 0;
  std::uint32_t icmp_rest = 0;  // the header's second word

  std::string sock;
  std::uint32_t uid = 0;  // socket
  bool unprivileged = false;
  bool inet6 = false;  // socket
  std::optional<Addr> addr;
  std::optional<std::size_t> addrlen;  // empty: the address's
  std::vector<std::uint8_t> payload;
  std::vector<ControlMessage> control;
  int flags = 0;
  int level = 0;  // setsockopt, getsockopt
  int option = 0;
  Value value;
  int how = 0;                      // shutdown
  std::size_t room = 256;           // getsockopt: bytes; recvmsg: of the datagram
  std::size_t control_room = 1024;  // recvmsg: bytes
  std::vector<Step> messages;       // sendmmsg: each as a send

  bool is_call() const { return verb >= Verb::socket; }
};

struct Scenario {
  std::string name;    // the file's, without .scn
  std::string idea;    // the first comment line
  std::string source;  // the whole text
  bool need_root = false;
  bool need_once = false;  // its calls cannot be made twice (--fly)
  bool need_vc = false;
  bool need_v6 = false;                    // IPv6 runs in the laboratory
  std::vector<std::string> need_sysctls;   // skipped on a kernel without them
  std::vector<std::string> need_programs;  // skipped on a host without them
  // Counters that timers move: how far the worlds may differ.
  std::map<std::string, std::int64_t> bounds;
  std::vector<Step> steps;

  // One sentence with the line number when the text is wrong.
  static Result<Scenario> parse(std::string name, std::string_view text);
  static Result<Scenario> load(const std::string& path);
  // For --fly: the engine walks the first of two equal sends, and may fly the second.
  void send_twice();
};

// "10.77.0.1:4000", "[2001:db8::1]:53", "[fe80::1%va]:53". Nothing else; the port is required.
std::optional<Addr> parse_addr_port(std::string_view text);
std::string addr_port(const Addr& a);

}  // namespace txp::kdiff
