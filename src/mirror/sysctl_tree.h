// SPDX-License-Identifier: Apache-2.0
// The sysctls that change a send, as read from /proc/sys: one table of names for reading, for
// snapshots and for the Net.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/sysctl.h"

namespace txp {

class SysctlTree {
 public:
  // One value, by its path below /proc/sys ("net/ipv4/conf/va/rp_filter"); "built/hz" and its kin
  // are how the kernel was built. Errors: a value that
  // the kernel would not print. A name that the engine has no use for is ignored.
  [[nodiscard]] Result<void> set(std::string_view path, std::string_view value);

  const Sysctls& net() const { return net_; }
  const NeighGc& gc() const { return gc_; }
  const NeighGc& gc6() const { return gc6_; }
  // net.ipv6.conf.DEV and net.ipv6.neigh.DEV.
  Inet6DevConf inet6_conf(const std::string& dev) const;
  NeighParms neigh6_parms(const std::string& dev) const;
  // net.ipv4.conf.DEV with `all` folded in as the kernel's IN_DEV_*() macros do; a device of which
  // nothing is known has the values of `default`.
  InDevConf in_dev_conf(const std::string& dev) const;
  NeighParms neigh_parms(const std::string& dev) const;
  void forget_device(const std::string& dev);

  // What there is to read: paths of the namespace, names below net/ipv4/conf/DEV/ and
  // net/ipv4/neigh/DEV/.
  static std::vector<std::string> global_paths();
  static std::vector<std::string> conf_names();
  static std::vector<std::string> conf6_names();
  static std::vector<std::string> neigh_names();

 private:
  using Values = std::map<std::string, std::uint32_t, std::less<>>;
  std::uint32_t conf(const std::string& dev, std::string_view name) const;

  Sysctls net_;
  using ByDevice = std::map<std::string, Values, std::less<>>;
  static NeighParms parms_of(const ByDevice& neigh, const std::string& dev);
  NeighGc gc_;
  NeighGc gc6_;
  ByDevice conf_;
  ByDevice neigh_;
  ByDevice conf6_;
  ByDevice neigh6_;
};

}  // namespace txp
