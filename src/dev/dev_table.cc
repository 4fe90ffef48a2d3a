// SPDX-License-Identifier: Apache-2.0
// The devices of a Net by index and by name, published by RCU.
// Kernel twin: net/core/dev.c (register_netdevice(), unregister_netdevice(), __dev_close()).
//
// Differs: a device is known to the engine when it is the last one before the wire (hardware, veth,
// TAP and their like) or one that sends through another (drivers/stacked.h). Bonds, VRFs and other
// tunnels are marked with `unknown_kind`, and dev_queue_xmit() answers unknown there. A port of a
// bridge, bond or team sends as a plain device does; a port of a VRF is routed by the VRF's table,
// so it is unknown too. Drops: what waits on a device that goes down or away (QUEUE_PURGE;
// neighbours: NEIGH_FAILED).
#include <algorithm>
#include <map>
#include <utility>

#include "dev/netdevice.h"
#include "drivers/null.h"
#include "drivers/stacked.h"
#include "neigh/neighbour.h"
#include "net.h"
#include "netfilter/nf_hook.h"
#include "route/fib.h"
#include "sched/clsact.h"
#include "sched/registry.h"

namespace txp {
namespace {

constexpr std::uint16_t kArphrdEther = 1;
constexpr std::uint16_t kArphrdLoopback = 772;
constexpr std::uint16_t kArphrdNone = 0xfffe;

bool last_device(const Link& link) {
  if ((link.flags & kIffLoopback) != 0) return link.type == kArphrdLoopback;
  static constexpr std::string_view kKinds[] = {"", "veth", "ifb", "tun", "dummy", "netdevsim"};
  if (link.type == kArphrdEther) return std::ranges::find(kKinds, link.kind) != std::end(kKinds);
  return link.type == kArphrdNone && link.kind == "tun";
}

// A device whose driver hands on to another device of this namespace.
bool stacked_here(const Link& link) {
  return is_stacked(link) && !link.peer_in_other_netns && stacked_unknown(link).empty();
}

}  // namespace

struct DevTable::Map {
  std::vector<NetDevice*> devices;  // by ifindex
  std::vector<NetDevice*> direct;   // small indices, the common case, without a search
  std::map<std::string, NetDevice*, std::less<>> by_name;
  NetDevice* loopback = nullptr;
};

NetDevice::~NetDevice() {
  delete link_.set(nullptr);
  delete in_dev_.set(nullptr);
  delete in6_dev_.set(nullptr);
  delete taps.set(nullptr);
  delete unknown_kind.set(nullptr);
  delete egress_filters.set(nullptr);
  delete nf_egress.set(nullptr);
  delete clsact.set(nullptr);
}

DevTable::DevTable(Net& net) : net_(net), map_(new Map), noop_(make_noop()) {}

DevTable::~DevTable() {
  // Nothing sends any more: what waits is purged, and scheduled disciplines let go of themselves.
  for (const auto& dev : owned_) {
    dev_deactivate(*dev);
    for (const auto& txq : dev->tx) net_.timers.del(txq->watchdog);
  }
  for (Qdisc* q = std::exchange(net_.output_queue.head, nullptr); q != nullptr;) {
    Qdisc* next = q->next_sched;
    q->sched_ref.reset();
    q = next;
  }
  owned_.clear();
  delete map_.set(nullptr);
}

NetDevice* DevTable::by_index(int ifindex) const {
  const Map& map = *map_;
  const auto i = static_cast<std::size_t>(ifindex);
  if (i < map.direct.size()) return map.direct[i];
  const auto it = std::ranges::lower_bound(map.devices, ifindex, {}, &NetDevice::ifindex);
  return it != map.devices.end() && (*it)->ifindex == ifindex ? *it : nullptr;
}

NetDevice* DevTable::by_name(std::string_view name) const {
  const auto it = map_->by_name.find(name);
  return it == map_->by_name.end() ? nullptr : it->second;
}

const std::vector<NetDevice*>& DevTable::all() const { return map_->devices; }
NetDevice* DevTable::loopback() const { return map_->loopback; }

NetDevice* DevTable::owned(int ifindex) const {
  for (const auto& dev : owned_)
    if (dev->ifindex == ifindex) return dev.get();
  return nullptr;
}

void DevTable::publish_map() {
  constexpr int kDirect = 1024;
  auto* map = new Map;
  for (const auto& dev : owned_) {
    map->devices.push_back(dev.get());
    map->by_name[dev->name()] = dev.get();
    if ((dev->flags() & kIffLoopback) != 0 && map->loopback == nullptr) map->loopback = dev.get();
    if (dev->ifindex > 0 && dev->ifindex < kDirect) {
      const auto i = static_cast<std::size_t>(dev->ifindex);
      if (map->direct.size() <= i) map->direct.resize(i + 1);
      map->direct[i] = dev.get();
    }
  }
  net_.retired.retire(map_.set(map));
  net_.generations.changed(Basis::link);
}

NetDevice& DevTable::set_link(const Link& link) {
  NetDevice* dev = owned(link.ifindex);
  if (dev == nullptr) {
    auto made = std::make_unique<NetDevice>();
    dev = made.get();
    dev->ifindex = link.ifindex;
    (void)dev->link_.set(new Link(link));
    (void)dev->in_dev_.set(new InDevice);
    (void)dev->in6_dev_.set(new Inet6Dev);
    for (unsigned i = 0; i < std::max(link.num_tx_queues, 1U); ++i) {
      auto txq = std::make_unique<TxQueue>();
      txq->dev = dev;
      txq->index = i;
      txq->qdisc_sleeping = noop_;
      (void)txq->qdisc.set(noop_.get());
      dev->tx.push_back(std::move(txq));
    }
    attach(*dev, make_default_driver(link));
    if (!everywhere_.empty()) publish_taps(*dev, everywhere_);
    const auto place = std::ranges::upper_bound(owned_, link.ifindex, {},
                                                [](const auto& d) { return d->ifindex; });
    owned_.insert(place, std::move(made));
    publish_map();
    if ((link.flags & kIffUp) != 0) dev_activate(*dev);
  } else {
    const Link old = dev->link();
    net_.retired.retire(dev->link_.set(new Link(link)));
    if (old.name != link.name || ((old.flags ^ link.flags) & kIffLoopback) != 0) publish_map();
    const bool was_up = (old.flags & kIffUp) != 0;
    const bool up = (link.flags & kIffUp) != 0;
    if (was_up && !up) dev_down(*dev, false);
    if (old.txqlen != link.txqlen) change_tx_queue_len(*dev);
    if (up && link.carrier)
      dev_activate(*dev);
    else if (up)
      dev_deactivate(*dev);
  }
  judge_kind(*dev);
  // A VRF may come after its ports.
  for (const auto& port : owned_)
    if (port->link().master == link.ifindex) judge_kind(*port);
  net_.generations.changed(Basis::link);
  return *dev;
}

void DevTable::judge_kind(NetDevice& dev) {
  const Link& link = dev.link();
  std::string what;
  if (!last_device(link) && !stacked_here(link)) {
    what = link.kind.empty() ? "ARPHRD type " + std::to_string(link.type) : link.kind;
    what += " " + link.name;
    if (is_stacked(link)) {
      const std::string why = stacked_unknown(link);
      what += link.peer_in_other_netns ? " on a device of another namespace"
              : why.empty()            ? ""
                                       : " (" + why + ")";
    }
  } else if (link.master != 0) {
    const NetDevice* master = owned(link.master);
    if (master != nullptr && master->link().kind == "vrf")
      what = "vrf " + master->name() + " master of " + link.name;
  }
  const std::string* now = dev.unknown_kind.get();
  if (now == nullptr ? what.empty() : *now == what) return;
  net_.retired.retire(dev.unknown_kind.set(what.empty() ? nullptr : new std::string(what)));
  net_.generations.changed(Basis::link);
}

// __dev_close() and the notifiers of NETDEV_DOWN.
void DevTable::dev_down(NetDevice& dev, bool gone) {
  dev_deactivate(dev);
  net_.neigh->flush_dev(dev.ifindex);
  net_.neigh6->flush_dev(dev.ifindex);
  net_.fib->flush_dev(dev.ifindex, gone);
}

void DevTable::remove_link(int ifindex) {
  const auto it = std::ranges::find(owned_, ifindex, [](const auto& d) { return d->ifindex; });
  if (it == owned_.end()) return;
  std::unique_ptr<NetDevice> dev = std::move(*it);
  owned_.erase(it);
  publish_map();
  dev_down(*dev, true);
  graft(*dev, {});
  publish_in_dev(*dev, [](InDevice& in) { in = InDevice{}; });
  for (const auto& txq : dev->tx) net_.timers.cancel(txq->watchdog);
  net_.retired.retire(dev.release());
  for (const auto& port : owned_)
    if (port->link().master == ifindex) judge_kind(*port);
}

void DevTable::attach(NetDevice& dev, std::unique_ptr<Driver> driver) {
  dev.features = driver->features();
  dev.driver = std::move(driver);
  for (const auto& txq : dev.tx) {
    txq->stopped.store(false, std::memory_order_relaxed);
    netdev_tx_reset_queue(net_, *txq);
  }
  net_.generations.changed(Basis::link);
}

void DevTable::publish_taps(NetDevice& dev, std::vector<Tap*> taps) {
  auto* next = taps.empty() ? nullptr : new std::vector<Tap*>(std::move(taps));
  net_.retired.retire(dev.taps.set(next));
  net_.generations.changed(Basis::link);
}

void DevTable::add_tap(NetDevice* dev, Tap* tap) {
  if (dev == nullptr) everywhere_.push_back(tap);
  for (const auto& d : owned_) {
    if (dev != nullptr && d.get() != dev) continue;
    std::vector<Tap*> taps;
    if (const auto* now = d->taps.get()) taps = *now;
    taps.push_back(tap);
    publish_taps(*d, std::move(taps));
  }
}

void DevTable::remove_tap(Tap* tap) {
  std::erase(everywhere_, tap);
  for (const auto& d : owned_) {
    const auto* now = d->taps.get();
    if (now == nullptr || std::ranges::find(*now, tap) == now->end()) continue;
    std::vector<Tap*> taps = *now;
    std::erase(taps, tap);
    publish_taps(*d, std::move(taps));
  }
  net_.retired.flush();
}

std::uint64_t DevTable::queued() const {
  std::uint64_t n = 0;
  for (const NetDevice* dev : all()) {
    n += dev->driver_waiting.load(std::memory_order_relaxed);
    const Qdisc* last = nullptr;  // one discipline may serve several queues in a row
    for (const auto& txq : dev->tx) {
      const Qdisc* q = txq->qdisc.get();
      if (q != last) n += q->qlen();
      last = q;
    }
  }
  return n;
}

}  // namespace txp
