// SPDX-License-Identifier: Apache-2.0
// Where `send` takes its datagrams from: made up, or cut from a file or standard input.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"

namespace txp::cli {

enum class Next : std::uint8_t {
  ready,  // payload() is the next datagram
  wait,   // nothing yet: fd() becomes readable
  end,
};

// Thread safety: one thread.
class PayloadSource {
 public:
  virtual ~PayloadSource() = default;
  // Steps to the next datagram. Errors: the file cannot be read.
  [[nodiscard]] virtual Result<Next> next() = 0;
  std::span<const std::uint8_t> payload() const { return payload_; }
  virtual int fd() const { return -1; }
  // Datagrams in all, where that is known, for the progress line.
  virtual std::optional<std::uint64_t> total() const = 0;

 protected:
  std::vector<std::uint8_t> payload_;
};

// `count` datagrams of `len` bytes. Byte i of a datagram is i mod 256; where 8 bytes fit, the first
// 8 are the datagram's number from 0, big-endian, so that a receiver sees loss and order.
std::unique_ptr<PayloadSource> make_generated(std::uint64_t count, std::size_t len);

// The bytes of `path` ("-": standard input) in their order, `len` a datagram, the last one shorter;
// at most `count` datagrams. `len` > 0.
[[nodiscard]] Result<std::unique_ptr<PayloadSource>> make_input(const std::string& path,
                                                                std::size_t len,
                                                                std::optional<std::uint64_t> count);

}  // namespace txp::cli
