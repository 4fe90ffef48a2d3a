// SPDX-License-Identifier: Apache-2.0
#include "run/devices.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/capability.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>

#include "dev/netdevice.h"
#include "drivers/af_packet.h"
#include "drivers/af_packet_bulk.h"
#include "drivers/af_xdp.h"
#include "drivers/bell.h"
#include "drivers/registry.h"
#include "drivers/stacked.h"
#include "net.h"
#include "netfilter/nf_hook.h"
#include "netfilter/nft_program.h"
#include "sched/clsact.h"
#include "softirq/net_tx_action.h"

namespace txp {
namespace {

constinit thread_local bool engine_thread = false;
constinit thread_local bool transmitting_thread = false;

// Disciplines that only order what is sent now. Any other keeps an account (of a rate, of flows)
// that the kernel's senders share: two accounts would be twice the rate.
bool is_private_matter(std::string_view kind) {
  static constexpr std::string_view kKinds[] = {"noqueue", "pfifo_fast", "pfifo", "bfifo", "mq"};
  return std::ranges::find(kKinds, kind) != std::end(kKinds);
}

// A frame that comes to `lo` from outside is a martian, but in a namespace that allows both.
bool takes_ours(const NetDevice& lo) {
  const auto& conf = lo.in_dev().conf;
  return conf.route_localnet && conf.accept_local;
}

// VLANs and bridges stay the kernel's: its forwarding database and what counts on the way are its
// own. A macvlan only passes frames on.
bool stays_below(const NetDevice& dev) {
  return is_stacked(dev.link()) && dev.link().kind != "macvlan";
}

// Devices that the engine can put frames on: the last one before the wire. `lo` is the kernel's,
// but for tests (--strict).
bool last_before_wire(const NetDevice& dev, bool strict) {
  if ((dev.flags() & kIffLoopback) != 0) return strict && takes_ours(dev);
  return dev.unknown_kind.get() == nullptr && !stays_below(dev);
}

std::string why_not(const NetDevice& dev) {
  if (const std::string* kind = dev.unknown_kind.get(); kind != nullptr)
    return dev.name() + ": " + *kind;
  if (stays_below(dev)) return dev.name() + ": a " + dev.link().kind + " stays the kernel's";
  return dev.name() + ": not seen yet";
}

bool has_capability(unsigned cap) {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[2] = {};
  return ::syscall(SYS_capget, &header, data) == 0 && (data[0].effective & (1U << cap)) != 0;
}

// Keeps a driver to the threads whose descriptor table holds its sockets: the program's with
// `sync`, the transmitting one with `async`.
class OwnThreads final : public Driver {
 public:
  OwnThreads(std::unique_ptr<Driver> inner, Doorbell doorbell)
      : inner_(std::move(inner)), sync_(doorbell == Doorbell::sync) {}
  DriverFeatures features() const override { return inner_->features(); }
  NetdevTx ndo_start_xmit(Net& net, NetDevice& dev, unsigned queue, SkbPtr& skb,
                          bool more) override {
    if (sync_ && engine_thread) return NetdevTx::busy;
    return inner_->ndo_start_xmit(net, dev, queue, skb, more);
  }
  std::size_t poll(Net& net, NetDevice& dev, std::size_t budget) override {
    const bool may = sync_ ? !engine_thread : transmitting_thread;
    return may ? inner_->poll(net, dev, budget) : 0;
  }
  std::vector<std::pair<std::string, std::uint64_t>> stats() const override {
    return inner_->stats();
  }

 private:
  std::unique_ptr<Driver> inner_;
  const bool sync_;
};

}  // namespace

bool may_send_frames() { return has_capability(CAP_NET_RAW); }
bool may_see_policy() { return has_capability(CAP_NET_ADMIN); }

std::string grant_advice() {
  return "CAP_NET_RAW; `setcap cap_net_raw,cap_net_admin=ep` on the txpath command grants it to "
         "the "
         "programs that it runs";
}

bool in_engine_thread() { return engine_thread; }
void set_in_engine_thread() { engine_thread = true; }

bool Descriptors::add(int fd) {
  for (std::atomic<int>& f : fds_) {
    int free = 0;
    if (!f.compare_exchange_strong(free, fd + 1)) continue;
    int low = lowest_.load();
    while (fd < low && !lowest_.compare_exchange_weak(low, fd)) continue;
    return true;
  }
  return false;
}

void Descriptors::remove(int fd) {
  for (std::atomic<int>& f : fds_) {
    int mine = fd + 1;
    if (f.compare_exchange_strong(mine, 0)) return;
  }
}

std::vector<int> Descriptors::all() const {
  std::vector<int> all;
  for (const std::atomic<int>& f : fds_)
    if (const int fd = f.load() - 1; fd >= 0) all.push_back(fd);
  std::ranges::sort(all);
  return all;
}

int Descriptors::floor() {
  constexpr int kSelect = 1024;  // FD_SETSIZE
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return 0;
  const auto most = static_cast<int>(std::min<rlim_t>(limit.rlim_cur, 1 << 20));
  if (most > kSelect + static_cast<int>(kMost)) return kSelect;
  return std::max(most - 2 * static_cast<int>(kMost), most / 2);
}

RunDevices::Entry* RunDevices::find(int ifindex) const {
  for (Entry& e : entries_) {
    const int here = e.ifindex.load(std::memory_order_acquire);
    if (here == ifindex) return &e;
    if (here == 0) return nullptr;
  }
  return nullptr;
}

std::string RunDevices::kind_for(const std::string& dev) const {
  const auto own = options_.devices.find(dev);
  return own != options_.devices.end() ? own->second : options_.device;
}

void RunDevices::review() {
  const std::lock_guard guard(mutex_);
  const std::lock_guard rtnl(net_.rtnl);
  for (const NetDevice* dev : net_.dev->all()) {
    Entry* e = find(dev->ifindex);
    const bool fresh = e == nullptr || e->name != dev->name();
    if (e == nullptr) {
      if (!last_before_wire(*dev, options_.strict) || !dev->is_up()) continue;
      const auto free =
          std::ranges::find_if(entries_, [](const Entry& x) { return x.ifindex == 0; });
      if (free == entries_.end()) continue;  // stays with the kernel
      e = &*free;
    }
    if (fresh) e->name = dev->name();
    const auto shared = std::ranges::find_if(
        dev->qdiscs, [](const auto& q) { return !is_private_matter(q->spec.kind); });
    if (e->driver != dev->driver.get()) {
      e->driver = nullptr;
      e->kind.clear();
      if (e->state != State::failed || fresh) become(*e, State::none);
    }
    if (e->state == State::usable && e->queues != dev->link().real_num_tx_queues) {
      e->why = e->name + ": its queues were changed";
      e->reason = Fallback::DEVICE;
      become(*e, State::failed);
    }
    const State now = e->state.load(std::memory_order_relaxed);
    if (shared != dev->qdiscs.end()) {
      e->why = (*shared)->spec.text;
      become(*e, State::shaper);
    } else if (now == State::none || now == State::shaper) {
      // A driver that was there before the shaper came is still there.
      become(*e, e->kind.empty() ? State::wanted : State::usable);
      if (e->kind.empty()) wanted_.store(true, std::memory_order_release);
    }
    e->ifindex.store(dev->ifindex, std::memory_order_release);
  }
}

void RunDevices::become(Entry& e, State state) {
  if (e.state.exchange(state, std::memory_order_acq_rel) != state)
    net_.generations.changed(Basis::link);
}

void RunDevices::attach() {
  const std::lock_guard guard(mutex_);
  wanted_.store(false, std::memory_order_release);
  for (Entry& e : entries_)
    if (e.ifindex != 0 && e.state == State::wanted) attach(e);
}

void RunDevices::attach(Entry& e) {
  const auto give_up = [this, &e](Fallback reason, std::string why) {
    e.reason = reason;
    e.why = std::move(why);
    become(e, State::failed);
  };
  const std::string kind = kind_for(e.name);
  if (kind == kKernelDevice) return give_up(Fallback::DEVICE, e.name + ": by --device");
  const std::lock_guard rtnl(net_.rtnl);
  NetDevice* dev = net_.dev->by_index(e.ifindex);
  if (dev == nullptr) return become(e, State::none);
  std::vector<int> fds;
  Result<std::unique_ptr<Driver>> driver = fail("");
  std::string chosen = kind;
  std::string passed;  // why not the better ones
  if (!kind.empty()) {
    driver = open(*dev, kind, fds);
  } else {
    // Where datagrams may share a frame AF_PACKET is the faster one by far.
    const bool bulk = (options_.doorbell == Doorbell::async && options_.bulk) ||
                      (dev->flags() & kIffLoopback) != 0;
    for (const char* next : {bulk ? "af_packet" : "af_xdp", bulk ? "af_xdp" : "af_packet"}) {
      if (driver) break;
      if (!driver.error().what.empty()) passed = driver.error().what;
      driver = open(*dev, chosen = next, fds);
    }
  }
  if (!driver) {
    const bool privilege = driver.error().what.find("CAP_NET_RAW") != std::string::npos;
    return give_up(privilege ? Fallback::PRIVILEGE : Fallback::DEVICE,
                   privilege ? grant_advice() : driver.error().what);
  }
  if (options_.doorbell == Doorbell::sync)
    for (const int fd : fds) descriptors_.add(fd);
  driver = std::make_unique<OwnThreads>(std::move(*driver), options_.doorbell);
  e.why = passed;
  net_.dev->attach(*dev, std::move(*driver));
  e.kind = chosen;
  e.queues = dev->link().real_num_tx_queues;
  e.driver = dev->driver.get();
  become(e, State::usable);
}

Result<std::unique_ptr<Driver>> RunDevices::open(const NetDevice& dev, const std::string& kind,
                                                 std::vector<int>& fds) {
  const bool async = options_.doorbell == Doorbell::async;
  const int floor = async ? 0 : Descriptors::floor();
  if (kind == "af_xdp" || kind == "af_xdp_zc")
    return make_af_xdp(dev, {.zero_copy = kind == "af_xdp_zc",
                             .min_fd = floor,
                             .fds = &fds,
                             .bell = async ? &bell_ : nullptr});
  if (kind == "af_packet" && async)
    return make_af_packet_bulk(dev, bell_, {.merge = options_.bulk});
  if (kind == "af_packet") return make_af_packet(dev, {.min_fd = floor, .fds = &fds});
  return make_driver(net_, dev, kind);
}

std::size_t RunDevices::transmit() {
  transmitting_thread = true;
  std::size_t done = 0;
  const RcuReader reader;
  for (const Entry& e : entries_) {
    const int ifindex = e.ifindex.load(std::memory_order_acquire);
    if (ifindex == 0) break;
    const void* driver = e.driver.load(std::memory_order_acquire);
    if (driver == nullptr) continue;
    NetDevice* dev = net_.dev->by_index(ifindex);
    if (dev != nullptr && dev->driver.get() == driver) done += dev->driver->poll(net_, *dev, 64);
  }
  return done + net_tx_action(net_);
}

std::optional<RunDevices::Refusal> RunDevices::refuse(const NetDevice& dev) const {
  if (const auto* filters = dev.egress_filters.get(); filters != nullptr) [[unlikely]]
    return Refusal{Fallback::EGRESS_FILTER, {"filter", filters->front().text}};
  // The engine could run these, but what they count and police is the kernel's.
  if (const Clsact* clsact = dev.clsact.get(); clsact != nullptr && !clsact->specs.empty())
      [[unlikely]]
    return Refusal{Fallback::EGRESS_FILTER, {"filter", clsact->specs.front().text}};
  if (const NfEgress* egress = dev.nf_egress.get(); egress != nullptr) [[unlikely]]
    return Refusal{
        Fallback::EGRESS_FILTER,
        {"nft-chain", egress->chains.empty() ? "" : egress->chains.front()->object.text}};
  const Entry* e = find(dev.ifindex);
  if (e != nullptr && e->state.load(std::memory_order_acquire) == State::usable &&
      e->driver.load(std::memory_order_relaxed) == dev.driver.get()) [[likely]]
    return std::nullopt;
  const std::lock_guard guard(mutex_);
  if (e == nullptr) return Refusal{Fallback::DEVICE, {"device", why_not(dev)}};
  if (e->state == State::shaper) return Refusal{Fallback::SHAPER, {"qdisc", e->why}};
  return Refusal{e->reason, {"device", e->why.empty() ? e->name : e->why}};
}

bool RunDevices::settle(std::int64_t nanos) {
  const auto waits = [](const NetDevice& dev) {
    if (dev.driver_waiting.load(std::memory_order_relaxed) > 0) return true;
    return std::ranges::any_of(dev.tx, [](const auto& q) { return q->qdisc->qlen() > 0; });
  };
  const auto left = [&] {
    for (const Entry& e : entries_) {
      const int ifindex = e.ifindex.load(std::memory_order_acquire);
      if (ifindex == 0) return false;
      if (e.state.load(std::memory_order_acquire) != State::usable) continue;
      NetDevice* dev = net_.dev->by_index(ifindex);
      if (dev == nullptr || !waits(*dev)) continue;
      (void)dev->driver->poll(net_, *dev, 64);
      (void)net_tx_action(net_);
      if (waits(*dev)) return true;
    }
    return false;
  };
  const RcuReader reader;
  if (!left()) [[likely]]
    return true;
  const Nanos until = net_.clock.now() + nanos;
  while (left()) {
    if (net_.clock.now() >= until) return false;
    ::poll(nullptr, 0, 1);
  }
  return true;
}

std::vector<RunDevices::Told> RunDevices::told() const {
  const std::lock_guard guard(mutex_);
  std::vector<Told> all;
  for (const Entry& e : entries_) {
    if (e.ifindex == 0) break;
    const State s = e.state;
    all.push_back({e.name, s == State::usable ? e.kind : "", e.why});
  }
  return all;
}

std::string RunDevices::kind_of(int ifindex) const {
  const Entry* e = find(ifindex);
  if (e == nullptr) return {};
  const std::lock_guard guard(mutex_);
  return e->kind;
}

}  // namespace txp
