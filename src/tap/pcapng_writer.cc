// SPDX-License-Identifier: Apache-2.0
#include "tap/pcapng_writer.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "dev/link.h"

namespace txp {
namespace {

using Bytes = std::vector<std::uint8_t>;
using Part = std::span<const std::uint8_t>;

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

std::string directory_of(const std::string& path) {
  const auto slash = path.rfind('/');
  return slash == std::string::npos ? "." : slash == 0 ? "/" : path.substr(0, slash);
}

std::unexpected<Error> file_error(const std::string& path, int code) {
  return fail(path + ": " + std::strerror(code));
}

}  // namespace

Result<std::shared_ptr<PcapngWriter>> PcapngWriter::open(const std::string& path) {
  if (path.empty()) return fail("a pcapng file needs a name");
  struct stat st{};
  const bool exists = ::stat(path.c_str(), &st) == 0;
  if (exists && S_ISDIR(st.st_mode)) return file_error(path, EISDIR);
  const bool direct = exists && !S_ISREG(st.st_mode);
  std::string temp;
  int fd = -1;
  if (direct) {
    fd = ::open(path.c_str(), O_WRONLY | O_CLOEXEC);
  } else {
    fd = ::open(directory_of(path).c_str(), O_TMPFILE | O_WRONLY | O_CLOEXEC, 0666);
    if (fd < 0 && (errno == EOPNOTSUPP || errno == EISDIR || errno == EINVAL)) {
      temp = path + ".tmp" + std::to_string(::getpid());
      fd = ::open(temp.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    }
  }
  if (fd < 0) return file_error(path, errno);
  std::FILE* file = ::fdopen(fd, "wb");
  if (file == nullptr) {
    const int code = errno;
    ::close(fd);
    if (!temp.empty()) ::unlink(temp.c_str());
    return file_error(path, code);
  }
  std::shared_ptr<PcapngWriter> writer(new PcapngWriter(path, file, temp, direct));
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

PcapngWriter::PcapngWriter(std::string path, std::FILE* file, std::string temp, bool direct)
    : path_(std::move(path)), file_(file), temp_(std::move(temp)), direct_(direct) {}

PcapngWriter::~PcapngWriter() { (void)close(); }

void PcapngWriter::block(std::uint32_t type, std::span<const Part> parts) {
  std::size_t size = 0;
  for (const Part& p : parts) size += p.size();
  const std::uint32_t head[2] = {type, static_cast<std::uint32_t>(size + 12)};
  bool ok = std::fwrite(head, sizeof head, 1, file_) == 1;
  for (const Part& p : parts)
    ok = ok && (p.empty() || std::fwrite(p.data(), p.size(), 1, file_) == 1);
  ok = ok && std::fwrite(&head[1], sizeof head[1], 1, file_) == 1;
  if (!ok && !failed_) {
    failed_ = true;
    errno_ = errno;
  }
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

void PcapngWriter::packet(const Link& dev, Nanos wall, std::span<const Part> parts, bool outgoing) {
  const std::lock_guard guard(mutex_);
  if (file_ == nullptr || failed_) return;
  std::size_t size = 0;
  for (const Part& p : parts) size += p.size();
  const auto stamp = static_cast<std::uint64_t>(wall);
  const std::uint32_t head[5] = {
      interface(dev), static_cast<std::uint32_t>(stamp >> 32), static_cast<std::uint32_t>(stamp),
      static_cast<std::uint32_t>(size), static_cast<std::uint32_t>(size)};
  std::uint8_t head_bytes[sizeof head];
  std::memcpy(head_bytes, head, sizeof head);
  // Padding, epb_flags (option 2: bits 0-1 are the direction), end of options.
  std::uint8_t tail[3 + 12] = {};
  const std::size_t pad = padding(size);
  const std::uint16_t flags_head[2] = {2, 4};
  const std::uint32_t flags = outgoing ? 2 : 1;
  std::memcpy(tail + pad, flags_head, sizeof flags_head);
  std::memcpy(tail + pad + 4, &flags, sizeof flags);
  constexpr std::size_t kMaxParts = 66;
  Part all[kMaxParts + 2];
  std::size_t n = 0;
  all[n++] = head_bytes;
  Bytes joined;
  if (parts.size() <= kMaxParts) {
    for (const Part& p : parts) all[n++] = p;
  } else {
    for (const Part& p : parts) joined.insert(joined.end(), p.begin(), p.end());
    all[n++] = joined;
  }
  all[n++] = Part(tail, pad + 12);
  block(kEnhancedPacket, {all, n});
  ++packets_;
}

std::uint64_t PcapngWriter::packets() const {
  const std::lock_guard guard(mutex_);
  return packets_;
}

Result<void> PcapngWriter::publish() {
  if (failed_ || std::fflush(file_) != 0) return file_error(path_, failed_ ? errno_ : errno);
  if (direct_) return {};
  std::string named = temp_;
  if (named.empty()) {
    // A nameless file gets a name beside the wanted one, which it then replaces at once.
    named = path_ + ".tmp" + std::to_string(::getpid());
    const std::string self = "/proc/self/fd/" + std::to_string(::fileno(file_));
    if (::linkat(AT_FDCWD, self.c_str(), AT_FDCWD, named.c_str(), AT_SYMLINK_FOLLOW) != 0)
      return file_error(named, errno);
  }
  if (::rename(named.c_str(), path_.c_str()) != 0) {
    const int code = errno;
    ::unlink(named.c_str());
    return file_error(path_, code);
  }
  return {};
}

Result<void> PcapngWriter::close() {
  const std::lock_guard guard(mutex_);
  if (file_ == nullptr) return {};
  Result<void> result = publish();
  if (!result && !temp_.empty()) ::unlink(temp_.c_str());
  if (std::fclose(std::exchange(file_, nullptr)) != 0 && result) return file_error(path_, errno);
  return result;
}

}  // namespace txp
