// SPDX-License-Identifier: Apache-2.0
#include "watch/attach.h"

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <fmt/format.h>
#include <linux/bpf.h>
#include <linux/capability.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <mutex>

namespace txp {
namespace {

std::string last_words;

// TXPATH_BPF_LOG=1 shows all that libbpf says, the verifier's log too: for reports of trouble.
int keep(libbpf_print_level level, const char* format, va_list arguments) {
  if (level > LIBBPF_WARN) return 0;
  if (std::getenv("TXPATH_BPF_LOG") != nullptr) return std::vfprintf(stderr, format, arguments);
  char line[512];
  if (std::vsnprintf(line, sizeof line, format, arguments) <= 0) return 0;
  const std::string_view text = line;
  // Which program it was says more than that the whole was not loaded.
  if (last_words.find("failed to load: ") != std::string::npos) return 0;
  last_words = text.substr(0, text.find('\n'));
  return 0;
}

}  // namespace

Result<void> may_watch() {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[2]{};
  if (::syscall(SYS_capget, &header, data) != 0)
    return fail(fmt::format("capget: {}", std::strerror(errno)));
  const auto has = [&](int cap) { return (data[cap / 32].effective >> (cap % 32) & 1) != 0; };
  if (has(CAP_SYS_ADMIN)) return {};
  for (const auto& [cap, name] : {std::pair{CAP_BPF, "CAP_BPF"}, {CAP_PERFMON, "CAP_PERFMON"}})
    if (!has(cap))
      return fail(fmt::format("{} is missing, be root or have CAP_BPF and CAP_PERFMON", name));
  return {};
}

KernelBtf::~KernelBtf() { btf__free(btf_); }

Result<void> KernelBtf::load() {
  btf_ = btf__load_vmlinux_btf();
  if (btf_ == nullptr)
    return fail(
        fmt::format("/sys/kernel/btf/vmlinux: {}, a kernel with CONFIG_DEBUG_INFO_BTF is needed",
                    std::strerror(errno)));
  return {};
}

bool KernelBtf::has_tracepoint(std::string_view name) const {
  return btf__find_by_name_kind(btf_, fmt::format("btf_trace_{}", name).c_str(), BTF_KIND_TYPEDEF) >
         0;
}

int KernelBtf::function_id(std::string_view name) const {
  return btf__find_by_name_kind(btf_, std::string(name).c_str(), BTF_KIND_FUNC);
}
bool KernelBtf::has_function(std::string_view name) const { return function_id(name) > 0; }

std::string functions_refused_here(const KernelBtf& btf) {
  const int id = btf.function_id("ip_output");
  if (id < 0) return "the kernel's BTF does not name ip_output";
  const bpf_insn nothing[] = {
      {.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 0, .src_reg = 0, .off = 0, .imm = 0},
      {.code = BPF_JMP | BPF_EXIT, .dst_reg = 0, .src_reg = 0, .off = 0, .imm = 0}};
  bpf_prog_load_opts options{};
  options.sz = sizeof options;
  options.expected_attach_type = BPF_TRACE_FENTRY;
  options.attach_btf_id = static_cast<__u32>(id);
  const int program =
      bpf_prog_load(BPF_PROG_TYPE_TRACING, "txp_probe", "GPL", nothing, 2, &options);
  if (program < 0) return std::strerror(-program);
  const int link = bpf_raw_tracepoint_open(nullptr, program);
  std::string why = link < 0 ? std::strerror(-link) : "";
  if (link >= 0) ::close(link);
  ::close(program);
  return why;
}

void quiet_libbpf() { libbpf_set_print(keep); }

std::string libbpf_words() { return last_words; }

std::string load_failed(int error) {
  if (error == -EPERM)
    return "the kernel refuses eBPF programs here (Operation not permitted), be root outside of "
           "user namespaces";
  return fmt::format("the kernel does not take the eBPF programs: {} ({})", std::strerror(-error),
                     last_words);
}

}  // namespace txp
