// SPDX-License-Identifier: Apache-2.0
#include "cli/payload_source.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace txp::cli {
namespace {

class Generated final : public PayloadSource {
 public:
  Generated(std::uint64_t count, std::size_t len) : count_(count) {
    payload_.resize(len);
    for (std::size_t i = 0; i < len; ++i) payload_[i] = static_cast<std::uint8_t>(i);
  }
  Result<Next> next() override {
    if (number_ == count_) return Next::end;
    constexpr std::size_t kNumber = sizeof number_;
    if (payload_.size() >= kNumber)
      for (std::size_t i = 0; i < kNumber; ++i)
        payload_[i] = static_cast<std::uint8_t>(number_ >> (8 * (kNumber - 1 - i)));
    ++number_;
    return Next::ready;
  }
  std::optional<std::uint64_t> total() const override { return count_; }

 private:
  const std::uint64_t count_;
  std::uint64_t number_ = 0;
};

class Input final : public PayloadSource {
 public:
  Input(std::string name, int fd, std::size_t len, std::optional<std::uint64_t> count)
      : name_(std::move(name)), fd_(fd), len_(len), left_(count) {
    struct stat st{};
    if (::fstat(fd_, &st) == 0 && S_ISREG(st.st_mode)) {
      const off_t at = std::max<off_t>(::lseek(fd_, 0, SEEK_CUR), 0);
      const auto bytes = static_cast<std::uint64_t>(std::max<off_t>(st.st_size - at, 0));
      total_ = (bytes + len_ - 1) / len_;
    }
    if (left_) total_ = std::min(total_.value_or(*left_), *left_);
  }
  ~Input() override { ::close(fd_); }

  Result<Next> next() override {
    if (left_ && *left_ == 0) return Next::end;
    if (whole_) {
      payload_.clear();
      whole_ = false;
    }
    while (payload_.size() < len_ && !ended_) {
      // Standard input may be shared with others, so it is asked instead of made non-blocking.
      pollfd ready{fd_, POLLIN, 0};
      if (::poll(&ready, 1, 0) == 0) return Next::wait;
      const std::size_t have = payload_.size();
      payload_.resize(len_);
      const ssize_t n = ::read(fd_, payload_.data() + have, len_ - have);
      payload_.resize(have + static_cast<std::size_t>(std::max<ssize_t>(n, 0)));
      if (n == 0) ended_ = true;
      if (n < 0 && errno == EAGAIN) return Next::wait;
      if (n < 0 && errno != EINTR)
        return fail(fmt::format("--input {}: {}", name_, std::strerror(errno)));
      if (n < 0) return Next::wait;  // a signal, perhaps the one that ends us
    }
    if (payload_.empty()) return Next::end;
    whole_ = true;
    if (left_) --*left_;
    return Next::ready;
  }
  int fd() const override { return fd_; }
  std::optional<std::uint64_t> total() const override { return total_; }

 private:
  const std::string name_;
  const int fd_;
  const std::size_t len_;
  std::optional<std::uint64_t> left_;
  std::optional<std::uint64_t> total_;
  bool whole_ = false;  // payload_ is a datagram that was handed out
  bool ended_ = false;
};

}  // namespace

std::unique_ptr<PayloadSource> make_generated(std::uint64_t count, std::size_t len) {
  return std::make_unique<Generated>(count, len);
}

Result<std::unique_ptr<PayloadSource>> make_input(const std::string& path, std::size_t len,
                                                  std::optional<std::uint64_t> count) {
  const int fd = path == "-" ? ::fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3)
                             : ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return fail(fmt::format("--input {}: {}", path, std::strerror(errno)));
  struct stat st{};
  if (::fstat(fd, &st) == 0 && S_ISDIR(st.st_mode)) {
    ::close(fd);
    return fail(fmt::format("--input {}: it is a directory", path));
  }
  return std::make_unique<Input>(path, fd, len, count);
}

}  // namespace txp::cli
