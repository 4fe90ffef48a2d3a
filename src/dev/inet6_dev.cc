// SPDX-License-Identifier: Apache-2.0
// The IPv6 side of a device. Kernel twin: net/ipv6/addrconf.c (struct inet6_dev).
// Differs: the order of addresses is the writer's; the mirror has the kernel's.
#include "dev/netdevice.h"
#include "net.h"

namespace txp {

void DevTable::change_inet6(int ifindex, const std::function<void(Inet6Dev&)>& change) {
  NetDevice* dev = owned(ifindex);
  if (dev == nullptr) return;
  auto* next = new Inet6Dev(dev->in6_dev());
  change(*next);
  net_.retired.retire(dev->in6_dev_.set(next));
  net_.generations.changed(Basis::address);
}

}  // namespace txp
