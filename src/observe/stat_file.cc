// SPDX-License-Identifier: Apache-2.0
#include "observe/stat_file.h"

#include <fmt/format.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "base/whole_file.h"

namespace txp {
namespace {

namespace fs = std::filesystem;

// By preference. Readers look into all of them: a user's process and root's meet in no one place.
std::vector<std::string> directories() {
  std::vector<std::string> all;
  if (const char* runtime = std::getenv("XDG_RUNTIME_DIR"); runtime != nullptr && *runtime == '/')
    all.push_back(fmt::format("{}/txpath", runtime));
  all.emplace_back("/run/txpath");
  return all;
}

std::uint64_t netns_inode() {
  struct stat st{};
  return ::stat("/proc/thread-self/ns/net", &st) == 0 ? st.st_ino : 0;
}

bool alive(pid_t pid) { return ::kill(pid, 0) == 0 || errno == EPERM; }

// Another user's file is not believed, root's is.
bool trusted(const fs::path& path) {
  struct stat st{};
  constexpr off_t kMost = 16 << 20;  // bytes; a report is some 10 kB
  return ::lstat(path.c_str(), &st) == 0 && S_ISREG(st.st_mode) && st.st_size <= kMost &&
         (st.st_uid == 0 || st.st_uid == ::geteuid());
}

}  // namespace

StatFile::StatFile() {
  for (const std::string& dir : directories()) {
    if (::mkdir(dir.c_str(), 0755) != 0 && errno != EEXIST) continue;
    if (::access(dir.c_str(), W_OK) != 0) continue;
    path_ = fmt::format("{}/{}.json", dir, ::getpid());
    return;
  }
}

StatFile::~StatFile() {
  if (path_.empty()) return;
  ::unlink(path_.c_str());
  ::rmdir(fs::path(path_).parent_path().c_str());  // when we were the last
}

void StatFile::publish(const Json& report, std::string_view command) {
  if (path_.empty()) return;
  Json whole{{"pid", ::getpid()}, {"command", command}, {"netns", netns_inode()}};
  whole.update(report);
  (void)write_whole_file(path_, whole.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n");
}

std::vector<Json> read_stat_files() {
  std::vector<Json> reports;
  const std::uint64_t here = netns_inode();
  for (const std::string& dir : directories()) {
    std::error_code none;
    for (const fs::directory_entry& entry : fs::directory_iterator(dir, none)) {
      const std::string name = entry.path().filename();
      pid_t pid = 0;
      const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), pid);
      if (error != std::errc() || std::string_view(end) != ".json" || pid <= 0) continue;
      if (!trusted(entry.path())) continue;
      if (!alive(pid)) {
        // Killed before it could remove its file; or in another PID namespace, still writing.
        constexpr auto kStale = std::chrono::seconds(10);
        const auto written = fs::last_write_time(entry.path(), none);
        if (fs::file_time_type::clock::now() - written > kStale) fs::remove(entry.path(), none);
        continue;
      }
      std::ifstream in(entry.path());
      Json report = Json::parse(in, nullptr, false);
      if (!report.is_object() || report.value("netns", Json(nullptr)) != Json(here)) continue;
      reports.push_back(std::move(report));
    }
  }
  return reports;
}

}  // namespace txp
