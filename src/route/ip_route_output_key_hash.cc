// SPDX-License-Identifier: Apache-2.0
// The major route resolver. Kernel twin: net/ipv4/route.c (ip_route_output_key_hash_rcu()).
// Differs: no cache; VRF (l3mdev) devices are unknown.
#include <cerrno>

#include "dev/netdevice.h"
#include "net.h"
#include "route/ip_route.h"
#include "route/nexthop_object.h"
#include "route/output.h"

namespace txp {
namespace {

constexpr int kLoopbackIfindex = 1;  // LOOPBACK_IFINDEX
constexpr std::uint8_t kIpProtoIgmp = 2;

std::unexpected<Errno> unknown_object(OutputStory* story, std::string_view kind,
                                      const std::string& text) {
  if (story != nullptr) story->unknown = NamedObject{.kind = std::string(kind), .text = text};
  return err(kUnknown);
}

// The VRF that `dev` is or belongs to (l3mdev_master_dev_rcu()).
const NetDevice* l3mdev_of(Net& net, const NetDevice& dev) {
  if (dev.link().kind == "vrf") return &dev;
  if (dev.link().master == 0) return nullptr;
  const NetDevice* master = net.dev->by_index(dev.link().master);
  return master != nullptr && master->link().kind == "vrf" ? master : nullptr;
}

// Whether ip_dev_find() finds a device. A connected socket's datagrams ask it again and again (the
// kernel's keep their route), so the thread remembers its last answer until some table changes.
bool is_own_source(Net& net, Ip4 addr) {
  Cpu& cpu = net.this_cpu();
  const std::uint64_t epoch = net.generations.epoch();
  if (cpu.own_source == addr && cpu.own_source_epoch == epoch) return true;
  if (ip_dev_find(net, addr) == nullptr) return false;
  cpu.own_source = addr;
  cpu.own_source_epoch = epoch;
  return true;
}

Ip4 select_source(Net& net, const NetDevice* dev, std::uint8_t scope, OutputStory* story) {
  if (story != nullptr) story->source_chosen = true;
  return inet_select_addr(net, dev, {}, scope);
}

}  // namespace

SockResult<Rtable> ip_route_output_key_hash(Net& net, Flow4& fl4, FibResult& res,
                                            OutputStory* story) {
  fl4.iif = kLoopbackIfindex;
  const int orig_oif = fl4.oif;
  NetDevice* dev_out = nullptr;

  if (!fl4.saddr.is_zero()) {
    if (fl4.saddr.is_multicast() || fl4.saddr.is_lbcast()) return err(EINVAL);
    if (fl4.oif == 0 && (fl4.daddr.is_multicast() || fl4.daddr.is_lbcast())) {
      // A source address names the device of multicast and limited broadcast.
      dev_out = ip_dev_find(net, fl4.saddr);
      if (dev_out == nullptr) return err(ENETUNREACH);
      if (const NetDevice* vrf = l3mdev_of(net, *dev_out))
        return unknown_object(story, "vrf", vrf->name());
      fl4.oif = dev_out->ifindex;
      return mkroute_output(net, res, fl4, orig_oif, *dev_out, false, story);
    }
    if ((fl4.flags & kFlowAnysrc) == 0 && !is_own_source(net, fl4.saddr)) return err(ENETUNREACH);
  }

  if (fl4.oif != 0) {
    dev_out = net.dev->by_index(fl4.oif);
    if (dev_out == nullptr) return err(ENODEV);
    if (!dev_out->is_up() || !has_in_dev(*dev_out)) return err(ENETUNREACH);
    if (const NetDevice* vrf = l3mdev_of(net, *dev_out))
      return unknown_object(story, "vrf", vrf->name());
    if (fl4.daddr.is_local_multicast() || fl4.daddr.is_lbcast() || fl4.proto == kIpProtoIgmp) {
      if (fl4.saddr.is_zero()) fl4.saddr = select_source(net, dev_out, kScopeLink, story);
      return mkroute_output(net, res, fl4, orig_oif, *dev_out, false, story);
    }
    if (fl4.saddr.is_zero()) {
      if (fl4.daddr.is_multicast())
        fl4.saddr = select_source(net, dev_out, fl4.scope, story);
      else if (fl4.daddr.is_zero())
        fl4.saddr = select_source(net, dev_out, kScopeHost, story);
    }
  }

  if (fl4.daddr.is_zero()) {
    // To nobody: to ourselves.
    fl4.daddr = fl4.saddr;
    if (fl4.daddr.is_zero()) fl4.daddr = fl4.saddr = Ip4{0x7f000001};
    dev_out = net.dev->loopback();
    if (dev_out == nullptr) return err(ENETUNREACH);
    fl4.oif = dev_out->ifindex;
    res.type = RouteType::local;
    return mkroute_output(net, res, fl4, orig_oif, *dev_out, true, story);
  }

  if (const int error = fib_lookup(net, fl4, res, story != nullptr ? &story->lookup : nullptr)) {
    if (fl4.oif == 0) return err(error);
    // A device was given: the tables are only asked for a gateway, and without one the destination
    // is taken to be on the link.
    if (story != nullptr) story->on_link = true;
    FibResult on_link;
    on_link.type = RouteType::unicast;
    if (fl4.saddr.is_zero()) fl4.saddr = select_source(net, dev_out, kScopeLink, story);
    return mkroute_output(net, on_link, fl4, orig_oif, *dev_out, false, story);
  }

  if (res.type == RouteType::local) {
    const NetDevice* owner = net.dev->by_index(res.nh->oif);
    if (const NetDevice* vrf = owner != nullptr ? l3mdev_of(net, *owner) : nullptr)
      return unknown_object(story, "vrf", vrf->name());
    if (fl4.saddr.is_zero()) fl4.saddr = res.fi->prefsrc.is_zero() ? fl4.daddr : res.fi->prefsrc;
    dev_out = net.dev->loopback();
    if (dev_out == nullptr) return err(ENETUNREACH);
    fl4.oif = dev_out->ifindex;
    return mkroute_output(net, res, fl4, res.nh->oif, *dev_out, true, story);
  }

  if (!fib_select_path(net, res, fl4, story != nullptr ? &story->unknown : nullptr))
    return err(kUnknown);
  if (fl4.saddr.is_zero()) {
    if (story != nullptr) story->source_chosen = true;
    fl4.saddr = fib_result_prefsrc(net, res);
  }
  dev_out = net.dev->by_index(res.nh->oif);
  if (dev_out == nullptr) return err(ENETUNREACH);
  if (const NetDevice* vrf = l3mdev_of(net, *dev_out))
    return unknown_object(story, "vrf", vrf->name());
  return mkroute_output(net, res, fl4, orig_oif, *dev_out, false, story);
}

}  // namespace txp
