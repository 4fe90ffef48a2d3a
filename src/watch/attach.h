// SPDX-License-Identifier: Apache-2.0
// What the running kernel lets itself be watched by: capabilities, BTF, tracepoints, functions.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"

struct btf;

namespace txp {

// Whether this process has the capabilities; the error names the one that is missing.
[[nodiscard]] Result<void> may_watch();

class KernelBtf {
 public:
  ~KernelBtf();
  KernelBtf() = default;
  KernelBtf(const KernelBtf&) = delete;
  KernelBtf& operator=(const KernelBtf&) = delete;

  [[nodiscard]] Result<void> load();
  const btf* get() const { return btf_; }
  bool has_tracepoint(std::string_view name) const;
  bool has_function(std::string_view name) const;
  int function_id(std::string_view name) const;  // negative: none

 private:
  btf* btf_ = nullptr;
};

// Why functions' entries cannot be watched here; "" when they can. Asks the kernel by attaching a
// program that does nothing, and detaching it.
std::string functions_refused_here(const KernelBtf& btf);

// libbpf's messages are kept instead of printed: the last of them, on one line.
void quiet_libbpf();
std::string libbpf_words();
// A sentence for a load that failed with -errno.
std::string load_failed(int error);

}  // namespace txp
