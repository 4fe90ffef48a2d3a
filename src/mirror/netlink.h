// SPDX-License-Identifier: Apache-2.0
// One netlink socket: requests, dumps that are repeated when the kernel interrupts them, and
// notifications.
#pragma once

#include <array>
#include <cstdint>
#include <expected>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include <libmnl/libmnl.h>

#include "base/result.h"

namespace txp {

// A request being built; the attributes follow by libmnl's mnl_attr_put*().
class NlRequest {
 public:
  NlRequest(std::uint16_t type, std::uint16_t flags);
  template <typename Header>
  Header* put_header() {
    return static_cast<Header*>(mnl_nlmsg_put_extra_header(header(), sizeof(Header)));
  }
  nlmsghdr* header() { return header_; }

 private:
  alignas(nlmsghdr) std::array<char, 1024> buffer_{};
  nlmsghdr* header_;
};

// Several messages one after the other, each at its alignment.
class MessageBuffer {
 public:
  void add(const nlmsghdr& h);
  void clear() { bytes_.clear(); }
  std::size_t size() const { return bytes_.size(); }
  // Calls visit(const nlmsghdr&, bytes) for each until one answers false.
  template <typename Visit>
  void for_each(Visit&& visit) const {
    for (std::size_t at = 0; at < bytes_.size();) {
      const void* p = bytes_.data() + at;
      const auto& h = *static_cast<const nlmsghdr*>(p);
      if (!visit(h, std::span<const std::uint8_t>(bytes_.data() + at, h.nlmsg_len))) return;
      at += NLMSG_ALIGN(h.nlmsg_len);
    }
  }

 private:
  std::vector<std::uint8_t> bytes_;
};

class NlSocket {
 public:
  // In the calling thread's network namespace. `bus`: NETLINK_ROUTE and so on. A positive errno on
  // failure.
  [[nodiscard]] static std::expected<NlSocket, int> open(int bus);
  NlSocket(NlSocket&& other) noexcept;
  NlSocket& operator=(NlSocket&& other) noexcept;
  ~NlSocket();

  int fd() const { return fd_; }
  // Joins a multicast group. A positive errno, 0 when done.
  int join(unsigned group);
  void set_receive_buffer(int bytes);

  // A positive errno in the answer's place when the kernel refused; EAGAIN when a dump was
  // interrupted kDumpAttempts times.
  static constexpr int kDumpAttempts = 16;
  [[nodiscard]] std::expected<MessageBuffer, int> dump(NlRequest& request);
  // A request with one answer or none (NLM_F_ACK).
  [[nodiscard]] std::expected<MessageBuffer, int> ask(NlRequest& request);

  // What has come, without waiting: visit(const nlmsghdr&, bytes). 0: nothing more; ENOBUFS:
  // notifications were lost; another errno: the socket is broken.
  int receive(const std::function<void(const nlmsghdr&, std::span<const std::uint8_t>)>& visit,
              bool wait = false);
  // Sends without waiting for an answer. A positive errno, 0 when done. Thread safety: any thread.
  int send(NlRequest& request);

 private:
  explicit NlSocket(int fd) : fd_(fd) {}
  int collect(std::uint32_t seq, MessageBuffer& into, bool& interrupted);
  int fd_ = -1;
  std::uint32_t seq_ = 0;
  std::vector<std::uint8_t> buffer_;
};

}  // namespace txp
