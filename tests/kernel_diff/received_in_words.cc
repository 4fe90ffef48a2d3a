// SPDX-License-Identifier: Apache-2.0
#include "kernel_diff/received_in_words.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <time.h>  // linux/errqueue.h wants it before

#include <linux/errqueue.h>
#include <sys/socket.h>

#include <cstring>

#include "base/errno.h"
#include "kernel_diff/scenario.h"
#include "kernel_diff/sockopt_names.h"

namespace txp::kdiff {
namespace {

template <typename T>
T as(std::span<const std::uint8_t> data) {
  T v{};
  std::memcpy(&v, data.data(), std::min(sizeof v, data.size()));
  return v;
}

std::string hex(std::span<const std::uint8_t> bytes) {
  std::string text;
  for (const std::uint8_t b : bytes) text += fmt::format("{:02x}", b);
  return text;
}

std::string address(in_addr a) {
  char text[INET_ADDRSTRLEN] = {};
  inet_ntop(AF_INET, &a, text, sizeof text);
  return text;
}

std::string error_in_words(std::span<const std::uint8_t> data, bool ipv6) {
  const auto ee = as<sock_extended_err>(data);
  std::string text =
      fmt::format("{} {} origin {} type {} code {} info {} data {}",
                  ipv6 ? "IPV6_RECVERR" : "IP_RECVERR", Errno{static_cast<int>(ee.ee_errno)}.name(),
                  ee.ee_origin, ee.ee_type, ee.ee_code, ee.ee_info, ee.ee_data);
  if (ipv6 && data.size() >= sizeof ee + sizeof(sockaddr_in6)) {
    const auto offender = as<sockaddr_in6>(data.subspan(sizeof ee));
    if (offender.sin6_family != AF_INET6) return text;
    Addr by;
    by.family = AF_INET6;
    by.six = offender;
    return text + " by " + addr_port(by);
  }
  if (data.size() < sizeof ee + sizeof(sockaddr_in)) return text;
  const auto offender = as<sockaddr_in>(data.subspan(sizeof ee));
  if (offender.sin_family == AF_INET) {
    Addr by;
    by.family = AF_INET;
    by.four = offender;
    text += " by " + addr_port(by);
  }
  return text;
}

// Which of the three stamps of an scm_timestamping are there.
std::string stamps_in_words(std::span<const std::uint8_t> data) {
  const auto t = as<scm_timestamping>(data);
  std::string text;
  for (const timespec& ts : t.ts) text += ts.tv_sec != 0 || ts.tv_nsec != 0 ? " set" : " 0";
  return text;
}

std::string control_in_words(const cmsghdr& head, std::span<const std::uint8_t> data) {
  if (head.cmsg_level == SOL_IP && head.cmsg_type == IP_RECVERR) return error_in_words(data, false);
  if (head.cmsg_level == SOL_IPV6 && head.cmsg_type == IPV6_RECVERR)
    return error_in_words(data, true);
  if (head.cmsg_level == SOL_IP && head.cmsg_type == IP_PKTINFO) {
    const auto p = as<in_pktinfo>(data);
    return fmt::format("IP_PKTINFO {} {} {}", p.ipi_ifindex, address(p.ipi_spec_dst),
                       address(p.ipi_addr));
  }
  if (head.cmsg_level == SOL_SOCKET && head.cmsg_type == SO_TIMESTAMPING)
    return "SO_TIMESTAMPING" + stamps_in_words(data);
  std::string text = fmt::format("{}/{}", head.cmsg_level, head.cmsg_type);
  const bool stamp = head.cmsg_level == SOL_SOCKET &&
                     (head.cmsg_type == SO_TIMESTAMP || head.cmsg_type == SO_TIMESTAMPNS);
  return text + (stamp ? fmt::format(" of {} bytes", data.size()) : " " + hex(data));
}

// A send stamp's payload is a frame, with an id and checksums of its own.
bool is_stamp(std::span<const std::uint8_t> data) {
  return as<sock_extended_err>(data).ee_origin == SO_EE_ORIGIN_TIMESTAMPING;
}

// Where the control messages are cut, only the bytes tell: Ethernet, IPv4, UDP.
bool is_frame(std::span<const std::uint8_t> data) {
  return data.size() > 14 && data[12] == 8 && data[13] == 0 && data[14] >> 4 == 4 &&
         (data.size() < 24 || data[23] == IPPROTO_UDP);
}

}  // namespace

std::string name_in_words(const Addr& name, const std::vector<SocketState>& sockets) {
  const std::string text = addr_port(name);
  for (const SocketState& s : sockets)
    if (s.drawn.contains(name.port())) return text.substr(0, text.rfind(':')) + ":auto";
  return text;
}

std::string received_in_words(Answer n, const ReceivedMsg& got,
                              const std::vector<SocketState>& sockets) {
  std::string text = fmt::format("{}", n);
  if (got.from) text += " from " + name_in_words(*got.from, sockets);
  for (const auto& [flag, name] : {std::pair(MSG_TRUNC, "MSG_TRUNC"),
                                   {MSG_CTRUNC, "MSG_CTRUNC"},
                                   {MSG_ERRQUEUE, "MSG_ERRQUEUE"}})
    if ((got.flags & flag) != 0) text += fmt::format(" {}", name);
  constexpr int kCut = MSG_CTRUNC | MSG_ERRQUEUE;
  bool stamp = (got.flags & kCut) == kCut && is_frame(got.payload);
  std::span<const std::uint8_t> rest = got.control;
  while (rest.size() >= sizeof(cmsghdr)) {
    const auto head = as<cmsghdr>(rest);
    if (head.cmsg_len < sizeof head || head.cmsg_len > rest.size()) break;
    const auto data = rest.subspan(CMSG_LEN(0), head.cmsg_len - CMSG_LEN(0));
    text += ", " + control_in_words(head, data);
    const bool error = (head.cmsg_level == SOL_IP && head.cmsg_type == IP_RECVERR) ||
                       (head.cmsg_level == SOL_IPV6 && head.cmsg_type == IPV6_RECVERR);
    stamp |= error && is_stamp(data);
    rest = rest.subspan(std::min<std::size_t>(CMSG_ALIGN(head.cmsg_len), rest.size()));
  }
  if (stamp) return text + fmt::format(": a frame of {} bytes", got.payload.size());
  return got.payload.empty() ? text : text + ": " + hex(got.payload);
}

}  // namespace txp::kdiff
