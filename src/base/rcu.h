// SPDX-License-Identifier: Apache-2.0
// Read-copy-update over liburcu's "bulletproof" flavour (no thread registration, so a library and
// a preload can use it from any thread). Readers: RcuReader. Writers: hold the Net's rtnl mutex,
// publish, and retire() what was replaced.
#pragma once

#include <atomic>
#include <functional>
#include <mutex>
#include <utility>
#include <vector>

#if defined(__SANITIZE_THREAD__)
#define TXP_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define TXP_TSAN 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__)
#define TXP_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define TXP_ASAN 1
#endif
#endif

// Its read side inline: functions short enough to be used by code of any licence, as it says there.
// Not where alignment is checked: its readers lie 32 bytes into an arena and ask for 128.
#ifndef TXP_ASAN
#define _LGPL_SOURCE
#endif
#include <urcu/urcu-bp.h>

#ifdef TXP_TSAN
extern "C" void __tsan_acquire(void*);
extern "C" void __tsan_release(void*);
#endif

namespace txp {

// ThreadSanitizer does not see liburcu's grace periods (membarrier); these tell it that a grace
// period happens after every read section that ended before it.
inline void rcu_tell_tsan_reader_left([[maybe_unused]] void* domain) {
#ifdef TXP_TSAN
  __tsan_release(domain);
#endif
}
inline void rcu_tell_tsan_grace_period([[maybe_unused]] void* domain) {
#ifdef TXP_TSAN
  __tsan_acquire(domain);
#endif
}
inline char rcu_tsan_domain;  // an address only

// A read-side critical section. May nest. Never wait for a writer inside one.
class RcuReader {
 public:
  RcuReader() { urcu_bp_read_lock(); }
  ~RcuReader() {
    rcu_tell_tsan_reader_left(&rcu_tsan_domain);
    urcu_bp_read_unlock();
  }
  RcuReader(const RcuReader&) = delete;
  RcuReader& operator=(const RcuReader&) = delete;
};

// A published pointer to an immutable T. get() inside an RcuReader; set() under the writer's mutex.
template <typename T>
class RcuPtr {
 public:
  RcuPtr() = default;
  explicit RcuPtr(T* p) : p_(p) {}
  T* get() const { return p_.load(std::memory_order_acquire); }
  T* operator->() const { return get(); }
  T& operator*() const { return *get(); }
  // Publishes `p`; returns what it replaced, for retire().
  [[nodiscard]] T* set(T* p) { return p_.exchange(p, std::memory_order_acq_rel); }

 private:
  std::atomic<T*> p_{nullptr};
};

// Objects waiting for their readers to leave. One per Net, used under its rtnl mutex. retire()
// never blocks; the writer calls flush() at the end of its batch, outside any read section.
class RcuRetired {
 public:
  ~RcuRetired() { flush(); }
  template <typename T>
  void retire(T* p) {
    if (p != nullptr)
      waiting_.push_back({const_cast<void*>(static_cast<const void*>(p)),
                          [](void* q) { delete static_cast<T*>(q); }});
  }
  // Runs `free(arg)` after a grace period.
  void retire(void* arg, void (*free)(void*)) { waiting_.push_back({arg, free}); }
  // Waits for a grace period and frees everything. Not inside an RcuReader.
  void flush() {
    if (waiting_.empty()) return;
    urcu_bp_synchronize_rcu();
    rcu_tell_tsan_grace_period(&rcu_tsan_domain);
    auto batch = std::exchange(waiting_, {});
    for (auto& [p, free] : batch) free(p);
  }

 private:
  struct Item {
    void* p;
    void (*free)(void*);
  };
  std::vector<Item> waiting_;
};

}  // namespace txp
