// SPDX-License-Identifier: Apache-2.0
#include "mirror/netlink.h"

#include <cerrno>
#include <cstring>
#include <utility>

#include <linux/netlink.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

namespace txp {

namespace {

// The kernel fills dumps up to 32 KiB a time when the reader's buffer allows.
constexpr std::size_t kReceive = 256 * 1024;
constexpr int kAnswerTimeoutMs = 30'000;

}  // namespace

NlRequest::NlRequest(std::uint16_t type, std::uint16_t flags)
    : header_(mnl_nlmsg_put_header(buffer_.data())) {
  header_->nlmsg_type = type;
  header_->nlmsg_flags = static_cast<std::uint16_t>(NLM_F_REQUEST | flags);
}

void MessageBuffer::add(const nlmsghdr& h) {
  const void* p = &h;
  const auto* from = static_cast<const std::uint8_t*>(p);
  if (bytes_.capacity() - bytes_.size() < h.nlmsg_len + 4U)
    bytes_.reserve(std::max<std::size_t>(bytes_.capacity() * 2, 64 * 1024) + h.nlmsg_len);
  bytes_.insert(bytes_.end(), from, from + h.nlmsg_len);
  bytes_.resize(NLMSG_ALIGN(bytes_.size()));
}

std::expected<NlSocket, int> NlSocket::open(int bus) {
  const int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, bus);
  if (fd < 0) return std::unexpected(errno);
  NlSocket s(fd);
  sockaddr_nl addr{};
  addr.nl_family = AF_NETLINK;
  const void* any = &addr;
  if (bind(fd, static_cast<const sockaddr*>(any), sizeof addr) != 0) return std::unexpected(errno);
  const int one = 1;
  // Old kernels lack one or the other; then filters are not strict, and errors have no text.
  (void)setsockopt(fd, SOL_NETLINK, NETLINK_GET_STRICT_CHK, &one, sizeof one);
  (void)setsockopt(fd, SOL_NETLINK, NETLINK_EXT_ACK, &one, sizeof one);
  s.set_receive_buffer(1024 * 1024);
  s.buffer_.resize(kReceive);
  return s;
}

NlSocket::NlSocket(NlSocket&& o) noexcept
    : fd_(std::exchange(o.fd_, -1)), seq_(o.seq_), buffer_(std::move(o.buffer_)) {}
NlSocket& NlSocket::operator=(NlSocket&& o) noexcept {
  std::swap(fd_, o.fd_);
  std::swap(seq_, o.seq_);
  std::swap(buffer_, o.buffer_);
  return *this;
}
NlSocket::~NlSocket() {
  if (fd_ >= 0) close(fd_);
}

int NlSocket::join(unsigned group) {
  return setsockopt(fd_, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof group) == 0 ? 0
                                                                                         : errno;
}

void NlSocket::set_receive_buffer(int bytes) {
  if (setsockopt(fd_, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof bytes) != 0)
    (void)setsockopt(fd_, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes);
}

int NlSocket::send(NlRequest& request) {
  for (;;) {
    const nlmsghdr* h = request.header();
    if (::send(fd_, h, h->nlmsg_len, MSG_NOSIGNAL) >= 0) return 0;
    if (errno != EINTR) return errno;
  }
}

int NlSocket::receive(
    const std::function<void(const nlmsghdr&, std::span<const std::uint8_t>)>& visit, bool wait) {
  for (;;) {
    const ssize_t n = recv(fd_, buffer_.data(), buffer_.size(), MSG_TRUNC);
    if (n < 0) {
      if (errno == EINTR) continue;
      if (errno != EAGAIN) return errno;
      if (!wait) return 0;
      pollfd p{.fd = fd_, .events = POLLIN, .revents = 0};
      const int ready = poll(&p, 1, kAnswerTimeoutMs);
      if (ready == 0) return ETIMEDOUT;
      if (ready < 0 && errno != EINTR) return errno;
      continue;
    }
    if (static_cast<std::size_t>(n) > buffer_.size()) return EMSGSIZE;
    int left = static_cast<int>(n);
    const void* at = buffer_.data();
    for (const auto* h = static_cast<const nlmsghdr*>(at); mnl_nlmsg_ok(h, left);
         h = mnl_nlmsg_next(h, &left)) {
      const void* bytes = h;
      visit(*h, {static_cast<const std::uint8_t*>(bytes), h->nlmsg_len});
    }
    if (wait) return 0;
  }
}

// Reads the answers to request `seq`. A positive errno, 0 when complete.
int NlSocket::collect(std::uint32_t seq, MessageBuffer& into, bool& interrupted) {
  bool complete = false;
  int refused = 0;
  while (!complete) {
    const int error = receive(
        [&](const nlmsghdr& h, std::span<const std::uint8_t> bytes) {
          if (h.nlmsg_seq != seq || complete) return;  // late answers to an earlier request
          if (h.nlmsg_flags & NLM_F_DUMP_INTR) interrupted = true;
          if (h.nlmsg_type == NLMSG_ERROR || h.nlmsg_type == NLMSG_DONE) {
            complete = true;
            int code = 0;
            if (bytes.size() >= sizeof(nlmsghdr) + sizeof code)
              std::memcpy(&code, bytes.data() + sizeof(nlmsghdr), sizeof code);
            refused = code < 0 ? -code : 0;
            return;
          }
          if (h.nlmsg_type == NLMSG_NOOP || h.nlmsg_type == NLMSG_OVERRUN) return;
          into.add(h);
          if (!(h.nlmsg_flags & NLM_F_MULTI)) complete = true;
        },
        true);
    if (error == ENOBUFS) return EAGAIN;  // an answer was lost: as good as interrupted
    if (error != 0) return error;
  }
  return refused;
}

std::expected<MessageBuffer, int> NlSocket::dump(NlRequest& request) {
  MessageBuffer all;
  for (int attempt = 0; attempt < kDumpAttempts; ++attempt) {
    all.clear();
    request.header()->nlmsg_flags |= NLM_F_DUMP;
    request.header()->nlmsg_seq = ++seq_;
    if (const int error = send(request); error != 0) return std::unexpected(error);
    bool interrupted = false;
    const int error = collect(seq_, all, interrupted);
    if (error == EINTR || error == EAGAIN || error == EBUSY) continue;
    if (error != 0) return std::unexpected(error);
    if (!interrupted) return all;
  }
  return std::unexpected(EAGAIN);
}

std::expected<MessageBuffer, int> NlSocket::ask(NlRequest& request) {
  MessageBuffer answer;
  request.header()->nlmsg_seq = ++seq_;
  if (const int error = send(request); error != 0) return std::unexpected(error);
  bool interrupted = false;
  const int error = collect(seq_, answer, interrupted);
  if (error != 0) return std::unexpected(error);
  return answer;
}

}  // namespace txp
