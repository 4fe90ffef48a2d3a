// SPDX-License-Identifier: Apache-2.0
// The kernel's own counters in the stat report's form: /proc/net and a dump of the disciplines.
#include <fmt/format.h>
#include <libmnl/libmnl.h>
#include <linux/gen_stats.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <net/if.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <sstream>

#include "base/byteorder.h"
#include "observe/stat.h"
#include "wire/ip4.h"

namespace txp {
namespace {

// The thread's own, not the process's: another thread may be in another namespace.
const std::string kProcNet = "/proc/thread-self/net/";

std::unexpected<Error> cannot_read(const std::string& file) {
  return fail(fmt::format("{}: {}", file, std::strerror(errno)));
}

// /proc/net/snmp and netstat: a line of names, then a line of values, by group.
Result<void> add_snmp(const std::string& file, Json& snmp) {
  std::ifstream in(kProcNet + file);
  if (!in) return cannot_read(kProcNet + file);
  for (std::string names, values; std::getline(in, names) && std::getline(in, values);) {
    std::istringstream name(names), value(values);
    std::string group, same, key;
    name >> group;
    value >> same;
    if (group.empty() || group != same) return fail(kProcNet + file + ": not as expected");
    group.pop_back();
    if (group != "Ip" && group != "Icmp" && group != "Udp" && group != "IpExt") continue;
    for (std::int64_t n = 0; name >> key && value >> n;)
      if (n >= 0) snmp[group][key] = static_cast<std::uint64_t>(n);
  }
  return {};
}

Result<Json> devices_json() {
  std::ifstream in(kProcNet + "dev");
  if (!in) return cannot_read(kProcNet + "dev");
  Json devices = Json::object();
  std::string line;
  std::getline(in, line);
  std::getline(in, line);
  while (std::getline(in, line)) {
    const auto colon = line.rfind(':');
    const auto start = line.find_first_not_of(' ');
    if (colon == std::string::npos || start >= colon) continue;
    std::istringstream values(line.substr(colon + 1));
    constexpr std::size_t kColumns = 16;
    std::uint64_t v[kColumns] = {};
    for (std::uint64_t& n : v) values >> n;
    devices[line.substr(start, colon - start)] =
        Json{{"tx_packets", v[9]},       {"tx_bytes", v[8]},         {"tx_dropped", v[11]},
             {"tx_errors", v[10]},       {"rx_packets", v[1]},       {"rx_bytes", v[0]},
             {"rx_dropped", v[3]},       {"driver", Json::object()}, {"qdiscs", Json::array()},
             {"classes", Json::array()}, {"queues", Json::array()}};
  }
  return devices;
}

// "0100007F:0035" in memory order.
std::pair<std::string, std::uint64_t> address(const std::string& text) {
  unsigned a = 0, port = 0;
  if (std::sscanf(text.c_str(), "%8X:%4X", &a, &port) != 2) return {"", 0};
  std::uint8_t bytes[sizeof a];
  std::memcpy(bytes, &a, sizeof a);
  return {Ip4{load_be32(bytes)}.str(), port};
}

Result<Json> sockets_json() {
  std::ifstream in(kProcNet + "udp");
  if (!in) return cannot_read(kProcNet + "udp");
  Json sockets = Json::array();
  std::string line;
  std::getline(in, line);
  while (std::getline(in, line)) {
    std::istringstream s(line);
    std::string sl, local, peer, state, queues, timer, retransmits, uid, timeout, inode, ref, ptr;
    std::uint64_t drops = 0;
    s >> sl >> local >> peer >> state >> queues >> timer >> retransmits >> uid >> timeout >>
        inode >> ref >> ptr >> drops;
    unsigned tx = 0, rx = 0;
    if (!s || std::sscanf(queues.c_str(), "%8X:%8X", &tx, &rx) != 2) continue;
    const auto [local_addr, local_port] = address(local);
    const auto [peer_addr, peer_port] = address(peer);
    sockets.push_back(Json{{"local", local_addr},
                           {"local_port", local_port},
                           {"peer", peer_addr},
                           {"peer_port", peer_port},
                           {"tx_queue", std::uint64_t{tx}},
                           {"rx_queue", std::uint64_t{rx}},
                           {"drops", drops}});
  }
  return sockets;
}

template <typename T>
bool payload(const nlattr* attr, T& into) {
  if (attr == nullptr || mnl_attr_get_payload_len(attr) < sizeof into) return false;
  std::memcpy(&into, mnl_attr_get_payload(attr), sizeof into);
  return true;
}

struct QdiscCounters {
  std::uint64_t bytes = 0;
  std::uint64_t packets = 0;
  gnet_stats_queue queue{};
  tc_htb_xstats htb{};  // of an htb class
};

int read_stats(const nlattr* attr, void* data) {
  auto& c = *static_cast<QdiscCounters*>(data);
  switch (mnl_attr_get_type(attr)) {
    case TCA_STATS_BASIC: {
      gnet_stats_basic basic{};
      if (payload(attr, basic)) {
        c.bytes = basic.bytes;
        if (c.packets == 0) c.packets = basic.packets;
      }
      break;
    }
    case TCA_STATS_PKT64: payload(attr, c.packets); break;
    case TCA_STATS_QUEUE: payload(attr, c.queue); break;
    case TCA_STATS_APP: payload(attr, c.htb); break;
    default: break;
  }
  return MNL_CB_OK;
}

struct QdiscAttrs {
  std::string kind;
  QdiscCounters counters;
};

int read_qdisc_attr(const nlattr* attr, void* data) {
  auto& q = *static_cast<QdiscAttrs*>(data);
  if (mnl_attr_get_type(attr) == TCA_KIND && mnl_attr_validate(attr, MNL_TYPE_NUL_STRING) >= 0)
    q.kind = mnl_attr_get_str(attr);
  if (mnl_attr_get_type(attr) == TCA_STATS2)
    return mnl_attr_parse_nested(attr, read_stats, &q.counters);
  return MNL_CB_OK;
}

std::string handle_text(std::uint32_t handle) { return fmt::format("{:x}:", handle >> 16); }

std::string parent_text(std::uint32_t parent) {
  if (parent == TC_H_ROOT) return "root";
  if (parent == TC_H_INGRESS) return "ingress";
  if ((parent & 0xffff) == 0) return handle_text(parent);
  return fmt::format("{:x}:{:x}", parent >> 16, parent & 0xffff);
}

// A discipline or a class of one.
int read_qdisc(const nlmsghdr* nlh, void* data) {
  Json& devices = *static_cast<Json*>(data);
  const bool is_class = nlh->nlmsg_type == RTM_NEWTCLASS;
  if ((nlh->nlmsg_type != RTM_NEWQDISC && !is_class) ||
      mnl_nlmsg_get_payload_len(nlh) < sizeof(tcmsg))
    return MNL_CB_OK;
  tcmsg tcm{};
  std::memcpy(&tcm, mnl_nlmsg_get_payload(nlh), sizeof tcm);
  QdiscAttrs q;
  mnl_attr_parse(nlh, sizeof tcm, read_qdisc_attr, &q);
  char name[IF_NAMESIZE];
  if (::if_indextoname(static_cast<unsigned>(tcm.tcm_ifindex), name) == nullptr) return MNL_CB_OK;
  const auto dev = devices.find(name);
  if (dev == devices.end()) return MNL_CB_OK;
  const auto wide = [](std::uint32_t n) { return std::uint64_t{n}; };
  Json j{{"parent", parent_text(tcm.tcm_parent)},
         {"kind", q.kind},
         {"bytes", q.counters.bytes},
         {"packets", q.counters.packets},
         {"drops", wide(q.counters.queue.drops)},
         {"overlimits", wide(q.counters.queue.overlimits)},
         {"backlog_bytes", wide(q.counters.queue.backlog)},
         {"backlog_packets", wide(q.counters.queue.qlen)},
         {"xstats", Json::object()}};
  if (is_class) {
    j["classid"] = parent_text(tcm.tcm_handle);
    if (q.kind == "htb")
      j["xstats"] = {{"lended", wide(q.counters.htb.lends)},
                     {"borrowed", wide(q.counters.htb.borrows)}};
  } else {
    j["handle"] = handle_text(tcm.tcm_handle);
    j["requeues"] = wide(q.counters.queue.requeues);
  }
  (*dev)[is_class ? "classes" : "qdiscs"].push_back(std::move(j));
  return MNL_CB_OK;
}

// Disciplines of every device, or classes of one.
Result<void> add_qdiscs(Json& devices, std::uint16_t request, int ifindex) {
  struct Closer {
    void operator()(mnl_socket* s) const { mnl_socket_close(s); }
  };
  const auto failed = [] { return fail(fmt::format("disciplines: {}", std::strerror(errno))); };
  const std::unique_ptr<mnl_socket, Closer> nl(mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC));
  if (!nl || mnl_socket_bind(nl.get(), 0, MNL_SOCKET_AUTOPID) < 0) return failed();
  std::vector<char> buffer(32768);  // what the kernel's dumps ask for
  nlmsghdr* nlh = mnl_nlmsg_put_header(buffer.data());
  nlh->nlmsg_type = request;
  nlh->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
  nlh->nlmsg_seq = 1;
  tcmsg tcm{};
  tcm.tcm_ifindex = ifindex;
  std::memcpy(mnl_nlmsg_put_extra_header(nlh, sizeof tcm), &tcm, sizeof tcm);
  if (mnl_socket_sendto(nl.get(), nlh, nlh->nlmsg_len) < 0) return failed();
  const unsigned port = mnl_socket_get_portid(nl.get());
  for (;;) {
    const ssize_t n = mnl_socket_recvfrom(nl.get(), buffer.data(), buffer.size());
    if (n < 0) return failed();
    const int run =
        mnl_cb_run(buffer.data(), static_cast<std::size_t>(n), 1, port, read_qdisc, &devices);
    if (run < 0) return failed();
    if (run == MNL_CB_STOP) return {};
  }
}

Result<void> add_classes(Json& devices) {
  for (const auto& [name, dev] : devices.items()) {
    if (std::ranges::none_of(dev["qdiscs"], [](const Json& q) {
          const std::string kind = q.value("kind", "");
          return kind != "noqueue" && kind != "pfifo_fast" && kind != "fq_codel";
        }))
      continue;
    const int ifindex = static_cast<int>(::if_nametoindex(name.c_str()));
    if (ifindex == 0) continue;  // gone meanwhile
    if (auto done = add_qdiscs(devices, RTM_GETTCLASS, ifindex); !done) return done;
  }
  return {};
}

}  // namespace

Result<Json> kernel_stat_report() {
  Json snmp = Json::object();
  for (const char* file : {"snmp", "netstat"})
    if (auto done = add_snmp(file, snmp); !done) return std::unexpected(done.error());
  auto devices = devices_json();
  if (!devices) return devices;
  if (auto done = add_qdiscs(*devices, RTM_GETQDISC, 0); !done)
    return std::unexpected(done.error());
  if (auto done = add_classes(*devices); !done) return std::unexpected(done.error());
  auto sockets = sockets_json();
  if (!sockets) return sockets;
  return Json{{"source", "kernel"},
              {"stages", Json::object()},
              {"snmp", std::move(snmp)},
              {"devices", std::move(*devices)},
              {"sockets", std::move(*sockets)},
              {"fallback", Json::object()},
              {"plans", nullptr},
              {"conservation", nullptr}};
}

}  // namespace txp
