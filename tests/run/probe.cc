// SPDX-License-Identifier: Apache-2.0
// A small program whose sends `txpath run` takes over: one word chooses what it does with a socket.
// It answers 0 when every call did what the kernel's would, and says what did not.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace {

sockaddr_in to;
const auto* to_any = reinterpret_cast<const sockaddr*>(&to);

[[noreturn]] void bad(const char* what) {
  std::fprintf(stderr, "probe: %s: %s\n", what, std::strerror(errno));
  std::exit(1);
}

int udp() {
  const int fd = ::socket(AF_INET, SOCK_DGRAM, 0);
  if (fd < 0) bad("socket");
  return fd;
}

int connected() {
  const int fd = udp();
  if (::connect(fd, to_any, sizeof to) != 0) bad("connect");
  return fd;
}

void expect(ssize_t got, std::size_t wanted, const char* what) {
  if (got != static_cast<ssize_t>(wanted)) bad(what);
}

void send_text(int fd, const std::string& text) {
  expect(::sendto(fd, text.data(), text.size(), 0, to_any, sizeof to), text.size(), "sendto");
}

// Every way to send, a datagram each, numbered.
void calls() {
  const int fd = connected();
  char text[] = "0";
  iovec part{text, 1};
  expect(::send(fd, text, 1, 0), 1, "send");
  text[0] = '1';
  expect(::sendto(fd, text, 1, 0, to_any, sizeof to), 1, "sendto");
  text[0] = '2';
  msghdr m{};
  m.msg_iov = &part;
  m.msg_iovlen = 1;
  expect(::sendmsg(fd, &m, 0), 1, "sendmsg");
  text[0] = '3';
  expect(::write(fd, text, 1), 1, "write");
  text[0] = '4';
  expect(::writev(fd, &part, 1), 1, "writev");
  char more[] = "567";
  iovec parts[3] = {{more, 1}, {more + 1, 1}, {more + 2, 1}};
  mmsghdr many[3] = {};
  for (int i = 0; i < 3; ++i) {
    many[i].msg_hdr.msg_iov = &parts[i];
    many[i].msg_hdr.msg_iovlen = 1;
  }
  if (::sendmmsg(fd, many, 3, 0) != 3 || many[2].msg_len != 1) bad("sendmmsg");
  text[0] = '8';
  expect(::syscall(SYS_sendto, fd, text, 1, 0, nullptr, 0), 1, "syscall(SYS_sendto)");
  text[0] = '9';
  expect(::syscall(SYS_sendmsg, fd, &m, 0), 1, "syscall(SYS_sendmsg)");
  ::syscall(SYS_close, fd);
}

// What is set after the first datagram counts for the next.
void options() {
  const int fd = udp();
  send_text(fd, "plain");
  const int tos = 0x48;
  if (::setsockopt(fd, IPPROTO_IP, IP_TOS, &tos, sizeof tos) != 0) bad("IP_TOS");
  send_text(fd, "tos");
  const int twin = ::dup(fd);
  const int ttl = 9;
  if (::setsockopt(twin, IPPROTO_IP, IP_TTL, &ttl, sizeof ttl) != 0) bad("IP_TTL");
  send_text(fd, "ttl");
  const pid_t child = ::fork();
  if (child == 0) {
    const int df = IP_PMTUDISC_DONT;
    ::_exit(::setsockopt(fd, IPPROTO_IP, IP_MTU_DISCOVER, &df, sizeof df) == 0 ? 0 : 1);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  send_text(fd, "df");
  // The number of a socket that was closed, again.
  ::close(twin);
  ::close(fd);
  if (udp() != fd) bad("the same number again");
  send_text(fd, "new");
  if (::dup2(connected(), fd) != fd) bad("dup2");
  expect(::send(fd, "dup2", 4, 0), 4, "send after dup2");
}

void reply() {
  const int fd = udp();
  send_text(fd, "ask");
  char answer[16];
  pollfd wait{fd, POLLIN, 0};
  if (::poll(&wait, 1, 3000) != 1 || ::recv(fd, answer, sizeof answer, 0) != 6) bad("no reply");
}

// Nobody is there: ICMP's error is reported by a later send, once.
void refused() {
  to.sin_port = htons(9);
  const int fd = connected();
  expect(::send(fd, "x", 1, 0), 1, "first send");
  ::usleep(100'000);
  errno = 0;
  if (::send(fd, "x", 1, 0) != -1 || errno != ECONNREFUSED) bad("ECONNREFUSED is wanted");
  expect(::send(fd, "x", 1, 0), 1, "send after the error");
  ::close(fd);
}

void errors() {
  const int fd = udp();
  if (::send(fd, "x", 1, 0) != -1 || errno != EDESTADDRREQ) bad("EDESTADDRREQ");
  sockaddr_in nowhere = to;
  nowhere.sin_addr.s_addr = htonl(0xc0000201);
  if (::sendto(fd, "x", 1, 0, reinterpret_cast<sockaddr*>(&nowhere), sizeof nowhere) != -1 ||
      errno != ENETUNREACH)
    bad("ENETUNREACH");
  const std::vector<char> much(70'000);
  if (::sendto(fd, much.data(), much.size(), 0, to_any, sizeof to) != -1 || errno != EMSGSIZE)
    bad("EMSGSIZE");
  ::close(fd);
  if (::sendto(fd, "x", 1, 0, to_any, sizeof to) != -1 || errno != EBADF) bad("EBADF");
  const int again = connected();
  if (::shutdown(again, SHUT_WR) != 0) bad("shutdown");
  if (::send(again, "x", 1, MSG_NOSIGNAL) != -1 || errno != EPIPE) bad("EPIPE");
}

void segment() {
  const int fd = connected();
  const int size = 100;
  if (::setsockopt(fd, SOL_UDP, UDP_SEGMENT, &size, sizeof size) != 0) bad("UDP_SEGMENT");
  const std::string data(250, 'g');
  expect(::send(fd, data.data(), data.size(), 0), data.size(), "send with UDP_SEGMENT");
}

void cork() {
  const int fd = connected();
  expect(::send(fd, "a", 1, MSG_MORE), 1, "MSG_MORE");
  expect(::send(fd, "b", 1, 0), 1, "the rest");
  expect(::send(fd, "c", 1, 0), 1, "the next");
}

void numbered(int fd, unsigned thread, unsigned count) {
  for (unsigned i = 0; i < count; ++i) {
    const std::string text = std::to_string(thread) + " " + std::to_string(i);
    expect(::send(fd, text.data(), text.size(), 0), text.size(), "send");
    if (i % 64 == 0) ::usleep(1000);
  }
}

void threads() {
  const int shared = connected();
  std::vector<std::thread> all;
  for (unsigned t = 0; t < 4; ++t) all.emplace_back([=] { numbered(shared, t, 500); });
  for (auto& t : all) t.join();
}

void forks() {
  const int fd = connected();
  numbered(fd, 0, 100);
  std::vector<pid_t> children;
  for (unsigned c = 1; c <= 3; ++c) {
    const pid_t child = ::fork();
    if (child == 0) {
      numbered(fd, c, 100);
      const int own = connected();
      numbered(own, 10 + c, 100);
      std::exit(0);
    }
    children.push_back(child);
  }
  numbered(fd, 20, 100);
  for (const pid_t child : children) {
    int status = 0;
    ::waitpid(child, &status, 0);
    if (status != 0) bad("a child");
  }
}

// Datagrams of one size, as fast as it goes.
void same(unsigned count) {
  const int fd = connected();
  char text[100] = {};
  for (unsigned i = 0; i < count; ++i) {
    std::snprintf(text, sizeof text, "%06u", i);
    expect(::send(fd, text, i + 1 == count ? 50 : sizeof text, 0),
           i + 1 == count ? 50 : sizeof text, "send");
  }
}

// The first is too large for a link on the way; the kernel learns that, and the second is cut.
void path_mtu() {
  const int fd = udp();
  send_text(fd, std::string(1450, '1'));
  ::usleep(300'000);
  send_text(fd, std::string(1450, '2'));
}

int handler_fd = -1;
volatile sig_atomic_t handled = 0;
extern "C" void handler(int) {
  const int saved = errno;
  if (::send(handler_fd, "h", 1, 0) == 1) handled = handled + 1;
  errno = saved;
}

// A handler that sends, 2000 times into the middle of sends.
void signals() {
  const int fd = connected();
  handler_fd = fd;
  struct sigaction action{};
  action.sa_handler = handler;
  action.sa_flags = SA_RESTART;
  ::sigaction(SIGALRM, &action, nullptr);
  ::ualarm(500, 500);
  while (handled < 500) numbered(fd, 0, 10);
  ::ualarm(0, 0);
}

// Daemons close everything that they do not know.
void close_all() {
  const int fd = connected();
  expect(::send(fd, "before", 6, 0), 6, "send");
  for (int other = fd + 1; other < 4096; ++other) ::close(other);
  ::close_range(static_cast<unsigned>(fd) + 1, ~0U, 0);
  expect(::send(fd, "after", 5, 0), 5, "send after close");
  const int next = ::dup(0);
  if (next != fd + 1) bad("descriptor numbers are not the program's own");
}

void sockets(unsigned n) {
  std::vector<int> all;
  for (unsigned i = 0; i < n; ++i) all.push_back(udp());
  for (unsigned i = 0; i < n; ++i) {
    send_text(all[i], std::to_string(i));
    if (i % 64 == 0) ::usleep(1000);
  }
}

// The size of datagrams, and as many as fit into the time; prints how many a second.
void flood(unsigned size, double seconds) {
  const int fd = connected();
  const std::vector<char> data(size, 'f');
  const auto now = [] {
    timespec t;
    ::clock_gettime(CLOCK_MONOTONIC, &t);
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_nsec) * 1e-9;
  };
  for (int i = 0; i < 100; ++i) (void)::send(fd, data.data(), data.size(), 0);
  const double start = now();
  unsigned long sent = 0;
  while (now() - start < seconds)
    for (int i = 0; i < 64; ++i) sent += ::send(fd, data.data(), data.size(), 0) >= 0;
  std::printf("%.0f\n", static_cast<double>(sent) / (now() - start));
}

// What a call costs when nothing has to be waited for: bursts, and rests; prints ns a call.
void burst(unsigned size, double seconds) {
  const int fd = connected();
  const std::vector<char> data(size, 'b');
  const auto now = [] {
    timespec t;
    ::clock_gettime(CLOCK_MONOTONIC, &t);
    return static_cast<double>(t.tv_sec) * 1e9 + static_cast<double>(t.tv_nsec);
  };
  std::vector<double> costs;
  for (const double start = now(); now() - start < seconds * 1e9;) {
    constexpr int kBurst = 256;
    const double before = now();
    for (int i = 0; i < kBurst; ++i) (void)::send(fd, data.data(), data.size(), 0);
    costs.push_back((now() - before) / kBurst);
    ::usleep(2000);
  }
  std::sort(costs.begin(), costs.end());
  std::printf("%.0f\n", costs[costs.size() / 2]);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 4) return 2;
  to.sin_family = AF_INET;
  to.sin_port = htons(static_cast<std::uint16_t>(std::atoi(argv[2])));
  if (::inet_pton(AF_INET, argv[1], &to.sin_addr) != 1) return 2;
  const std::string_view what = argv[3];
  if (what == "calls")
    calls();
  else if (what == "options")
    options();
  else if (what == "reply")
    reply();
  else if (what == "refused")
    refused();
  else if (what == "errors")
    errors();
  else if (what == "segment")
    segment();
  else if (what == "cork")
    cork();
  else if (what == "threads")
    threads();
  else if (what == "forks")
    forks();
  else if (what == "signals")
    signals();
  else if (what == "close_all")
    close_all();
  else if (what == "sockets")
    sockets(static_cast<unsigned>(std::atoi(argv[4])));
  else if (what == "flood")
    flood(static_cast<unsigned>(std::atoi(argv[4])), std::atof(argv[5]));
  else if (what == "burst")
    burst(static_cast<unsigned>(std::atoi(argv[4])), std::atof(argv[5]));
  else if (what == "same")
    same(static_cast<unsigned>(std::atoi(argv[4])));
  else if (what == "path_mtu")
    path_mtu();
  else if (what == "one")
    send_text(udp(), "one");
  else
    return 2;
  return 0;
}
