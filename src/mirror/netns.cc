// SPDX-License-Identifier: Apache-2.0
#include "mirror/netns.h"

#include <cerrno>
#include <condition_variable>
#include <cstring>
#include <mutex>
#include <thread>

#include <fcntl.h>
#include <fmt/format.h>
#include <sched.h>
#include <unistd.h>

namespace txp {

struct NetnsThread::Impl {
  std::mutex mutex;
  std::condition_variable changed;
  const std::function<void()>* job = nullptr;
  bool done = false;
  bool quit = false;
  std::thread thread;

  void main() {
    std::unique_lock lock(mutex);
    for (;;) {
      changed.wait(lock, [this] { return quit || job != nullptr; });
      if (quit) return;
      const std::function<void()>* now = job;
      lock.unlock();
      (*now)();
      lock.lock();
      job = nullptr;
      done = true;
      changed.notify_all();
    }
  }
};

NetnsThread::NetnsThread(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

NetnsThread::~NetnsThread() {
  {
    const std::lock_guard guard(impl_->mutex);
    impl_->quit = true;
  }
  impl_->changed.notify_all();
  impl_->thread.join();
}

Result<std::unique_ptr<NetnsThread>> NetnsThread::start(const std::string& netns) {
  int fd = -1;
  if (!netns.empty()) {
    const std::string path = netns.find('/') == std::string::npos ? "/run/netns/" + netns : netns;
    fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (fd < 0) return fail(fmt::format("network namespace {}: {}", netns, std::strerror(errno)));
  }
  auto impl = std::make_unique<Impl>();
  impl->thread = std::thread([raw = impl.get()] { raw->main(); });
  std::unique_ptr<NetnsThread> thread(new NetnsThread(std::move(impl)));
  if (fd < 0) return thread;
  int error = 0;
  thread->run([&] { error = setns(fd, CLONE_NEWNET) == 0 ? 0 : errno; });
  close(fd);
  if (error != 0)
    return fail(fmt::format("cannot enter the network namespace {}: {}", netns,
                            error == EINVAL ? "not a network namespace" : std::strerror(error)));
  return thread;
}

void NetnsThread::run(const std::function<void()>& job) {
  std::unique_lock lock(impl_->mutex);
  impl_->job = &job;
  impl_->done = false;
  impl_->changed.notify_all();
  impl_->changed.wait(lock, [this] { return impl_->done; });
}

}  // namespace txp
