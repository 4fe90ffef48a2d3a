// SPDX-License-Identifier: Apache-2.0
// BPF programs on the way of a packet: those of the process's cgroup, and tcx on a device's egress.
// Kernel twins: kernel/bpf/cgroup.c, kernel/bpf/tcx.c.
#include <array>
#include <cerrno>
#include <cstring>

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/bpf.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "mirror/namespace_reader.h"
#include "mirror/read_file.h"

namespace txp {

namespace {

constexpr std::uint32_t kTcxEgress = 47;  // BPF_TCX_EGRESS, since 6.6
constexpr std::uint32_t kMaxPrograms = 64;

long bpf(int command, bpf_attr& attr) { return syscall(SYS_bpf, command, &attr, sizeof attr); }

std::string program_text(std::uint32_t id) {
  bpf_attr get{};
  get.prog_id = id;
  const long fd = bpf(BPF_PROG_GET_FD_BY_ID, get);
  if (fd < 0) return fmt::format("program {}", id);
  bpf_prog_info program{};
  bpf_attr ask{};
  ask.info.bpf_fd = static_cast<std::uint32_t>(fd);
  ask.info.info_len = sizeof program;
  ask.info.info = reinterpret_cast<std::uintptr_t>(&program);
  std::string name;
  if (bpf(BPF_OBJ_GET_INFO_BY_FD, ask) == 0)
    name.assign(program.name, strnlen(program.name, sizeof program.name));
  close(static_cast<int>(fd));
  return name.empty() ? fmt::format("program {}", id) : fmt::format("program {} {}", id, name);
}

// The programs at one place, or a negative errno.
std::expected<std::vector<std::uint32_t>, int> query(std::uint32_t target, std::uint32_t type,
                                                     std::uint32_t flags) {
  std::vector<std::uint32_t> ids(kMaxPrograms);
  bpf_attr attr{};
  attr.query.target_fd = target;  // or an interface index
  attr.query.attach_type = type;
  attr.query.query_flags = flags;
  attr.query.prog_ids = reinterpret_cast<std::uintptr_t>(ids.data());
  attr.query.prog_cnt = kMaxPrograms;
  if (bpf(BPF_PROG_QUERY, attr) != 0 && errno != ENOSPC) return std::unexpected(errno);
  ids.resize(std::min(attr.query.prog_cnt, kMaxPrograms));
  return ids;
}

// The calling process's directory in the unified cgroup hierarchy; "" when there is none.
std::string own_cgroup() {
  const auto mounts = read_file("/proc/self/mountinfo");
  const auto groups = read_file("/proc/self/cgroup");
  if (!mounts || !groups) return "";
  std::string mount;
  for (std::string_view rest = *mounts; !rest.empty();) {
    const std::string_view line = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(line.size() + 1, rest.size()));
    if (line.find(" - cgroup2 ") == std::string_view::npos) continue;
    // 36 35 0:31 /root /mount/point options ...
    std::string_view fields = line;
    for (int skip = 0; skip < 4; ++skip)
      fields.remove_prefix(std::min(fields.find(' ') + 1, fields.size()));
    mount = fields.substr(0, fields.find(' '));
    break;
  }
  if (mount.empty()) return "";
  for (std::string_view rest = *groups; !rest.empty();) {
    const std::string_view line = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(line.size() + 1, rest.size()));
    if (line.starts_with("0::")) return mount + std::string(line.substr(3));
  }
  return "";
}

}  // namespace

void read_cgroup_programs(const std::function<void(const PathObstacle&)>& found,
                          const std::function<void(std::string)>& warn) {
  const std::string path = own_cgroup();
  if (path.empty()) return;  // no unified hierarchy, no such programs
  const int fd = open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) {
    warn(fmt::format("the BPF programs of the cgroup {} cannot be seen: {}", path,
                     std::strerror(errno)));
    return;
  }
  struct Place {
    std::uint32_t type;
    Stage stage;
    std::string_view name;
  };
  static constexpr std::array<Place, 6> kPlaces{{
      {BPF_CGROUP_INET_EGRESS, Stage::ip_finish_output, "egress"},
      {BPF_CGROUP_INET_SOCK_CREATE, Stage::udp_sendmsg, "sock_create"},
      {BPF_CGROUP_INET4_BIND, Stage::udp_sendmsg, "bind4"},
      {BPF_CGROUP_INET4_CONNECT, Stage::udp_sendmsg, "connect4"},
      {BPF_CGROUP_INET4_POST_BIND, Stage::udp_sendmsg, "post_bind4"},
      {BPF_CGROUP_UDP4_SENDMSG, Stage::udp_sendmsg, "sendmsg4"},
  }};
  for (const Place& place : kPlaces) {
    // With those of the ancestors.
    const auto ids = query(static_cast<std::uint32_t>(fd), place.type, BPF_F_QUERY_EFFECTIVE);
    if (!ids) {
      if (ids.error() == EPERM) {
        warn("the cgroup's BPF programs cannot be seen without CAP_NET_ADMIN; none are assumed");
        break;
      }
      continue;  // a kernel without cgroup BPF, or without this place
    }
    for (const std::uint32_t id : *ids)
      found({place.stage, "cgroup-bpf",
             fmt::format("cgroup {} {}: {}", path, place.name, program_text(id))});
  }
  close(fd);
}

bool read_tcx_programs(int ifindex, const std::function<void(const EgressHook&)>& found) {
  const auto ids = query(static_cast<std::uint32_t>(ifindex), kTcxEgress, 0);
  if (!ids) return ids.error() != EPERM;
  for (const std::uint32_t id : *ids) found({ifindex, "tcx", "tcx egress " + program_text(id)});
  return true;
}

Result<void> NamespaceReader::read_egress_hooks(const MessageTaker& take) {
  const auto all = interfaces();
  if (!all) return std::unexpected(all.error());
  Result<void> result;
  for (const Interface& i : *all) {
    const bool seen = read_tcx_programs(i.ifindex, [&](const EgressHook& h) {
      if (result) result = take_own(MessageType::egress_hook, encode(h), take);
    });
    if (!seen) {
      warn("tcx programs cannot be seen without CAP_NET_ADMIN; none are assumed");
      break;
    }
    if (!result) break;
  }
  return result;
}

Result<void> NamespaceReader::read_obstacles(const MessageTaker& take) {
  Result<void> result;
  read_cgroup_programs(
      [&](const PathObstacle& o) {
        if (result) result = take_own(MessageType::obstacle, encode(o), take);
      },
      [this](std::string text) { warn(std::move(text)); });
  return result;
}

}  // namespace txp
