// SPDX-License-Identifier: Apache-2.0
// Writes pcapng files (draft-ietf-opsawg-pcapng): one section, an interface block by device with
// its name and nanosecond stamps, enhanced packet blocks.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "base/whole_file.h"

namespace txp {

struct Link;
struct Skb;

// The file appears under its name whole, by close(), or not at all: until then the bytes go to a
// nameless file beside it. A name that is no regular file (a pipe, /dev/stdout) is written
// directly. Thread safety: any thread.
class PcapngWriter {
 public:
  [[nodiscard]] static Result<std::shared_ptr<PcapngWriter>> open(const std::string& path);
  ~PcapngWriter();  // closes; an error is lost then
  PcapngWriter(const PcapngWriter&) = delete;
  PcapngWriter& operator=(const PcapngWriter&) = delete;

  struct About {
    bool outgoing = true;
    std::uint64_t id = 0;  // epb_packetid: the same packet in several places; 0: none
    std::size_t len = 0;   // of the whole packet, where `bytes` are its first
    std::string comment{};
  };
  // A frame on `dev` at `wall` ns since the epoch.
  void packet(const Link& dev, Nanos wall, std::span<const std::uint8_t> bytes, const About& about);
  void packet(const Link& dev, Nanos wall, std::span<const std::uint8_t> bytes, bool outgoing) {
    packet(dev, wall, bytes, About{.outgoing = outgoing});
  }
  // Gives the file its name. The first error of all writing; a second call does nothing.
  [[nodiscard]] Result<void> close();
  std::uint64_t packets() const;

 private:
  PcapngWriter(std::string path, WholeFile file);
  void block(std::uint32_t type, std::span<const std::span<const std::uint8_t>> parts);
  void write_out();
  unsigned interface(const Link& dev);

  mutable std::mutex mutex_;
  const std::string path_;
  WholeFile file_;
  bool closed_ = false;
  std::vector<std::uint8_t> buffer_;
  std::vector<std::uint8_t> tail_;  // of a packet's block, kept for its memory
  Result<void> error_;              // the first of all writing
  std::map<std::pair<int, std::string>, unsigned> interfaces_;
  std::uint64_t packets_ = 0;
};

}  // namespace txp
