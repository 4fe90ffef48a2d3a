// SPDX-License-Identifier: Apache-2.0
#include "cli/sender.h"

#include <fmt/format.h>
#include <linux/filter.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>

#include "base/byteorder.h"
#include "cli/command.h"
#include "dev/netdevice.h"
#include "drivers/capture.h"
#include "drivers/registry.h"
#include "explain/ip_text.h"
#include "explain/socket_options.h"
#include "explain/trace_text.h"
#include "neigh/neighbour.h"
#include "records/record_sinks.h"
#include "route/ip6_route.h"
#include "route/ip_route.h"
#include "udp/udp_table.h"

namespace txp::cli {
namespace {

volatile sig_atomic_t stop_signals = 0;

extern "C" void note_stop(int) { stop_signals = stop_signals + 1; }

std::unexpected<SendFailure> failure(std::string what) {
  return std::unexpected(SendFailure{std::move(what)});
}

std::string errno_text(int code) {
  return fmt::format("{} ({})", Errno{code}.name(), std::strerror(code));
}

// Devices that the engine can put frames on: up, and the last one before the wire.
bool usable(const NetDevice& dev) {
  return dev.is_up() && (dev.flags() & kIffLoopback) == 0 && dev.unknown_kind.get() == nullptr;
}

}  // namespace

void catch_stop() {
  struct sigaction action{};
  action.sa_handler = note_stop;
  ::sigemptyset(&action.sa_mask);
  for (const int signal : {SIGINT, SIGTERM}) ::sigaction(signal, &action, nullptr);
}

bool stopped() { return stop_signals != 0; }

// The socket's port in the kernel: nobody else takes it, and the kernel does not answer "port
// unreachable" to what comes back for it.
struct Sender::KernelPort {
  int fd = -1;
  SockAddr4 local;
  SockAddr6 local6;
  ~KernelPort() {
    if (fd >= 0) ::close(fd);
  }
  std::expected<void, SendFailure> take(const FlowQuestion& q) {
    fd = ::socket(q.to6 ? AF_INET6 : AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return failure(fmt::format("socket: {}", errno_text(errno)));
    sock_filter nothing{BPF_RET | BPF_K, 0, 0, 0};
    const sock_fprog keep_nothing{1, &nothing};
    (void)::setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &keep_nothing, sizeof keep_nothing);
    if (q.to6) return take6(q);
    sockaddr_in sin{};
    sin.sin_family = AF_INET;
    sin.sin_addr.s_addr = htonl(q.from.value_or(Ip4{}).host);
    sin.sin_port = htons(q.from_port);
    auto* address = reinterpret_cast<sockaddr*>(&sin);
    if (::bind(fd, address, sizeof sin) != 0)
      return failure(fmt::format("from {}:{}: bind fails with {}", q.from.value_or(Ip4{}).str(),
                                 q.from_port, errno_text(errno)));
    socklen_t len = sizeof sin;
    if (::getsockname(fd, address, &len) != 0)
      return failure(fmt::format("getsockname: {}", errno_text(errno)));
    local.addr = q.from.value_or(Ip4{});
    local.port = ntohs(sin.sin_port);
    return {};
  }
  std::expected<void, SendFailure> take6(const FlowQuestion& q) {
    const Ip6 from = q.from6.value_or(Ip6{});
    sockaddr_in6 sin{};
    sin.sin6_family = AF_INET6;
    from.store(sin.sin6_addr.s6_addr);
    sin.sin6_port = htons(q.from_port);
    sin.sin6_scope_id = q.from_scope.empty() ? 0 : if_nametoindex(q.from_scope.c_str());
    auto* address = reinterpret_cast<sockaddr*>(&sin);
    if (::bind(fd, address, sizeof sin) != 0)
      return failure(fmt::format("from [{}]:{}: bind fails with {}", from.str(), q.from_port,
                                 errno_text(errno)));
    socklen_t len = sizeof sin;
    if (::getsockname(fd, address, &len) != 0)
      return failure(fmt::format("getsockname: {}", errno_text(errno)));
    local6 = {from, ntohs(sin.sin6_port), 0, sin.sin6_scope_id};
    return {};
  }
};

namespace {
std::string to_words(const FlowQuestion& q) {
  return q.to6 ? fmt::format("to [{}]:{}", q.to6->str(), q.to_port)
               : fmt::format("to {}:{}", q.to.str(), q.to_port);
}
}  // namespace

Sender::Sender(SendOptions options) : options_(std::move(options)), net_(Net::Options{}) {}

Sender::~Sender() {
  if (sk_ != nullptr) inet_release(*sk_);
  live_.reset();
}

std::expected<void, SendFailure> Sender::open() {
  auto live = Live::open(net_, {});
  if (!live) return failure(live.error().what);
  live_ = std::move(*live);
  if (!options_.pcap.empty()) {
    auto capture = PcapngWriter::open(options_.pcap);
    if (!capture) return failure("--pcap " + capture.error().what);
    capture_ = std::move(*capture);
  }
  for (const auto& [name, kind] : options_.devices) {
    const RcuReader reader;
    if (net_.dev->by_name(name) == nullptr)
      return failure(fmt::format("--device {0}={1}: there is no device {0}", name, kind));
  }
  if (auto done = check_destination(); !done) return failure(done.error().what);
  if (auto done = attach_drivers(); !done) return failure(done.error().what);
  if (auto done = open_traces(); !done) return failure(done.error().what);
  return open_socket();
}

// Every device that could carry a packet gets its driver, also one that came up meanwhile: behind
// a device without one, frames would vanish.
Result<void> Sender::attach_drivers() {
  const std::lock_guard guard(net_.rtnl);
  for (NetDevice* dev : net_.dev->all()) {
    if (attached_.contains(dev->ifindex)) continue;
    const auto chosen = options_.devices.find(dev->name());
    if (chosen == options_.devices.end() && !usable(*dev)) continue;
    const std::string kind = chosen == options_.devices.end() ? "af_packet" : chosen->second;
    auto driver = make_driver(net_, *dev, kind);
    if (!driver && chosen == options_.devices.end())
      return fail(fmt::format("{}; --device {}=KIND chooses another way", driver.error().what,
                              dev->name()));
    if (!driver)
      return fail(fmt::format("--device {}={}: {}", dev->name(), kind, driver.error().what));
    if (capture_) driver = make_capture(std::move(*driver), capture_);
    net_.dev->attach(*dev, std::move(*driver));
    attached_.insert(dev->ifindex);
  }
  return {};
}

// The kernel's own sockets are out of reach: what the engine loops back stays in the engine.
Result<void> Sender::check_destination() {
  const Ip4 to = options_.question.to;
  const RcuReader reader;
  const NetDevice* lo = net_.dev->loopback();
  if (lo == nullptr || options_.devices.contains(lo->name())) return {};
  if (const auto& six = options_.question.to6)
    return !six->is_any() && !ipv6_chk_addr(net_, *six, nullptr)
               ? Result<void>()
               : fail(fmt::format("to {}: it is this host itself, whose sockets the engine cannot "
                                  "reach",
                                  six->str()));
  if (!to.is_zero() && inet_addr_type(net_, to) != RouteType::local) return {};
  return fail(fmt::format(
      "to {}: it is this host itself, whose sockets the engine cannot reach; --device {}=loopback "
      "sends within the engine",
      to.str(), lo->name()));
}

std::expected<void, SendFailure> Sender::open_socket() {
  kernel_port_ = std::make_unique<KernelPort>();
  if (auto taken = kernel_port_->take(options_.question); !taken) return taken;
  const bool six = options_.question.to6.has_value();
  sk_ = six ? inet6_create(net_, ::geteuid()) : inet_create(net_, ::geteuid());
  if (auto set = set_socket_options(*sk_, options_.question); !set)
    return failure(
        fmt::format("{} fails with {}", set.error().call, errno_text(set.error().error.code)));
  if (six) {
    if (auto bound = inet6_bind(*sk_, kernel_port_->local6); !bound)
      return failure(fmt::format("from [{}]:{}: bind fails with {}",
                                 kernel_port_->local6.addr.str(), kernel_port_->local6.port,
                                 errno_text(bound.error().code)));
    return {};
  }
  if (auto bound = inet_bind(*sk_, kernel_port_->local); !bound)
    return failure(fmt::format("from {}:{}: bind fails with {}", kernel_port_->local.addr.str(),
                               kernel_port_->local.port, errno_text(bound.error().code)));
  return {};
}

// Lets the engine's timers, drivers and softirqs run, follows the namespace, and waits for at most
// `wait` ns, less when something comes.
Result<void> Sender::service(Nanos wait, int also_fd) {
  const std::size_t done = net_.poll();
  if (done == 0 && wait > 0) {
    constexpr Nanos kLongest = 20 * kMillisecond;  // drivers that are polled, and the stop signal
    if (net_.totals().queued > 0) wait = std::min(wait, kMillisecond);
    wait = std::min(wait, kLongest);
    pollfd fds[] = {{live_->fd(), POLLIN, 0}, {also_fd, POLLIN, 0}};  // poll() skips fd -1
    const timespec ts{static_cast<time_t>(wait / kSecond), static_cast<long>(wait % kSecond)};
    (void)::ppoll(fds, std::size(fds), &ts, nullptr);
  }
  const auto applied = live_->pump();
  if (!applied) return std::unexpected(applied.error());
  return *applied > 0 ? attach_drivers() : Result<void>();
}

// The kernel resolves in the time of a round trip; sending on would only fill the queue that waits,
// which drops its oldest when it is full. Once in vain is enough.
Result<void> Sender::wait_for_neighbours() {
  if (!patient_ || (net_.neigh->queued() + net_.neigh6->queued()) == 0) return {};
  const Nanos until = net_.clock.now() + kDrain;
  const std::uint64_t dropped = net_.totals().dropped;
  while ((net_.neigh->queued() + net_.neigh6->queued()) > 0 && net_.clock.now() < until &&
         !stopped()) {
    if (auto served = service(until - net_.clock.now()); !served) return served;
    once_a_second(nullptr);
  }
  patient_ =
      (net_.neigh->queued() + net_.neigh6->queued()) == 0 && net_.totals().dropped == dropped;
  return {};
}

std::expected<void, SendFailure> Sender::send_one(std::span<const std::uint8_t> payload) {
  const iovec iov{const_cast<std::uint8_t*>(payload.data()), payload.size()};
  MsgHdr msg;
  const FlowQuestion& q = options_.question;
  SockAddr6 to6;
  if (q.to6) {
    const RcuReader reader;
    const NetDevice* scope = net_.dev->by_name(q.to_scope);
    to6 = {*q.to6, q.to_port, 0, scope != nullptr ? static_cast<std::uint32_t>(scope->ifindex) : 0};
    msg.name6 = &to6;
    msg.namelen = sizeof(sockaddr_in6);
  } else {
    msg.name = SockAddr4{q.to, q.to_port};
  }
  msg.iov = {&iov, 1};
  msg.flags = MSG_DONTWAIT;  // the namespace must be followed while there is no room
  for (;;) {
    const auto sent = sock_sendmsg(net_, *sk_, msg);
    if (sent) break;
    if (sent.error().code == EAGAIN) {
      if (stopped()) return {};
      if (auto served = service(kMillisecond); !served) return failure(served.error().what);
      once_a_second(nullptr);
      continue;
    }
    failures_.call_failed(options_.question, payload.size(), sent.error().code);
    const std::string to = to_words(q);
    if (sent.error().is_unknown())
      return std::unexpected(
          SendFailure{fmt::format("{}: not implemented here: {}", to, net_.last_unknown()), true});
    const auto why = failures_.last();
    return failure(fmt::format(
        "{}: the send call fails with {}{}{}", to, errno_text(sent.error().code),
        why && why->stage ? fmt::format(", at {}", name(*why->stage)) : "",
        why && !why->change.empty() ? fmt::format("; to let it pass: {}", why->change) : ""));
  }
  ++datagrams_;
  bytes_ += payload.size();
  return {};
}

std::expected<void, SendFailure> Sender::run(PayloadSource& source) {
  started_ = ended_ = shown_ = net_.clock.now();
  stat_file_.publish(report(), "send");
  published_ = started_;
  const Nanos interval = options_.rate ? kSecond / static_cast<Nanos>(*options_.rate) : 0;
  const Nanos remainder = options_.rate ? kSecond % static_cast<Nanos>(*options_.rate) : 0;
  Nanos due = started_;
  Nanos parts = 0;                 // of the next nanosecond, in units of 1/rate
  constexpr unsigned kBatch = 64;  // datagrams between two looks at the clock and the namespace
  unsigned in_batch = 0;
  std::expected<void, SendFailure> result;
  while (result && !stopped()) {
    const auto next = source.next();
    if (!next) {
      result = failure(next.error().what);
      break;
    }
    if (*next == Next::end) break;
    if (*next == Next::wait) {
      if (auto served = service(kSecond, source.fd()); !served)
        result = failure(served.error().what);
      once_a_second(&source);
      due = std::max(due, net_.clock.now() - kSecond / 10);
      continue;
    }
    while (options_.rate && result && !stopped()) {
      const Nanos now = net_.clock.now();
      if (now >= due) break;
      in_batch = 0;
      if (auto served = service(due - now); !served) result = failure(served.error().what);
      once_a_second(&source);
    }
    if (!result || stopped()) break;
    result = send_one(source.payload());
    if (!result) break;
    if (auto waited = wait_for_neighbours(); !waited) result = failure(waited.error().what);
    if (options_.rate) {
      due += interval;
      parts += remainder;
      if (parts >= static_cast<Nanos>(*options_.rate)) {
        parts -= static_cast<Nanos>(*options_.rate);
        ++due;
      }
      // After a wait the rest goes at the rate asked for, not in one burst.
      constexpr Nanos kCatchUp = kSecond / 10;
      if (const Nanos now = net_.clock.now(); now - due > kCatchUp) due = now;
    }
    if (++in_batch >= kBatch) {
      in_batch = 0;
      if (auto served = service(0); !served) result = failure(served.error().what);
      once_a_second(&source);
    }
  }
  interrupted_ = stopped();
  if (auto drained = drain(); !drained && result) result = failure(drained.error().what);
  ended_ = net_.clock.now();
  if (showing_) fmt::print(stderr, "\r\x1b[K");
  if (traces_) traces_->emit();
  note_drops();
  stat_file_.publish(report(), "send");
  return result;
}

Result<void> Sender::drain() {
  const Nanos until = net_.clock.now() + kDrain;
  const sig_atomic_t before = stop_signals;  // a second Ctrl-C ends the waiting too
  while (net_.totals().queued > 0 && net_.clock.now() < until && stop_signals == before) {
    if (auto served = service(until - net_.clock.now()); !served) return served;
    once_a_second(nullptr);
  }
  return {};
}

void Sender::once_a_second(const PayloadSource* source) {
  const Nanos now = net_.clock.now();
  if (now - published_ >= kSecond) {
    if (traces_) traces_->emit();
    note_drops();
    stat_file_.publish(report(), "send");
    published_ = now;
  }
  constexpr Nanos kShow = kSecond / 5;
  if (now - started_ < kSecond || now - shown_ < kShow || ::isatty(STDERR_FILENO) != 1) return;
  shown_ = now;
  showing_ = true;
  const double seconds = static_cast<double>(now - started_) / static_cast<double>(kSecond);
  std::string of;
  if (source != nullptr)
    if (const auto total = source->total(); total && *total > 0)
      of = fmt::format(" of {} ({}%)", *total, datagrams_ * 100 / *total);
  fmt::print(stderr, "\rsent {}{} datagrams, {:.0f} a second, {} waiting\x1b[K", datagrams_, of,
             static_cast<double>(datagrams_) / seconds, net_.totals().queued);
}

// Lines go out as they come: standard output, or standard error where that is one object.
class TracePrinter final : public TraceSink {
 public:
  explicit TracePrinter(bool json) : json_(json), to_(json ? stderr : stdout) {}
  void write(const TracedPacket& packet) override {
    const std::string lines = json_ ? trace_json_lines(packet) : trace_text(packet);
    std::fwrite(lines.data(), 1, lines.size(), to_);
    std::fflush(to_);
  }
  Result<void> close() override { return {}; }

 private:
  const bool json_;
  std::FILE* const to_;
};

Result<void> Sender::open_traces() {
  if (options_.latency != LatencyMode::off) net_.measure_latency(options_.latency);
  if (!options_.record.empty()) {
    auto recorder = Recorder::open(options_.record);
    if (!recorder) return fail("--record " + recorder.error().what);
    recorder_ = std::move(*recorder);
    failures_.listen([this](const Failure& f, std::uint64_t times) {
      Record r = record_of(f, times);
      if (r.sport == 0 && kernel_port_)
        r.sport = options_.question.to6 ? kernel_port_->local6.port : kernel_port_->local.port;
      recorder_->put(std::move(r));
    });
  }
  if (options_.trace == 0) return {};
  auto log = TraceLog::open(net_, options_.trace_selection);
  if (!log) return fail("--trace-" + log.error().what);
  traces_ = std::move(*log);
  if (recorder_) traces_->add(make_record_sink(*recorder_));
  if (options_.trace_to.empty() && !recorder_)
    traces_->add(std::make_unique<TracePrinter>(options_.json));
  for (const std::string& path : options_.trace_to) {
    auto sink = make_trace_sink(path);
    if (!sink) return fail("--trace-to " + sink.error().what);
    traces_->add(std::move(*sink));
  }
  net_.trace_log = traces_.get();
  return {};
}

// What was dropped since the last look, with its cause.
void Sender::note_drops() {
  const CounterTotals now = net_.totals();
  failures_.drops(options_.question, options_.question.len.value_or(kDefaultLen), seen_, now);
  seen_ = now;
}

Result<void> Sender::finish() {
  if (traces_)
    if (auto closed = traces_->close(); !closed) return fail("--trace-to " + closed.error().what);
  if (recorder_) {
    if (auto closed = recorder_->close(); !closed) return fail("--record " + closed.error().what);
    if (const auto lost = recorder_->lost(); lost != 0)
      warn(fmt::format("--record: {} records did not fit and are lost", lost));
  }
  if (capture_)
    if (auto closed = capture_->close(); !closed) return fail("--pcap " + closed.error().what);
  return {};
}

bool Sender::all_delivered() const {
  const CounterTotals t = net_.totals();
  return t.dropped == 0 && t.queued == 0;
}

std::string Sender::waiting() const {
  const std::uint64_t queued = net_.totals().queued;
  if (queued == 0) return {};
  std::string who;
  const RcuReader reader;
  const DevNames names = dev_names(net_);
  for (const NeighSpec& n : net_.neigh->all())
    if (n.state == Nud::incomplete)
      who += fmt::format("{}{}", who.empty() ? ": " : "; ", ip_text(n, names));
  return fmt::format("{} packet{} still queued{}", queued, queued == 1 ? "" : "s", who);
}

std::string Sender::summary() const {
  const double seconds = static_cast<double>(ended_ - started_) / static_cast<double>(kSecond);
  return fmt::format(
      "sent {} datagrams, {} bytes, in {:.3f} s{}{}", datagrams_, bytes_, seconds,
      seconds > 0 ? fmt::format(", {:.0f} a second", static_cast<double>(datagrams_) / seconds)
                  : "",
      interrupted_ ? ", interrupted" : "");
}

Json Sender::report() {
  Json j = stat_report(net_);
  const Nanos end = ended_ > started_ ? ended_ : net_.clock.now();
  j["send"] = Json{{"datagrams", datagrams_},
                   {"bytes", bytes_},
                   {"seconds", static_cast<double>(end - started_) / static_cast<double>(kSecond)},
                   {"interrupted", interrupted_}};
  if (Json failures = failures_.json(); !failures.empty()) j["failures"] = std::move(failures);
  return j;
}

}  // namespace txp::cli
