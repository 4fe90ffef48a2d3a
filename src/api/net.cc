// SPDX-License-Identifier: Apache-2.0
// txpath::Net over txp::Net: opening, polling, counting. Configuration by code is in configure.cc,
// taps are in taps.cc.
#include "txpath/net.h"

#include <unistd.h>

#include <random>

#include "api/net_impl.h"
#include "dev/netdevice.h"
#include "drivers/pair.h"
#include "drivers/registry.h"
#include "mirror/import.h"
#include "mirror/snapshot.h"
#include "path.h"
#include "socket/sock.h"

namespace txpath {
namespace {

std::uint64_t random_seed() {
  std::random_device device;
  return (std::uint64_t{device()} << 32) | device();
}

}  // namespace

Net::Net(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Net::Net(Net&&) noexcept = default;
Net& Net::operator=(Net&&) noexcept = default;
Net::~Net() = default;

Result<Net> Net::open(const std::string& netns) {
  auto impl = std::make_unique<Impl>(random_seed());
  txp::ImportOptions options;
  options.netns = netns;
  auto live = txp::Live::open(impl->net, options);
  if (!live) return std::unexpected(Error{live.error().what});
  impl->live = std::move(*live);
  impl->warnings = impl->live->report().warnings;
  return Net(std::move(impl));
}

Result<Net> Net::load(const std::string& path) {
  auto impl = std::make_unique<Impl>(random_seed());
  auto report = txp::load_snapshot(impl->net, path);
  if (!report) return std::unexpected(Error{report.error().what});
  impl->warnings = report->warnings;
  return Net(std::move(impl));
}

Net Net::create(std::uint64_t seed) {
  auto impl = std::make_unique<Impl>(seed);
  txp::Link lo;
  lo.ifindex = 1;
  lo.name = "lo";
  lo.type = 772;  // ARPHRD_LOOPBACK
  lo.flags = txp::kIffUp | txp::kIffLoopback | txp::kIffRunning | txp::kIffLowerUp;
  lo.mtu = 65536;
  lo.qdisc = "noqueue";
  lo.address = {};
  lo.broadcast = {};
  {
    const std::lock_guard guard(impl->net.rtnl);
    impl->net.dev->set_link(lo);
  }
  Net net(std::move(impl));
  static_cast<void>(net.add_address("lo", "127.0.0.1/8"));
  return net;
}

Result<void> Net::attach(const std::string& dev, const std::string& driver) {
  txp::Net& net = impl_->net;
  const std::lock_guard guard(net.rtnl);
  txp::NetDevice* device = net.dev->by_name(dev);
  if (device == nullptr) return std::unexpected(Error{"no device " + dev});
  auto made = txp::make_driver(net, *device, driver);
  if (!made) return std::unexpected(Error{made.error().what});
  net.dev->attach(*device, std::move(*made));
  return {};
}

Result<void> Net::join(Net& a, const std::string& dev_a, Net& b, const std::string& dev_b) {
  txp::NetDevice* in_a = a.impl_->net.dev->by_name(dev_a);
  if (in_a == nullptr) return std::unexpected(Error{"no device " + dev_a});
  txp::NetDevice* in_b = b.impl_->net.dev->by_name(dev_b);
  if (in_b == nullptr) return std::unexpected(Error{"no device " + dev_b});
  auto [end_a, end_b] = txp::make_pair_drivers();
  {
    const std::lock_guard guard(a.impl_->net.rtnl);
    a.impl_->net.dev->attach(*in_a, std::move(end_a));
  }
  const std::lock_guard guard(b.impl_->net.rtnl);
  b.impl_->net.dev->attach(*in_b, std::move(end_b));
  return {};
}

SockResult<UdpSocket> Net::udp_socket() {
  txp::Sock* sk = txp::inet_create(impl_->net, ::geteuid());
  if (sk == nullptr) return std::unexpected(Errno{ENOMEM});
  return UdpSocket(sk);
}

std::size_t Net::poll() {
  std::size_t done = 0;
  if (impl_->live) {
    if (auto pumped = impl_->live->pump())
      done += *pumped;
    else
      impl_->warnings.push_back(pumped.error().what);
  }
  return done + impl_->net.poll();
}

bool Net::drain(std::int64_t timeout_ns) {
  const txp::Nanos until = impl_->net.clock.now() + timeout_ns;
  for (;;) {
    const std::size_t done = poll();
    if (impl_->net.totals().queued == 0) return true;
    if (impl_->net.clock.now() >= until) return false;
    if (done == 0) ::usleep(200);  // drivers are polled, not interrupts
  }
}

void Net::set_flying(bool on) { impl_->net.plans.store(on, std::memory_order_relaxed); }

Stats Net::stats() const {
  const txp::CounterTotals t = impl_->net.totals();
  Stats stats;
  for (const txp::StageInfo& info : txp::kPath) {
    const auto& s = t.stages[static_cast<std::size_t>(info.stage)];
    StageStats out{info.name, s.packets, s.bytes, {}};
    for (std::size_t r = 0; r < txp::kDropReasonCount; ++r)
      if (s.drops[r] != 0) out.drops.emplace_back(txp::kDropReasons[r].name, s.drops[r]);
    stats.stages.push_back(std::move(out));
  }
  for (std::size_t i = 0; i < txp::kSnmpCount; ++i)
    stats.snmp.emplace_back(
        std::string(txp::kSnmp[i].group) + "." + std::string(txp::kSnmp[i].name), t.snmp[i]);
  stats.sent = t.sent;
  stats.delivered = t.delivered;
  stats.dropped = t.dropped;
  stats.queued = t.queued;
  stats.walked = t.walked;
  stats.flown = t.flown;
  return stats;
}

std::vector<std::string> Net::warnings() const { return impl_->warnings; }

std::string Net::last_unknown() const { return impl_->net.last_unknown(); }

}  // namespace txpath
