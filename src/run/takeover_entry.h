// SPDX-License-Identifier: Apache-2.0
// What a Takeover knows of the program's descriptors: its inside, for its own files.
#pragma once

#include <array>
#include <atomic>
#include <mutex>
#include <string>
#include <utility>

#include "run/engine.h"
#include "run/kernel_socket.h"
#include "run/takeover.h"
#include "socket/sock.h"

namespace txp {

// The engine's socket, and what the kernel said when it was made. Immutable but for the Sock's own
// counters; replaced as a whole.
struct Takeover::Shadow : RunEngine::Retirable {
  Shadow(KernelSocket kernel, Sock* s) : k(std::move(kernel)), sk(s) {}
  ~Shadow() override {
    if (sk != nullptr) inet_release(*sk);
  }
  const KernelSocket k;
  Sock* const sk;
};

// What is known of one descriptor. Never freed: a descriptor's number comes again.
struct Takeover::Entry {
  enum class Kind : std::uint8_t { unknown, other, udp };
  std::atomic<Kind> kind{Kind::unknown};
  std::atomic<bool> kernel_busy{false};  // the kernel sent after the engine last did
  std::atomic<bool> corked{false};       // the kernel holds a part of a datagram
  std::atomic<bool> shut{false};
  std::atomic<const char*> only_kernel{nullptr};
  std::atomic<Shadow*> shadow{nullptr};
  std::atomic<std::uint64_t> generation{0};  // of the look at `looked`
  std::atomic<Nanos> looked{0};              // coarse; 0: look before use
  // The last refusal, good for a tick: to that address the kernel sends without asking the walk.
  std::atomic<std::uint32_t> refused_addr{0};
  std::atomic<Nanos> refused_until{0};
  std::atomic<Fallback> refused_why{Fallback::none};
  std::atomic<std::uint64_t> taken{0};
  std::atomic<std::uint64_t> kernel{0};
  std::mutex mutex;  // the look, and what follows
  int fd = -1;
  Fallback first_why = Fallback::none;
  std::string first_object;
  std::string label;  // "10.0.0.1:53 to 10.0.0.2:4000"
};

struct Takeover::Chunk {
  std::array<Entry, kChunk> entries;
};

}  // namespace txp
