// SPDX-License-Identifier: Apache-2.0
// Forwarding databases of bridges and VXLANs (`bridge fdb`). Kernel twins: net/bridge/br_fdb.c;
// drivers/net/vxlan/vxlan_core.c (struct vxlan_fdb), whose remotes are an entry each.
//
// Nothing is learnt here: entries are the kernel's, by import and by following its notifications.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "base/rcu.h"
#include "wire/ip4.h"

namespace txp {

class Net;

// Where a VXLAN sends what an entry is for (struct vxlan_rdst).
struct VxlanRdst {
  Ip4 dst{};                     // zero: none
  bool ipv6 = false;             // an IPv6 address, which is not kept
  std::uint16_t port = 0;        // 0: the device's
  std::uint32_t vni = kSameVni;  // kSameVni: the device's
  int ifindex = 0;               // 0: any
  std::uint32_t nexthop_id = 0;  // a group of `ip nexthop` instead; 0: none
  static constexpr std::uint32_t kSameVni = ~std::uint32_t{0};
  friend bool operator==(const VxlanRdst&, const VxlanRdst&) = default;
};

struct FdbEntry {
  int table = 0;  // ifindex of the bridge or VXLAN
  MacAddr lladdr;
  std::uint16_t vlan = 0;
  int port = 0;                       // ifindex; the bridge's own for its own addresses
  std::uint8_t flags = 0;             // NTF_*
  std::uint16_t state = 0;            // NUD_*
  std::optional<VxlanRdst> remote{};  // of a VXLAN's

  // Of a VXLAN's entries those for groups, and for what no other one is for (no address), may have
  // several remotes.
  bool same_key(const FdbEntry& o) const {
    if (table != o.table || lladdr != o.lladdr || vlan != o.vlan) return false;
    const bool several = remote && ((lladdr.bytes[0] & 1) != 0 || lladdr == MacAddr{});
    return !several || remote == o.remote;
  }
};

// Readers: inside an RcuReader. Writers: with net.rtnl held.
class Fdb {
 public:
  explicit Fdb(Net& net) : net_(net) {}
  ~Fdb();
  Fdb(const Fdb&) = delete;
  Fdb& operator=(const Fdb&) = delete;

  // br_fdb_find_rcu(): null when there is none.
  const FdbEntry* find(int table, const MacAddr& lladdr, std::uint16_t vlan) const;
  // A VXLAN's entries for an address, one a remote, in the kernel's order; empty: none.
  std::vector<const FdbEntry*> find_all(int table, const MacAddr& lladdr) const;

  void set(const FdbEntry& entry);
  void remove(const FdbEntry& entry);
  // Exactly these.
  void set_all(const std::vector<FdbEntry>& entries);

 private:
  using Bucket = std::vector<FdbEntry>;
  static constexpr std::size_t kBuckets = 256;
  static std::size_t bucket_of(int table, const MacAddr& lladdr);
  static void put(Bucket& bucket, const FdbEntry& entry);
  void publish(std::size_t i, Bucket bucket);

  Net& net_;
  std::array<RcuPtr<const Bucket>, kBuckets> buckets_;
};

}  // namespace txp
