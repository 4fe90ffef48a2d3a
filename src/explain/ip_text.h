// SPDX-License-Identifier: Apache-2.0
// Objects in the words of `ip` and `tc` (iproute2 6.x, without -N): what people and scripts know.
#pragma once

#include <functional>
#include <string>

#include "dev/fdb.h"
#include "dev/link.h"
#include "neigh/neigh_spec.h"
#include "observe/trace.h"
#include "route/fib_rules.h"
#include "route/route.h"
#include "route/route6.h"

namespace txp {

class Net;

// The name of an interface: ifindex to "va"; "" for one that is not known ("if7" is printed).
using DevNames = std::function<std::string(int ifindex)>;
// The names of a Net's devices. Inside an RcuReader, or with net.rtnl held.
DevNames dev_names(const Net& net);

// `ip -o route show`, on one line, without the table ("10.77.0.0/24 dev va proto kernel scope link
// src 10.77.0.1").
std::string ip_text(const Route& route, const DevNames& names);
// `ip rule`, without the priority ("from all lookup main").
std::string ip_text(const FibRule& rule, const DevNames& names);
std::string ip_text(const NexthopSpec& nexthop, const DevNames& names);  // `ip nexthop`
std::string ip_text(const NeighSpec& neigh, const DevNames& names);      // `ip neigh`
// `ip -o -4 addr`, without the index ("va inet 10.77.0.1/24 scope global va").
std::string ip_text(const InAddr& addr, const DevNames& names);
// The same of IPv6: `ip -6 -o route show`, `ip -o -6 addr`.
std::string ip_text(const Route6& route, const DevNames& names);
std::string ip_text(const In6Addr& addr, const DevNames& names);
std::string ip_text(const FdbEntry& entry, const DevNames& names);   // `bridge fdb`
std::string ip_text(const Link& link, const DevNames& names);        // `ip -o link`, first half
std::string ip_text(const QdiscSpec& qdisc, const DevNames& names);  // `tc qdisc`

// "main", "local", "10": from the well-known names and /etc/iproute2/rt_tables.
// tc's words for a class or a discipline's handle: "1:10", "1:".
std::string classid_text(std::uint32_t id);
std::string table_name(std::uint32_t table);

}  // namespace txp
