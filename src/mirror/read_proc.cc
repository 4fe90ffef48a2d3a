// SPDX-License-Identifier: Apache-2.0
// What a namespace tells through /proc and /sys: sysctls, multicast memberships, XPS.
#include <cerrno>
#include <charconv>
#include <cstring>
#include <sstream>

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <linux/if_addr.h>
#include <linux/mount.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "mirror/namespace_reader.h"
#include "mirror/read_file.h"

namespace txp {

namespace {

constexpr std::uint16_t kRtmNewMulticast = 56;  // RTM_NEWMULTICAST, in the headers since 6.14

// A sysctl's value without its line end; tabs become spaces, as people write them.
std::string one_line(std::string value) {
  while (!value.empty() && (value.back() == '\n' || value.back() == ' ')) value.pop_back();
  for (char& c : value)
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = ' ';
  return value;
}

std::vector<std::string> list_directory(const std::string& path) {
  std::vector<std::string> names;
  DIR* dir = opendir(path.c_str());
  if (dir == nullptr) return names;
  while (const dirent* entry = readdir(dir))
    if (entry->d_name[0] != '.') names.emplace_back(entry->d_name);
  closedir(dir);
  std::sort(names.begin(), names.end());
  return names;
}

// A sysfs of the calling thread's network namespace, mounted nowhere. -1: not permitted.
int open_sysfs() {
  const long context = syscall(SYS_fsopen, "sysfs", FSOPEN_CLOEXEC);
  if (context < 0) return -1;
  long mount = -1;
  if (syscall(SYS_fsconfig, context, FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) == 0)
    mount = syscall(SYS_fsmount, context, FSMOUNT_CLOEXEC, MOUNT_ATTR_RDONLY);
  close(static_cast<int>(context));
  return static_cast<int>(mount);
}

}  // namespace

std::optional<std::string> read_file_at(int dir, const std::string& path) {
  const int fd = openat(dir, path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return std::nullopt;
  std::string text;
  char buffer[4096];
  ssize_t n = 0;
  while ((n = read(fd, buffer, sizeof buffer)) > 0 || (n < 0 && errno == EINTR)) {
    if (n > 0) text.append(buffer, static_cast<std::size_t>(n));
    if (text.size() > 64 * 1024 * 1024) break;
  }
  close(fd);
  if (n < 0) return std::nullopt;
  return text;
}
std::optional<std::string> read_file(const std::string& path) {
  return read_file_at(AT_FDCWD, path);
}

Result<void> NamespaceReader::read_sysctls(const MessageTaker& take) {
  const auto give = [&](const std::string& path, const std::string& value) {
    return take_own(MessageType::sysctl, encode(SysctlValue{path, one_line(value)}), take);
  };
  for (const std::string& path : SysctlTree::global_paths()) {
    auto value = read_file("/proc/sys/" + path);
    if (!value) {
      // Some belong to the host and show in its first namespace only.
      if (!std::exchange(host_tried_, true)) {
        auto host = NetnsThread::start("/proc/1/ns/net");
        if (!host) host = NetnsThread::start("/proc/self/ns/net");
        if (host) host_ = std::move(*host);
      }
      if (host_) host_->run([&] { value = read_file("/proc/sys/" + path); });
    }
    if (!value) continue;
    if (auto taken = give(path, *value); !taken) return taken;
  }
  for (const auto& [name, value] : read_kernel())
    if (auto taken = give("built/" + name, value); !taken) return taken;
  const auto per_device = [&](const std::string& dir,
                              const std::vector<std::string>& names) -> Result<void> {
    for (const std::string& dev : list_directory("/proc/sys/" + dir))
      for (const std::string& name : names) {
        const std::string path = dir + "/" + dev + "/" + name;
        const auto value = read_file("/proc/sys/" + path);
        if (!value) continue;
        if (auto taken = give(path, *value); !taken) return taken;
      }
    return {};
  };
  if (auto read = per_device("net/ipv4/conf", SysctlTree::conf_names()); !read) return read;
  if (auto read = per_device("net/ipv4/neigh", SysctlTree::neigh_names()); !read) return read;
  if (auto read = per_device("net/ipv6/conf", SysctlTree::conf6_names()); !read) return read;
  return per_device("net/ipv6/neigh", SysctlTree::neigh_names());
}

// "1    lo              ff020000000000000000000000000001     1 0000000C 0", a line for each group.
Result<void> NamespaceReader::read_multicast6(const MessageTaker& take) {
  const auto text = read_file("/proc/thread-self/net/igmp6");
  if (!text) return {};  // a kernel without IPv6
  std::istringstream lines(*text);
  std::string line;
  while (std::getline(lines, line)) {
    std::istringstream words(line);
    std::uint32_t ifindex = 0;
    std::string dev;
    std::string hex;
    if (!(words >> ifindex >> dev >> hex) || hex.size() != 32) continue;
    std::uint8_t bytes[16];
    bool good = true;
    for (std::size_t i = 0; i < 16; ++i) {
      const char* at = hex.data() + 2 * i;
      const auto [end, error] = std::from_chars(at, at + 2, bytes[i], 16);
      good &= error == std::errc{} && end == at + 2;
    }
    if (!good) continue;
    NlRequest r(kRtmNewMulticast, 0);
    r.header()->nlmsg_flags = 0;
    auto* h = r.put_header<ifaddrmsg>();
    h->ifa_family = AF_INET6;
    h->ifa_prefixlen = 128;
    h->ifa_index = ifindex;
    mnl_attr_put(r.header(), IFA_MULTICAST, sizeof bytes, bytes);
    const void* message = r.header();
    if (auto taken = take({MessageType::new_multicast,
                           {static_cast<const std::uint8_t*>(message), r.header()->nlmsg_len},
                           {}});
        !taken)
      return taken;
  }
  return {};
}

// "1\tlo        :     1      V3" and then a line for each group, "\t\t\t\t010000E0 ...", the
// address as the kernel holds it in memory.
Result<void> NamespaceReader::read_multicast(const MessageTaker& take) {
  const auto text = read_file("/proc/thread-self/net/igmp");
  if (!text) {
    warn("multicast memberships: /proc/net/igmp cannot be read");
    return {};
  }
  std::uint32_t ifindex = 0;
  std::string_view rest = *text;
  while (!rest.empty()) {
    std::string_view line = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(line.size() + 1, rest.size()));
    const bool is_group = line.starts_with('\t');
    while (line.starts_with('\t') || line.starts_with(' ')) line.remove_prefix(1);
    std::uint32_t number = 0;
    const auto [end, error] =
        std::from_chars(line.data(), line.data() + line.size(), number, is_group ? 16 : 10);
    if (error != std::errc{}) continue;  // the heading
    if (!is_group) {
      ifindex = number;
      continue;
    }
    NlRequest r(kRtmNewMulticast, 0);
    r.header()->nlmsg_flags = 0;
    auto* h = r.put_header<ifaddrmsg>();
    h->ifa_family = AF_INET;
    h->ifa_prefixlen = 32;
    h->ifa_index = ifindex;
    mnl_attr_put_u32(r.header(), IFA_MULTICAST, number);
    const void* bytes = r.header();
    if (auto taken = take({MessageType::new_multicast,
                           {static_cast<const std::uint8_t*>(bytes), r.header()->nlmsg_len},
                           {}});
        !taken)
      return taken;
  }
  return {};
}

Result<void> NamespaceReader::read_xps(const MessageTaker& take) {
  auto all = interfaces();
  if (!all) return std::unexpected(all.error());
  std::erase_if(*all, [](const Interface& i) { return i.queues < 2; });
  if (all->empty()) return {};
  int sysfs = open_sysfs();
  if (sysfs < 0) sysfs = ::open("/sys", O_PATH | O_DIRECTORY | O_CLOEXEC);
  for (const Interface& i : *all) {
    const std::string dir = "class/net/" + i.name;
    // The /sys that is mounted may be another namespace's.
    const auto index = read_file_at(sysfs, dir + "/ifindex");
    if (!index || one_line(*index) != fmt::format("{}", i.ifindex)) {
      warn(fmt::format("XPS of {}: /sys does not show this namespace", i.name));
      continue;
    }
    std::vector<std::string> masks;
    bool rxqs = false;
    for (std::uint32_t q = 0; q < i.queues; ++q) {
      const std::string queue = fmt::format("{}/queues/tx-{}/", dir, q);
      // Fewer queues may be in use than IFLA_NUM_TX_QUEUES allocated: a mask for each of those.
      if (::faccessat(sysfs, queue.c_str(), F_OK, 0) != 0) break;
      std::string mask = one_line(read_file_at(sysfs, queue + "xps_cpus").value_or(""));
      if (mask.find_first_not_of("0,") == std::string::npos) mask.clear();
      masks.push_back(std::move(mask));
      const std::string by_rx = one_line(read_file_at(sysfs, queue + "xps_rxqs").value_or(""));
      rxqs |= by_rx.find_first_not_of("0,") != std::string::npos;
    }
    if (rxqs)
      warn(fmt::format("{} has XPS by receive queue (xps_rxqs), which is not followed", i.name));
    if (auto taken = take_own(MessageType::xps, encode(LinkXps{i.ifindex, {}}, masks), take);
        !taken) {
      close(sysfs);
      return taken;
    }
  }
  close(sysfs);
  return {};
}

}  // namespace txp
