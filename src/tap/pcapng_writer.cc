// SPDX-License-Identifier: Apache-2.0
#include "tap/pcapng_writer.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "dev/link.h"

namespace txp {
namespace {

using Bytes = std::vector<std::uint8_t>;
using Part = std::span<const std::uint8_t>;

constexpr std::size_t kBuffer = 64 * 1024;  // bytes before a write
constexpr std::uint32_t kSectionHeader = 0x0a0d0d0a;
constexpr std::uint32_t kInterfaceDescription = 1;
constexpr std::uint32_t kEnhancedPacket = 6;
constexpr std::uint16_t kLinktypeEthernet = 1;
constexpr std::uint16_t kLinktypeRaw = 101;  // bare IP

// Fields are in this machine's byte order; the section header's magic says which.
template <typename T>
void put(Bytes& to, T value) {
  const auto at = to.size();
  to.resize(at + sizeof value);
  std::memcpy(to.data() + at, &value, sizeof value);
}

std::size_t padding(std::size_t n) { return (4 - n % 4) % 4; }

void option(Bytes& to, std::uint16_t code, Part value) {
  put(to, code);
  put(to, static_cast<std::uint16_t>(value.size()));
  to.insert(to.end(), value.begin(), value.end());
  to.resize(to.size() + padding(value.size()));
}

void option(Bytes& to, std::uint16_t code, const std::string& text) {
  Bytes bytes(text.begin(), text.end());
  option(to, code, Part(bytes));
}

}  // namespace

Result<std::shared_ptr<PcapngWriter>> PcapngWriter::open(const std::string& path) {
  auto file = WholeFile::create(path);
  if (!file) return fail(path + ": " + file.error().what);
  std::shared_ptr<PcapngWriter> writer(new PcapngWriter(path, std::move(*file)));
  Bytes header;
  put(header, std::uint32_t{0x1a2b3c4d});  // byte order magic
  put(header, std::uint16_t{1});           // version 1.0
  put(header, std::uint16_t{0});
  put(header, std::int64_t{-1});             // the section's length is not given
  option(header, 4, std::string("txpath"));  // shb_userappl
  option(header, 0, Part{});
  const Part part(header);
  writer->block(kSectionHeader, {&part, 1});
  return writer;
}

PcapngWriter::PcapngWriter(std::string path, WholeFile file)
    : path_(std::move(path)), file_(std::move(file)) {
  buffer_.reserve(kBuffer + 68 * 1024);
}

PcapngWriter::~PcapngWriter() { (void)close(); }

void PcapngWriter::block(std::uint32_t type, std::span<const Part> parts) {
  std::size_t size = 0;
  for (const Part& p : parts) size += p.size();
  put(buffer_, type);
  put(buffer_, static_cast<std::uint32_t>(size + 12));
  for (const Part& p : parts) buffer_.insert(buffer_.end(), p.begin(), p.end());
  put(buffer_, static_cast<std::uint32_t>(size + 12));
  if (buffer_.size() >= kBuffer) write_out();
}

void PcapngWriter::write_out() {
  const std::string_view text(static_cast<const char*>(static_cast<const void*>(buffer_.data())),
                              buffer_.size());
  if (error_) error_ = file_.write(text);
  buffer_.clear();
}

unsigned PcapngWriter::interface(const Link& dev) {
  const auto key = std::pair(dev.ifindex, dev.name);
  if (const auto it = interfaces_.find(key); it != interfaces_.end()) return it->second;
  Bytes body;
  put(body, dev.type == 0xfffe ? kLinktypeRaw : kLinktypeEthernet);
  put(body, std::uint16_t{0});
  put(body, std::uint32_t{0});  // no limit on captured bytes
  option(body, 2, dev.name);    // if_name
  const std::uint8_t nanoseconds = 9;
  option(body, 9, Part(&nanoseconds, 1));  // if_tsresol
  option(body, 0, Part{});
  const Part part(body);
  block(kInterfaceDescription, {&part, 1});
  const auto number = static_cast<unsigned>(interfaces_.size());
  interfaces_[key] = number;
  return number;
}

void PcapngWriter::packet(const Link& dev, Nanos wall, Part bytes, const About& about) {
  const std::lock_guard guard(mutex_);
  if (closed_ || !error_) return;
  const std::size_t size = bytes.size();
  const auto stamp = static_cast<std::uint64_t>(wall);
  const std::uint32_t head[5] = {
      interface(dev), static_cast<std::uint32_t>(stamp >> 32), static_cast<std::uint32_t>(stamp),
      static_cast<std::uint32_t>(size), static_cast<std::uint32_t>(std::max(size, about.len))};
  std::uint8_t head_bytes[sizeof head];
  std::memcpy(head_bytes, head, sizeof head);
  tail_.assign(padding(size), 0);
  if (!about.comment.empty()) option(tail_, 1, about.comment);
  put(tail_, std::uint16_t{2});  // epb_flags: bits 0-1 are the direction
  put(tail_, std::uint16_t{4});
  put(tail_, std::uint32_t{about.outgoing ? 2U : 1U});
  if (about.id != 0) {
    put(tail_, std::uint16_t{5});  // epb_packetid
    put(tail_, std::uint16_t{8});
    put(tail_, about.id);
  }
  option(tail_, 0, Part{});
  const Part all[] = {head_bytes, bytes, tail_};
  block(kEnhancedPacket, all);
  ++packets_;
}

std::uint64_t PcapngWriter::packets() const {
  const std::lock_guard guard(mutex_);
  return packets_;
}

Result<void> PcapngWriter::close() {
  const std::lock_guard guard(mutex_);
  if (closed_) return {};
  closed_ = true;
  write_out();
  if (error_) error_ = file_.commit();
  if (!error_) return fail(path_ + ": " + error_.error().what);
  return {};
}

}  // namespace txp
