// SPDX-License-Identifier: Apache-2.0
// Output files that appear whole or not at all.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "base/result.h"

namespace txp {

// A file being written beside its place; commit() puts it there. Without commit() nothing is left.
// A place that is no regular file (a pipe, /dev/null, /dev/stdout) is written directly.
// Thread safety: one thread at a time.
class WholeFile {
 public:
  WholeFile() = default;
  ~WholeFile();
  WholeFile(WholeFile&& o) noexcept;
  WholeFile& operator=(WholeFile&&) = delete;

  // Errors name no path: the caller's message does ("OUT.html: Permission denied").
  [[nodiscard]] static Result<WholeFile> create(const std::string& path);
  int fd() const { return fd_; }
  [[nodiscard]] Result<void> write(std::string_view bytes);
  [[nodiscard]] Result<void> commit();

 private:
  int fd_ = -1;
  std::string place_;      // links followed
  std::string temporary_;  // "": written directly
};

[[nodiscard]] Result<void> write_whole_file(const std::string& path, std::string_view bytes);

}  // namespace txp
