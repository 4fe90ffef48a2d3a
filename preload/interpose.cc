// SPDX-License-Identifier: Apache-2.0
// libtxpath-preload.so: libc's send calls, and those that change a socket or a descriptor, for the
// programs under `txpath run`. Thin: it finds the Takeover of this process and asks it; everything
// else is the next library's (RTLD_NEXT), so that other preloads keep their say.
//
// Inside this library the same names mean libc's: the linker's --wrap sends the engine's own calls
// to the jumps below. Nothing starts before the first UDP send.
//
// Forks: a child begins anew, without engine; memory of the parent's is left alone. It is told by
// pthread_atfork(), and a child that was made without (_Fork(), clone()) by a page that the kernel
// wipes: its sends are the kernel's, because liburcu cannot be used there.
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <urcu/urcu-bp.h>
#include <atomic>
#include <cstring>
#include <new>
#include <optional>

#include "run/takeover.h"

extern "C" {
// libc declares them under other names, or not for C++.
long syscall(long number, ...) noexcept;
int capset(void* header, const void* data) noexcept;

// What stands behind each name: the next library's function. The jumps are for the engine.
#define TXP_NAME(name) __attribute__((visibility("hidden"))) void* txp_real_##name;
#include "preload/interposed.def"
#undef TXP_NAME
}

#if defined(__x86_64__)
#define TXP_NAME(name)                                                                \
  asm(".text\n.globl __wrap_" #name "\n.hidden __wrap_" #name "\n.type __wrap_" #name \
      ",@function\n__wrap_" #name ":\n  jmp *txp_real_" #name "(%rip)\n");
#elif defined(__aarch64__)
#define TXP_NAME(name)                                                                \
  asm(".text\n.globl __wrap_" #name "\n.hidden __wrap_" #name "\n.type __wrap_" #name \
      ",%function\n__wrap_" #name ":\n  adrp x16, txp_real_" #name                    \
      "\n  ldr x16, [x16, :lo12:txp_real_" #name "]\n  br x16\n");
#else
#error "a jump for this processor is needed here"
#endif
#include "preload/interposed.def"
#undef TXP_NAME

namespace {

using txp::SendCall;
using txp::Takeover;

#define REAL(name) (reinterpret_cast<decltype(&::name)>(find(&txp_real_##name, #name)))

// Also before our constructor, when another library's calls us.
void* find(void** real, const char* name) {
  if (*real == nullptr) *real = ::dlsym(RTLD_NEXT, name);
  return *real;
}

std::atomic<Takeover*> current{nullptr};
std::atomic<pid_t> current_pid{0};  // vfork()'s child shares our memory, not our number
unsigned char* wiped_in_children = nullptr;
txp::RunOptions* options = nullptr;

// Null: this process is not under `txpath run`, or must leave everything to the kernel.
Takeover* here() {
  Takeover* t = current.load(std::memory_order_acquire);
  if (t == nullptr || *wiped_in_children != 0) [[likely]]
    return t;
  current.store(nullptr);
  return nullptr;
}

// Whether liburcu was told of a fork by this thread.
thread_local constinit bool urcu_told = false;

void before_fork() {
  if (current.load() == nullptr || txp::inside_engine()) return;
  urcu_bp_before_fork();
  urcu_told = true;
}

void after_fork_parent() {
  if (std::exchange(urcu_told, false)) urcu_bp_after_fork_parent();
}

void after_fork_child() {
  Takeover* old = current.load();
  if (old == nullptr) return;
  current.store(nullptr);
  if (!std::exchange(urcu_told, false)) return;  // forked by a handler inside the engine
  urcu_bp_after_fork_child();
  for (const int fd : old->descriptors.all()) REAL(close)(fd);
  *wiped_in_children = 1;
  current_pid.store(::getpid());
  current.store(new (std::nothrow) Takeover(*options));
}

}  // namespace

// The engine's own: it brings no further library into a program (libnftables, for nft's words).
extern "C" __attribute__((visibility("hidden"))) void* __wrap_dlopen(const char*, int) {
  return nullptr;
}

namespace {

void resolve_all() {
#define TXP_NAME(name) (void)find(&txp_real_##name, #name);
#include "preload/interposed.def"
#undef TXP_NAME
}

__attribute__((constructor)) void enter() {
  resolve_all();
  const char* text = ::getenv(txp::kRunVariable);
  if (text == nullptr) return;
  auto decoded = txp::decode_run_options(text);
  if (!decoded) return;
  void* page = ::mmap(nullptr, 1, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (page == MAP_FAILED || ::madvise(page, 1, MADV_WIPEONFORK) != 0) return;
  wiped_in_children = static_cast<unsigned char*>(page);
  *wiped_in_children = 1;
  options = new txp::RunOptions(std::move(*decoded));
  current_pid.store(::getpid());
  current.store(new Takeover(*options));
  ::pthread_atfork(before_fork, after_fork_parent, after_fork_child);
}

void finish(bool last) {
  Takeover* t = here();
  if (t != nullptr && t->tried() && ::getpid() == current_pid.load()) t->finish(last);
}

__attribute__((destructor)) void leave() { finish(true); }

// The call by the engine, or by `kernel`.
template <typename Kernel>
ssize_t send_or(int fd, const SendCall& call, Kernel kernel) {
  Takeover* t = here();
  if (t == nullptr) return kernel();
  const Takeover::Answer answer = t->send(fd, call);
  if (answer.sent) {
    if (*answer.sent < 0) errno = answer.error;
    return *answer.sent;
  }
  const ssize_t sent = kernel();
  t->kernel_sent(answer, call, sent >= 0);
  return sent;
}

// copy_msghdr_from_user(): an address without length is none. To sendto() it is a wrong one.
SendCall call_of(const msghdr& m, int flags) {
  return {m.msg_namelen != 0 ? m.msg_name : nullptr,
          m.msg_namelen,
          m.msg_iov,
          m.msg_iovlen,
          m.msg_control,
          m.msg_controllen,
          flags};
}

int send_many(int fd, mmsghdr* messages, unsigned n, int flags) {
  Takeover* t = here();
  const auto kernel = [&](unsigned from) {
    return REAL(sendmmsg)(fd, messages + from, n - from, flags);
  };
  if (t == nullptr || messages == nullptr) return kernel(0);
  unsigned done = 0;
  for (; done < n && done < 1024; ++done) {  // UIO_MAXIOV
    const SendCall call = call_of(messages[done].msg_hdr, flags);
    const Takeover::Answer answer = t->send(fd, call);
    if (answer.sent && *answer.sent >= 0) {
      messages[done].msg_len = static_cast<unsigned>(*answer.sent);
      continue;
    }
    if (answer.sent) {
      if (done == 0) errno = answer.error;
      return done == 0 ? -1 : static_cast<int>(done);
    }
    // The rest in one call: what follows may not overtake.
    const int saved = errno;
    const int sent = kernel(done);
    for (int i = 0; i < sent; ++i)
      t->kernel_sent(answer, call_of(messages[done + static_cast<unsigned>(i)].msg_hdr, flags),
                     true);
    if (sent >= 0) return static_cast<int>(done) + sent;
    if (done == 0) return -1;
    errno = saved;
    return static_cast<int>(done);
  }
  return static_cast<int>(done);
}

// A new descriptor, or -1.
int note_created(int fd) {
  if (fd >= 0)
    if (Takeover* t = here()) t->created(fd);
  return fd;
}

int note_socket(int domain, int type, int fd) {
  constexpr int kType = 0xf;  // the rest are SOCK_CLOEXEC and SOCK_NONBLOCK
  if (fd >= 0 && domain == AF_INET && (type & kType) == SOCK_DGRAM)
    if (Takeover* t = here()) t->saw_udp();
  return note_created(fd);
}

// The program is about to give capabilities up. What it has of UDP it will use: the engine takes
// what it needs now.
void before_capset() {
  Takeover* t = here();
  if (t != nullptr && ::getpid() == current_pid.load()) t->start_before_privileges_go();
}

int note_changed(int fd, int result) {
  if (result == 0)
    if (Takeover* t = here()) t->changed(fd);
  return result;
}

// Descriptors that came with a message.
void note_received(const msghdr& m) {
  if (m.msg_controllen == 0 || here() == nullptr) return;
  for (cmsghdr* c = CMSG_FIRSTHDR(&m); c != nullptr; c = CMSG_NXTHDR(const_cast<msghdr*>(&m), c)) {
    if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) continue;
    for (std::size_t at = 0; at + sizeof(int) <= c->cmsg_len - CMSG_LEN(0); at += sizeof(int)) {
      int fd;
      std::memcpy(&fd, CMSG_DATA(c) + at, sizeof fd);
      note_created(fd);
    }
  }
}

int close_one(int fd) {
  Takeover* t = here();
  if (t != nullptr) {
    if (t->descriptors.has(fd)) {
      errno = EBADF;
      return -1;
    }
    t->closed(fd);
  }
  return REAL(close)(fd);
}

// Around our own descriptors.
int close_many(unsigned first, unsigned last, int flags) {
  Takeover* t = here();
  if (t == nullptr || first > last) return REAL(close_range)(first, last, flags);
  if ((flags & int{CLOSE_RANGE_CLOEXEC}) == 0)
    for (const int fd : t->known(first, last)) t->closed(fd);
  for (const int fd : t->descriptors.all()) {
    const auto mine = static_cast<unsigned>(fd);
    if (mine < first || mine > last) continue;
    if (mine > first)
      if (const int failed = REAL(close_range)(first, mine - 1, flags); failed != 0) return failed;
    if (mine == last) return 0;
    first = mine + 1;
  }
  return REAL(close_range)(first, last, flags);
}

// A duplicate takes the place of `to`. Ours gives way: the engine then has nothing to send with.
void make_way(int to) {
  Takeover* t = here();
  if (t == nullptr) return;
  if (t->descriptors.has(to)) t->lose(to);
}

}  // namespace

extern "C" {

#define EXPORT __attribute__((visibility("default")))

EXPORT ssize_t sendto(int fd, const void* data, size_t len, int flags, const sockaddr* to,
                      socklen_t tolen) {
  const iovec part{const_cast<void*>(data), len};
  return send_or(fd, {to, tolen, &part, 1, nullptr, 0, flags},
                 [&] { return REAL(sendto)(fd, data, len, flags, to, tolen); });
}

EXPORT ssize_t send(int fd, const void* data, size_t len, int flags) {
  const iovec part{const_cast<void*>(data), len};
  return send_or(fd, {nullptr, 0, &part, 1, nullptr, 0, flags},
                 [&] { return REAL(send)(fd, data, len, flags); });
}

EXPORT ssize_t sendmsg(int fd, const msghdr* m, int flags) {
  if (m == nullptr) return REAL(sendmsg)(fd, m, flags);
  return send_or(fd, call_of(*m, flags), [&] { return REAL(sendmsg)(fd, m, flags); });
}

EXPORT int sendmmsg(int fd, mmsghdr* messages, unsigned n, int flags) {
  return send_many(fd, messages, n, flags);
}

EXPORT ssize_t write(int fd, const void* data, size_t len) {
  if (len == 0) return REAL(write)(fd, data, len);
  const iovec part{const_cast<void*>(data), len};
  return send_or(fd, {nullptr, 0, &part, 1, nullptr, 0, 0},
                 [&] { return REAL(write)(fd, data, len); });
}

EXPORT ssize_t writev(int fd, const iovec* parts, int n) {
  std::size_t len = 0;
  for (int i = 0; parts != nullptr && i < n; ++i) len += parts[i].iov_len;
  if (len == 0) return REAL(writev)(fd, parts, n);  // nothing is sent
  return send_or(fd, {nullptr, 0, parts, static_cast<std::size_t>(n), nullptr, 0, 0},
                 [&] { return REAL(writev)(fd, parts, n); });
}

EXPORT int socket(int domain, int type, int protocol) {
  return note_socket(domain, type, REAL(socket)(domain, type, protocol));
}
EXPORT int dup(int fd) noexcept { return note_created(REAL(dup)(fd)); }
EXPORT int dup2(int fd, int to) noexcept {
  if (fd != to) make_way(to);
  return note_created(REAL(dup2)(fd, to));
}
EXPORT int dup3(int fd, int to, int flags) noexcept {
  if (fd != to) make_way(to);
  return note_created(REAL(dup3)(fd, to, flags));
}

namespace {
int note_fcntl(int command, int result) {
  return command == F_DUPFD || command == F_DUPFD_CLOEXEC ? note_created(result) : result;
}
}  // namespace
EXPORT int fcntl(int fd, int command, ...) {
  va_list rest;
  va_start(rest, command);
  void* argument = va_arg(rest, void*);
  va_end(rest);
  return note_fcntl(command, REAL(fcntl)(fd, command, argument));
}
EXPORT int fcntl64(int fd, int command, ...) {
  va_list rest;
  va_start(rest, command);
  void* argument = va_arg(rest, void*);
  va_end(rest);
  return note_fcntl(command, REAL(fcntl64)(fd, command, argument));
}

EXPORT ssize_t recvmsg(int fd, msghdr* m, int flags) {
  const ssize_t n = REAL(recvmsg)(fd, m, flags);
  if (n >= 0) note_received(*m);
  return n;
}
EXPORT int recvmmsg(int fd, mmsghdr* messages, unsigned n, int flags, timespec* timeout) {
  const int got = REAL(recvmmsg)(fd, messages, n, flags, timeout);
  for (int i = 0; i < got; ++i) note_received(messages[i].msg_hdr);
  return got;
}

EXPORT int close(int fd) { return close_one(fd); }
EXPORT int close_range(unsigned first, unsigned last, int flags) noexcept {
  return close_many(first, last, flags);
}
EXPORT void closefrom(int first) noexcept {
  if (here() == nullptr) return REAL(closefrom)(first);
  (void)close_many(static_cast<unsigned>(first < 0 ? 0 : first), ~0U, 0);
}
EXPORT int fclose(FILE* f) {
  if (Takeover* t = here(); t != nullptr && f != nullptr)
    if (const int fd = ::fileno(f); fd >= 0) t->closed(fd);
  return REAL(fclose)(f);
}

EXPORT int bind(int fd, const sockaddr* address, socklen_t len) noexcept {
  return note_changed(fd, REAL(bind)(fd, address, len));
}
EXPORT int connect(int fd, const sockaddr* address, socklen_t len) {
  return note_changed(fd, REAL(connect)(fd, address, len));
}
EXPORT int setsockopt(int fd, int level, int name, const void* value, socklen_t len) noexcept {
  const int result = REAL(setsockopt)(fd, level, name, value, len);
  if (result == 0 && level == 0 /* IPPROTO_IP */ && (name == 16 || name == 17))
    if (Takeover* t = here()) t->only_kernel(fd, "IP_IPSEC_POLICY or IP_XFRM_POLICY");
  return note_changed(fd, result);
}
EXPORT int shutdown(int fd, int how) noexcept {
  const int result = REAL(shutdown)(fd, how);
  if (result == 0 && how != SHUT_RD)
    if (Takeover* t = here()) t->shut_down(fd);
  return result;
}

// For the calling thread alone: the engine's threads keep theirs.
EXPORT int capset(void* header, const void* data) noexcept {
  before_capset();
  return REAL(capset)(header, data);
}

EXPORT void _exit(int status) {
  finish(true);
  REAL(_exit)(status);
  __builtin_unreachable();
}
EXPORT void _Exit(int status) noexcept {
  finish(true);
  REAL(_Exit)(status);
  __builtin_unreachable();
}

EXPORT int execve(const char* path, char* const argv[], char* const env[]) noexcept {
  finish(false);
  return REAL(execve)(path, argv, env);
}
EXPORT int execv(const char* path, char* const argv[]) noexcept {
  finish(false);
  return REAL(execv)(path, argv);
}
EXPORT int execvp(const char* file, char* const argv[]) noexcept {
  finish(false);
  return REAL(execvp)(file, argv);
}
EXPORT int execvpe(const char* file, char* const argv[], char* const env[]) noexcept {
  finish(false);
  return REAL(execvpe)(file, argv, env);
}
EXPORT int fexecve(int fd, char* const argv[], char* const env[]) noexcept {
  finish(false);
  return REAL(fexecve)(fd, argv, env);
}

namespace {
std::size_t count_words(va_list& rest) {
  std::size_t n = 1;
  while (va_arg(rest, char*) != nullptr) ++n;
  return n;
}
void take_words(char** words, const char* first, va_list& rest) {
  *words = const_cast<char*>(first);
  while (*words != nullptr) *++words = va_arg(rest, char*);
}
}  // namespace

// The words of execl() and its kin as an array, on the stack: a child of vfork() would leave memory
// behind in its parent.
#define TXP_TAKE_WORDS(words, first)                                                 \
  va_list rest;                                                                      \
  va_start(rest, first);                                                             \
  const std::size_t count = count_words(rest);                                       \
  va_end(rest);                                                                      \
  auto** words = static_cast<char**>(__builtin_alloca((count + 1) * sizeof(char*))); \
  va_start(rest, first);                                                             \
  take_words(words, first, rest)

EXPORT int execl(const char* path, const char* first, ...) noexcept {
  TXP_TAKE_WORDS(words, first);
  va_end(rest);
  return execv(path, words);
}
EXPORT int execlp(const char* file, const char* first, ...) noexcept {
  TXP_TAKE_WORDS(words, first);
  va_end(rest);
  return execvp(file, words);
}
EXPORT int execle(const char* path, const char* first, ...) noexcept {
  TXP_TAKE_WORDS(words, first);
  char** const environment = va_arg(rest, char**);
  va_end(rest);
  return execve(path, words, environment);
}

// libuv sends and closes so.
EXPORT long syscall(long number, ...) noexcept {
  va_list rest;
  va_start(rest, number);
  const long a = va_arg(rest, long);
  const long b = va_arg(rest, long);
  const long c = va_arg(rest, long);
  const long d = va_arg(rest, long);
  const long e = va_arg(rest, long);
  const long f = va_arg(rest, long);
  va_end(rest);
  const auto real = [&] { return REAL(syscall)(number, a, b, c, d, e, f); };
  if (here() == nullptr) return real();
  const int fd = static_cast<int>(a);
  const auto pointer = [](long value) { return reinterpret_cast<void*>(value); };
  switch (number) {
    case SYS_sendto: {
      const iovec part{pointer(b), static_cast<size_t>(c)};
      return send_or(
          fd, {pointer(e), static_cast<socklen_t>(f), &part, 1, nullptr, 0, static_cast<int>(d)},
          real);
    }
    case SYS_sendmsg:
      if (b == 0) return real();
      return send_or(fd, call_of(*static_cast<const msghdr*>(pointer(b)), static_cast<int>(c)),
                     real);
    case SYS_sendmmsg:
      return send_many(fd, static_cast<mmsghdr*>(pointer(b)), static_cast<unsigned>(c),
                       static_cast<int>(d));
    case SYS_write: return write(fd, pointer(b), static_cast<size_t>(c));
    case SYS_writev: return writev(fd, static_cast<const iovec*>(pointer(b)), static_cast<int>(c));
    case SYS_close: return close_one(fd);
    case SYS_close_range:
      return close_many(static_cast<unsigned>(a), static_cast<unsigned>(b), static_cast<int>(c));
    case SYS_socket: return note_socket(fd, static_cast<int>(b), static_cast<int>(real()));
    case SYS_capset: before_capset(); return real();
    case SYS_dup: return note_created(static_cast<int>(real()));
#ifdef SYS_dup2
    case SYS_dup2:
#endif
    case SYS_dup3:
      if (a != b) make_way(static_cast<int>(b));
      return note_created(static_cast<int>(real()));
    case SYS_fcntl: return note_fcntl(static_cast<int>(b), static_cast<int>(real()));
    case SYS_bind:
    case SYS_connect:
    case SYS_setsockopt: return note_changed(fd, static_cast<int>(real()));
    case SYS_shutdown: return shutdown(fd, static_cast<int>(b));
    case SYS_exit_group: finish(true); return real();
    default: return real();
  }
}

}  // extern "C"
