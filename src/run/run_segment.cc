// SPDX-License-Identifier: Apache-2.0
#include "run/run_segment.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <optional>
#include <utility>

namespace txp {
namespace {

constexpr std::uint64_t kMagic = 0x74787061'74683031;  // "txpath01"
constexpr std::size_t kPlaces = 128;                   // processes at a time
constexpr std::size_t kText = 512 * 1024;              // bytes a report; pages come when written

enum State : std::uint32_t { kFree, kUsed, kLast };

struct Place {
  std::atomic<std::uint32_t> state;
  std::atomic<std::uint32_t> pid;
  std::atomic<std::uint32_t> sequence;  // odd while the text is being written
  std::atomic<std::uint32_t> len;
  char text[kText];
};

// The text, unless its process is writing it, or has written nothing.
std::optional<std::string> whole_text(const Place& p) {
  const std::uint32_t before = p.sequence.load(std::memory_order_acquire);
  const std::uint32_t len = p.len.load();
  if (before % 2 != 0 || len == 0 || len > kText) return std::nullopt;
  std::string copy(p.text, len);
  std::atomic_thread_fence(std::memory_order_acquire);
  if (p.sequence.load(std::memory_order_relaxed) != before) return std::nullopt;
  return copy;
}

}  // namespace

struct RunSegment::Layout {
  std::atomic<std::uint64_t> magic;
  std::atomic<std::uint64_t> generation;
  std::array<Place, kPlaces> places;
};

Result<RunSegment> RunSegment::create() {
  const int fd = ::memfd_create("txpath-run", MFD_CLOEXEC);
  if (fd < 0 || ::ftruncate(fd, sizeof(Layout)) != 0) {
    const int code = errno;
    if (fd >= 0) ::close(fd);
    return fail(fmt::format("shared memory: {}", std::strerror(code)));
  }
  void* p = ::mmap(nullptr, sizeof(Layout), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (p == MAP_FAILED) {
    const int code = errno;
    ::close(fd);
    return fail(fmt::format("shared memory: {}", std::strerror(code)));
  }
  auto* memory = static_cast<Layout*>(p);
  memory->magic.store(kMagic);
  return RunSegment(memory, fd);
}

Result<RunSegment> RunSegment::open(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDWR | O_CLOEXEC);
  if (fd < 0) return fail(fmt::format("{}: {}", path, std::strerror(errno)));
  struct stat st{};
  void* p = MAP_FAILED;
  if (::fstat(fd, &st) == 0 && st.st_size == static_cast<off_t>(sizeof(Layout)))
    p = ::mmap(nullptr, sizeof(Layout), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  ::close(fd);
  if (p == MAP_FAILED) return fail(path + ": not the memory of a txpath run");
  auto* memory = static_cast<Layout*>(p);
  if (memory->magic.load() != kMagic) {
    ::munmap(p, sizeof(Layout));
    return fail(path + ": not the memory of a txpath run");
  }
  return RunSegment(memory, -1);
}

RunSegment::RunSegment(RunSegment&& o) noexcept
    : memory_(std::exchange(o.memory_, nullptr)),
      fd_(std::exchange(o.fd_, -1)),
      place_(std::exchange(o.place_, -1)) {}

RunSegment::~RunSegment() {
  if (memory_ != nullptr) ::munmap(static_cast<void*>(memory_), sizeof(Layout));
  if (fd_ >= 0) ::close(fd_);
}

std::string RunSegment::path() const { return fmt::format("/proc/{}/fd/{}", ::getpid(), fd_); }

std::atomic<std::uint64_t>& RunSegment::generation() const { return memory_->generation; }

bool RunSegment::publish(std::string_view report, bool last) {
  for (std::size_t i = 0; place_ < 0 && i < kPlaces; ++i) {
    std::uint32_t free = kFree;
    if (!memory_->places[i].state.compare_exchange_strong(free, kUsed)) continue;
    place_ = static_cast<int>(i);
    memory_->places[i].pid.store(static_cast<std::uint32_t>(::getpid()));
  }
  if (place_ < 0 || report.size() > kText) return false;
  Place& p = memory_->places[static_cast<std::size_t>(place_)];
  p.sequence.fetch_add(1);
  std::memcpy(p.text, report.data(), report.size());
  p.len.store(static_cast<std::uint32_t>(report.size()));
  p.sequence.fetch_add(1);
  if (!last) return true;
  p.state.store(kLast);
  place_ = -1;
  return true;
}

void RunSegment::collect(bool ended, const std::function<void(std::string_view report)>& take) {
  for (Place& p : memory_->places) {
    const std::uint32_t state = p.state.load();
    if (state == kFree) continue;
    const auto pid = static_cast<pid_t>(p.pid.load());
    const bool dead = pid > 0 && ::kill(pid, 0) != 0 && errno == ESRCH;
    if (state == kUsed && !dead && !ended) continue;
    // Killed while it wrote: the text is torn, and there is no other.
    if (const auto text = whole_text(p)) take(*text);
    p.pid.store(0);
    p.len.store(0);
    p.sequence.store(0);
    if (state == kLast || dead) p.state.store(kFree);
  }
}

void RunSegment::look(const std::function<void(std::string_view report)>& take) const {
  for (const Place& p : memory_->places)
    if (p.state.load() == kUsed)
      if (const auto text = whole_text(p)) take(*text);
}

}  // namespace txp
