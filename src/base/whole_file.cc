// SPDX-License-Identifier: Apache-2.0
#include "base/whole_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <utility>

namespace txp {
namespace {

std::unexpected<Error> fail_errno() { return fail(std::strerror(errno)); }

// A new file beside `place`, with the rights that open() gives; -1: errno says why.
int create_beside(const std::string& place, std::string& name) {
  for (unsigned n = 0;; ++n) {
    name = place + "." + std::to_string(::getpid()) + "." + std::to_string(n);
    const int fd = ::open(name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd >= 0 || errno != EEXIST) return fd;
  }
}

}  // namespace

WholeFile::WholeFile(WholeFile&& o) noexcept
    : fd_(std::exchange(o.fd_, -1)),
      place_(std::move(o.place_)),
      temporary_(std::exchange(o.temporary_, {})) {}

WholeFile::~WholeFile() {
  if (fd_ >= 0) ::close(fd_);
  if (!temporary_.empty()) ::unlink(temporary_.c_str());
}

Result<WholeFile> WholeFile::create(const std::string& path) {
  WholeFile f;
  if (path.empty()) return fail("the file's name is empty");
  f.place_ = path;
  // A link stays a link; what it points at is replaced.
  std::error_code none;
  if (const auto real = std::filesystem::weakly_canonical(path, none); !none) f.place_ = real;
  struct stat st{};
  const bool exists = ::stat(path.c_str(), &st) == 0;
  if (exists && !S_ISREG(st.st_mode)) {
    f.fd_ = ::open(path.c_str(), O_WRONLY | O_CLOEXEC);
    if (f.fd_ < 0) return fail_errno();
    return f;
  }
  std::string name;
  f.fd_ = create_beside(f.place_, name);
  if (f.fd_ < 0) return fail_errno();
  f.temporary_ = name;
  if (exists && ::fchmod(f.fd_, st.st_mode & 07777) != 0) return fail_errno();
  return f;
}

Result<void> WholeFile::write(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t n = ::write(fd_, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return fail_errno();
    bytes.remove_prefix(static_cast<std::size_t>(n));
  }
  return {};
}

Result<void> WholeFile::commit() {
  // A full disk may show only here.
  const int closed = ::close(std::exchange(fd_, -1));
  if (closed != 0) return fail_errno();
  if (temporary_.empty()) return {};
  if (::rename(temporary_.c_str(), place_.c_str()) != 0) return fail_errno();
  temporary_.clear();
  return {};
}

Result<void> write_whole_file(const std::string& path, std::string_view bytes) {
  auto file = WholeFile::create(path);
  if (!file) return std::unexpected(file.error());
  if (auto done = file->write(bytes); !done) return done;
  return file->commit();
}

}  // namespace txp
