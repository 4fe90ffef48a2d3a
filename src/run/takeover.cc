// SPDX-License-Identifier: Apache-2.0
#include "run/takeover.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>

#include "explain/trace_text.h"
#include "observe/trace.h"
#include "observe/trace_json.h"
#include "observe/trace_log.h"
#include "run/takeover_entry.h"
#include "socket/sock.h"

namespace txp {
namespace {

constinit thread_local bool inside = false;

constexpr int kEngineFlags = MSG_DONTWAIT | MSG_NOSIGNAL | MSG_DONTROUTE | MSG_EOR;
constexpr std::size_t kIovMax = 1024;      // UIO_MAXIOV
constexpr Nanos kPatience = kSecond / 10;  // for what is on its way, before the kernel sends
constexpr Nanos kTick = 4 * kMillisecond;  // of the coarse clock, at HZ=250

std::string endpoint(Ip4 addr, std::uint16_t port) {
  return fmt::format("{}:{}", addr.str(), port);
}

// Where the message goes, as far as the engine can say; none: the kernel must answer.
std::optional<std::optional<SockAddr4>> destination(const SendCall& call) {
  if (call.name == nullptr) return std::optional<SockAddr4>();
  sockaddr_in sin;
  if (call.namelen < sizeof sin) return std::nullopt;
  std::memcpy(&sin, call.name, sizeof sin);
  if (sin.sin_family != AF_INET && sin.sin_family != AF_UNSPEC) return std::nullopt;
  return SockAddr4{Ip4{ntohl(sin.sin_addr.s_addr)}, ntohs(sin.sin_port), sin.sin_family};
}

// A control message for a stamp of this datagram: it comes to the kernel's error queue.
bool asks_for_stamps(const SendCall& call) {
  std::size_t at = 0;
  while (at + sizeof(cmsghdr) <= call.controllen) {
    cmsghdr head;
    std::memcpy(&head, static_cast<const std::uint8_t*>(call.control) + at, sizeof head);
    if (head.cmsg_level == SOL_SOCKET && head.cmsg_type != SO_MARK && head.cmsg_type != SO_PRIORITY)
      return true;
    if (head.cmsg_len < sizeof head) return false;  // EINVAL, the engine says
    at += CMSG_ALIGN(head.cmsg_len);
  }
  return false;
}

}  // namespace

bool inside_engine() { return inside; }

InsideEngine::InsideEngine() : errno_(errno) {
  inside = true;
  ::pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel_);
}

InsideEngine::~InsideEngine() {
  ::pthread_setcancelstate(cancel_, nullptr);
  inside = false;
  errno = errno_;
}

struct Takeover::Outcome {
  std::optional<std::size_t> sent;
  Fallback why = Fallback::none;
  std::string object;
};

Takeover::Takeover(RunOptions options) : options_(std::move(options)) {}

Takeover::Entry* Takeover::entry(int fd, bool make) const {
  if (fd < 0) return nullptr;
  const auto n = static_cast<std::size_t>(fd);
  if (n >= kChunk * kChunks) return nullptr;
  std::atomic<Chunk*>& at = chunks_[n / kChunk];
  Chunk* chunk = at.load(std::memory_order_acquire);
  if (chunk == nullptr) {
    if (!make) return nullptr;
    auto fresh = std::make_unique<Chunk>();
    if (at.compare_exchange_strong(chunk, fresh.get(), std::memory_order_acq_rel))
      chunk = fresh.release();
  }
  return &chunk->entries[n % kChunk];
}

// start_mutex_ held.
void Takeover::open_segment() {
  if (segment_ || options_.segment.empty()) return;
  auto opened = RunSegment::open(options_.segment);
  if (!opened) return;  // another user's process: its changes are seen a little later
  segment_ = std::make_unique<RunSegment>(std::move(*opened));
  generation_.store(&segment_->generation(), std::memory_order_release);
}

RunEngine* Takeover::engine() {
  if (RunEngine* e = engine_.load(std::memory_order_acquire)) return e;
  const std::lock_guard guard(start_mutex_);
  if (RunEngine* e = engine_.load(std::memory_order_acquire)) return e;
  if (tried_) return nullptr;
  tried_ = true;
  open_segment();
  if (!may_send_frames()) {
    engine_failure_ = Fallback::PRIVILEGE;
    engine_error_ = grant_advice();
    return nullptr;
  }
  auto started = RunEngine::start(options_, descriptors, [this] { tell_report(false); });
  if (!started) {
    const bool privilege = started.error().what.find("not permitted") != std::string::npos;
    engine_failure_ = privilege ? Fallback::PRIVILEGE : Fallback::ENGINE;
    engine_error_ = started.error().what;
    return nullptr;
  }
  RunEngine* e = started->release();
  engine_.store(e, std::memory_order_release);
  return e;
}

// Asks the kernel for the socket's state. e.mutex held. False: no UDP socket.
bool Takeover::look(Entry& e, int fd, RunEngine& engine, Nanos coarse) {
  const std::uint64_t generation =
      generation_.load(std::memory_order_relaxed)->load(std::memory_order_acquire);
  KernelSocket k = read_kernel_socket(fd);
  Shadow* now = e.shadow.load(std::memory_order_relaxed);
  if (now != nullptr && now->k.cookie != k.cookie) {
    keep_history(e);
    forget(e);
    now = nullptr;
  }
  if (!k.is_udp) {
    e.kind.store(Entry::Kind::other, std::memory_order_release);
    return false;
  }
  if (now == nullptr || now->k != k) {
    Sock* sk = k.refused == Fallback::none ? make_shadow(engine.net, k) : nullptr;
    auto* next = new Shadow(std::move(k), sk);
    Shadow* old = e.shadow.exchange(next, std::memory_order_acq_rel);
    if (old != nullptr) engine.retire(old);
    e.label = next->k.connected
                  ? fmt::format("{} to {}", endpoint(next->k.local, next->k.local_port),
                                endpoint(next->k.peer, next->k.peer_port))
                  : endpoint(next->k.local, next->k.local_port);
  }
  e.fd = fd;
  e.generation.store(generation, std::memory_order_relaxed);
  e.looked.store(coarse, std::memory_order_release);
  e.kind.store(Entry::Kind::udp, std::memory_order_release);
  return true;
}

// The port is the kernel's to give: replies must find the descriptor. e.mutex held.
bool Takeover::bind_now(Entry& e, int fd, RunEngine& engine, Nanos coarse) {
  sockaddr_in any{};
  any.sin_family = AF_INET;
  // EINVAL: another thread was first.
  if (::bind(fd, reinterpret_cast<sockaddr*>(&any), sizeof any) != 0 && errno != EINVAL)
    return false;
  return look(e, fd, engine, coarse) && e.shadow.load()->k.local_port != 0;
}

Takeover::Outcome Takeover::try_engine(Entry& e, int fd, const SendCall& call) {
  const auto leave = [](Fallback why, std::string object = {}) {
    return Outcome{std::nullopt, why, std::move(object)};
  };
  const auto to = destination(call);
  if (!to) return leave(Fallback::CALL, "the address");
  if ((call.flags & ~(kEngineFlags | MSG_MORE)) != 0) return leave(Fallback::CALL, "MSG_* flags");
  if (call.iovlen > kIovMax) return leave(Fallback::CALL, "too many parts");
  for (std::size_t i = 0; i < call.iovlen; ++i)
    if (call.iov[i].iov_base == nullptr && call.iov[i].iov_len != 0)
      return leave(Fallback::CALL, "a null pointer");
  if (asks_for_stamps(call)) return leave(Fallback::CALL, "a control message");
  if (!tried_ && !options_.strict && *to && (*to)->addr.is_loopback())
    return leave(Fallback::LOCAL, (*to)->addr.str());  // no reason to start an engine
  if (finished_) return leave(Fallback::ENGINE, "the process ends");
  if (lost_) return leave(Fallback::ENGINE, "the program took a descriptor of ours");

  RunEngine* engine = this->engine();
  if (engine == nullptr) return leave(engine_failure_, engine_error_);
  if (engine->devices.wanted()) [[unlikely]]
    engine->attach_wanted();
  const Nanos coarse = RunEngine::coarse_now();
  const bool stale =
      coarse - e.looked.load(std::memory_order_acquire) >= kLookAgain ||
      e.generation.load(std::memory_order_relaxed) !=
          generation_.load(std::memory_order_relaxed)->load(std::memory_order_acquire) ||
      e.shadow.load(std::memory_order_relaxed) == nullptr;
  if (stale) {
    const std::lock_guard guard(e.mutex);
    if (!look(e, fd, *engine, coarse)) return leave(Fallback::none);
  }
  if (options_.doorbell == Doorbell::sync || stale) {
    // It asks for nothing: POLLERR and POLLNVAL are always told.
    pollfd error{fd, 0, 0};
    int told;
    do told = ::poll(&error, 1, 0);
    while (told < 0 && errno == EINTR);
    if (told != 0) return leave(Fallback::SOCKET_ERROR);
  }
  if (!engine->mirror_is_fresh(coarse))
    return engine->privileges_gone() ? leave(Fallback::PRIVILEGE, "it was given up")
                                     : leave(Fallback::MIRROR_BEHIND);
  if (e.shut) return leave(Fallback::SHUTDOWN);
  if (const char* option = e.only_kernel) return leave(Fallback::SOCKET_OPTION, option);
  if (e.corked || (call.flags & MSG_MORE) != 0) return leave(Fallback::CORK);
  if (e.kernel_busy.load(std::memory_order_relaxed)) {
    int waiting = 0;
    if (::ioctl(fd, SIOCOUTQ, &waiting) != 0 || waiting != 0) return leave(Fallback::ORDER);
    e.kernel_busy.store(false, std::memory_order_relaxed);
  }

  bool bound = true;
  {
    const RcuReader reader;
    const Shadow& s = *e.shadow.load(std::memory_order_acquire);
    if (s.k.refused != Fallback::none) return leave(s.k.refused, s.k.refused_by);
    if (s.k.netns != engine->netns()) return leave(Fallback::NAMESPACE);
    if (s.k.corkflag) return leave(Fallback::CORK);
    bound = s.k.local_port != 0;
    if (!bound && !s.k.local.is_zero()) return leave(Fallback::CALL, "bound without a port");
    const std::uint32_t addr = *to ? (*to)->addr.host : s.k.peer.host;
    if (coarse < e.refused_until.load(std::memory_order_relaxed) &&
        addr == e.refused_addr.load(std::memory_order_relaxed))
      return leave(e.refused_why.load(std::memory_order_relaxed));
  }
  if (!bound) {
    const std::lock_guard guard(e.mutex);
    if (!bind_now(e, fd, *engine, coarse)) return leave(Fallback::CALL, "bind");
  }

  MsgHdr msg;
  msg.name = *to;
  msg.namelen = call.namelen;
  msg.iov = {call.iov, call.iovlen};
  msg.control = {static_cast<const std::uint8_t*>(call.control), call.controllen};
  msg.flags = call.flags | MSG_DONTWAIT;
  Trace* trace = nullptr;
  Nanos began = 0;
  if (traced_.load(std::memory_order_relaxed) < options_.trace) {
    const std::lock_guard guard(trace_mutex_);
    traces_.push_back(std::make_unique<Trace>(engine->net.clock));
    traces_.back()->keep_bytes(kFlowBytes);
    msg.trace = trace = traces_.back().get();
    began = engine->net.clock.wall();
    ++traced_;
  }
  SockResult<std::size_t> sent = err(EINVAL);
  std::uint32_t addr = 0;
  {
    const RcuReader reader;
    const Shadow& s = *e.shadow.load(std::memory_order_acquire);
    addr = *to ? (*to)->addr.host : s.k.peer.host;
    sent = sock_sendmsg(engine->net, *s.sk, msg);
  }
  if (trace != nullptr) {
    const std::lock_guard guard(trace_mutex_);
    std::size_t from = 0;
    trace_text_.push_back(trace_lines(engine->net, *trace, traces_.size(), from));
    TracedPacket story = traced_packet(engine->net, *trace);
    stories_.push_back(Json{{"at", began},
                            {"src", story.flow.src.str()},
                            {"sport", story.flow.sport},
                            {"dst", story.flow.dst.str()},
                            {"dport", story.flow.dport},
                            {"errno", sent ? Json(nullptr) : Json(sent.error().name())},
                            {"events", trace_events_json(story)}});
  }
  if (sent) {
    if (options_.doorbell == Doorbell::sync) (void)engine->settle(kPatience);
    return {*sent, Fallback::none, {}};
  }
  if (sent.error().is_unknown()) {
    Fallback why = RunEngine::last_refusal();
    if (why == Fallback::none) why = Fallback::UNKNOWN;
    e.refused_addr.store(addr, std::memory_order_relaxed);
    e.refused_why.store(why, std::memory_order_relaxed);
    e.refused_until.store(coarse + kTick, std::memory_order_relaxed);
    std::string object = engine->net.last_unknown();
    // "address 10.0.0.1" is enough as 10.0.0.1.
    if (why != Fallback::UNKNOWN) object.erase(0, object.find(' ') + 1);
    return leave(why, std::move(object));
  }
  if (sent.error().code == EAGAIN || sent.error().code == ENOBUFS)
    return leave(Fallback::SEND_BUFFER);
  return leave(Fallback::ERRNO, std::string(sent.error().name()));
}

Takeover::Answer Takeover::send(int fd, const SendCall& call) {
  if (inside) return {};
  const InsideEngine guard;
  Entry* e = entry(fd, true);
  if (e == nullptr || !is_udp(*e, fd)) return {};
  Outcome outcome;
  try {
    outcome = try_engine(*e, fd, call);
  } catch (const std::exception& x) {
    outcome = {std::nullopt, Fallback::ENGINE, x.what()};
  }
  if (outcome.sent) {
    e->taken.fetch_add(1, std::memory_order_relaxed);
    taken_.fetch_add(1, std::memory_order_relaxed);
    return {static_cast<ssize_t>(*outcome.sent), 0, Fallback::none, nullptr};
  }
  if (outcome.why == Fallback::none) return {};
  if (RunEngine* engine = engine_.load(std::memory_order_acquire)) (void)engine->settle(kPatience);
  return leave(*e, outcome.why, std::move(outcome.object));
}

Takeover::Answer Takeover::leave(Entry& e, Fallback why, std::string object) {
  note(e, why, std::move(object));
  // What the kernel would refuse as well is no fallback.
  const bool error = why == Fallback::SOCKET_ERROR || why == Fallback::ERRNO;
  if (options_.strict && !error) {
    fallbacks_[static_cast<std::size_t>(why)].fetch_add(1, std::memory_order_relaxed);
    return {-1, EOPNOTSUPP, why, nullptr};
  }
  return {std::nullopt, 0, why, &e};
}

void Takeover::note(Entry& e, Fallback why, std::string object) {
  const std::lock_guard guard(e.mutex);
  if (e.first_why != Fallback::none) return;
  e.first_why = why;
  e.first_object = std::move(object);
}

void Takeover::kernel_sent(const Answer& answer, const SendCall& call, bool succeeded) {
  if (answer.entry == nullptr) return;
  auto& e = *static_cast<Entry*>(answer.entry);
  if (!succeeded) note_failure(e, call, errno);
  if (succeeded) {
    e.corked.store((call.flags & MSG_MORE) != 0, std::memory_order_relaxed);
    e.kernel_busy.store(true, std::memory_order_relaxed);
    e.kernel.fetch_add(1, std::memory_order_relaxed);
    kernel_.fetch_add(1, std::memory_order_relaxed);
    fallbacks_[static_cast<std::size_t>(answer.why)].fetch_add(1, std::memory_order_relaxed);
  }
}

void Takeover::note_failure(const Entry& e, const SendCall& call, int error) {
  if (error == EAGAIN || error == EINTR || inside) return;
  const InsideEngine guard;
  constexpr std::size_t kKinds = 64;
  FailedTo key{error, {}, 0};
  sockaddr_in6 six;
  if (const auto to = destination(call); to && *to) {
    key.dst = (*to)->addr.str();
    key.dport = (*to)->port;
  } else if (call.name != nullptr && call.namelen >= sizeof six) {
    std::memcpy(&six, call.name, sizeof six);
    char text[INET6_ADDRSTRLEN];
    if (six.sin6_family != AF_INET6 ||
        ::inet_ntop(AF_INET6, &six.sin6_addr, text, sizeof text) == nullptr)
      return;
    key.dst = text;
    key.dport = ntohs(six.sin6_port);
  } else if (to) {
    const RcuReader reader;
    const Shadow* s = e.shadow.load(std::memory_order_acquire);
    if (s == nullptr || !s->k.connected) return;
    key.dst = s->k.peer.str();
    key.dport = s->k.peer_port;
  }
  std::size_t len = 0;
  for (std::size_t i = 0; i < call.iovlen && i < kIovMax; ++i) len += call.iov[i].iov_len;
  try {
    const std::lock_guard lock(failures_mutex_);
    if (failures_.size() >= kKinds && !failures_.contains(key)) return;
    FailedHow& how = failures_[key];
    if (how.times++ == 0) how.len = len;
  } catch (const std::bad_alloc&) {  // the program goes on; one failure is not told
  }
}

void Takeover::created(int fd) {
  Entry* e = entry(fd, false);
  if (inside || e == nullptr) return;
  const InsideEngine guard;
  const std::lock_guard lock(e->mutex);
  keep_history(*e);
  forget(*e);
  e->kind.store(Entry::Kind::unknown, std::memory_order_release);
}

void Takeover::start_before_privileges_go() {
  if (inside || !has_udp_ || tried_ || finished_) return;
  const InsideEngine guard;
  (void)engine();
}

void Takeover::closed(int fd) {
  Entry* e = entry(fd, false);
  if (e != nullptr && e->kind.load(std::memory_order_acquire) != Entry::Kind::other) created(fd);
}

void Takeover::changed(int fd) {
  if (inside) return;
  const InsideEngine guard;
  Entry* e = entry(fd, true);
  if (e == nullptr || !is_udp(*e, fd)) return;
  if (!segment_) {
    const std::lock_guard lock(start_mutex_);
    open_segment();
  }
  e->looked.store(0, std::memory_order_release);
  e->refused_until.store(0, std::memory_order_relaxed);
  generation_.load(std::memory_order_acquire)->fetch_add(1, std::memory_order_acq_rel);
}

bool Takeover::is_udp(Entry& e, int fd) {
  if (e.kind.load(std::memory_order_acquire) == Entry::Kind::unknown)
    e.kind.store(is_udp_socket(fd) ? Entry::Kind::udp : Entry::Kind::other,
                 std::memory_order_release);
  return e.kind.load(std::memory_order_acquire) == Entry::Kind::udp;
}

std::vector<int> Takeover::known(unsigned first, unsigned last) const {
  std::vector<int> all;
  for (std::size_t c = 0; c < kChunks; ++c) {
    Chunk* chunk = chunks_[c].load(std::memory_order_acquire);
    if (chunk == nullptr) continue;
    for (std::size_t i = 0; i < kChunk; ++i) {
      const std::size_t fd = c * kChunk + i;
      if (fd >= first && fd <= last &&
          chunk->entries[i].kind.load(std::memory_order_acquire) == Entry::Kind::udp)
        all.push_back(static_cast<int>(fd));
    }
  }
  return all;
}

void Takeover::lose(int fd) {
  descriptors.remove(fd);
  lost_ = true;
}

void Takeover::shut_down(int fd) {
  if (Entry* e = entry(fd, true)) e->shut.store(true);
}

void Takeover::only_kernel(int fd, const char* option) {
  if (Entry* e = entry(fd, true)) e->only_kernel.store(option);
}

// e.mutex held.
void Takeover::forget(Entry& e) {
  Shadow* old = e.shadow.exchange(nullptr, std::memory_order_acq_rel);
  RunEngine* engine = engine_.load(std::memory_order_acquire);
  if (old != nullptr && engine != nullptr) engine->retire(old);
  e.kernel_busy = e.corked = e.shut = false;
  e.only_kernel = nullptr;
  e.looked = 0;
  e.refused_until = 0;
  e.taken = e.kernel = 0;
  e.first_why = Fallback::none;
  e.first_object.clear();
  e.label.clear();
}

}  // namespace txp
