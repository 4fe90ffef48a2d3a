// SPDX-License-Identifier: Apache-2.0
// Forwarding databases of bridges (`bridge fdb`). Kernel twin: net/bridge/br_fdb.c.
//
// Nothing is learnt here: entries are the kernel's, by import and by following its notifications.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "base/rcu.h"
#include "wire/ip4.h"

namespace txp {

class Net;

struct FdbEntry {
  int table = 0;  // ifindex of the bridge
  MacAddr lladdr;
  std::uint16_t vlan = 0;
  int port = 0;             // ifindex; the bridge's own for its own addresses
  std::uint8_t flags = 0;   // NTF_*
  std::uint16_t state = 0;  // NUD_*

  bool same_key(const FdbEntry& o) const {
    return table == o.table && lladdr == o.lladdr && vlan == o.vlan;
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
