// SPDX-License-Identifier: Apache-2.0
#include <netinet/in.h>

#include <algorithm>
#include <mutex>

#include "dev/netdevice.h"
#include "explain/capture_driver.h"
#include "explain/explain.h"
#include "explain/socket_options.h"
#include "neigh/neighbour.h"
#include "net.h"
#include "netfilter/nf_hook.h"
#include "observe/trace.h"
#include "socket/inet6_sock.h"
#include "softirq/net_tx_action.h"
#include "tcp/tcp.h"

namespace txp {
namespace {

struct SockCloser {
  void operator()(Sock* sk) const { inet_release(*sk); }
};
using SockPtr = std::unique_ptr<Sock, SockCloser>;

// Every device gets a driver that keeps frames, and nobody is asked for a neighbour.
void seal(Net& net) {
  const std::lock_guard guard(net.rtnl);
  net.neigh->owner = NeighOwner::kernel;
  net.neigh->ask_kernel = nullptr;
  net.neigh->confirm_kernel = nullptr;
  net.neigh6->owner = NeighOwner::kernel;
  net.neigh6->ask_kernel6 = nullptr;
  net.neigh6->confirm_kernel6 = nullptr;
  for (NetDevice* dev : net.dev->all())
    if (!dev->features.stacked && dynamic_cast<const CaptureDriver*>(dev->driver.get()) == nullptr)
      net.dev->attach(*dev, std::make_unique<CaptureDriver>());
}

std::uint32_t scope_id(Net& net, const std::string& dev) {
  if (dev.empty()) return 0;
  const RcuReader reader;
  const NetDevice* d = net.dev->by_name(dev);
  return d != nullptr ? static_cast<std::uint32_t>(d->ifindex) : ~std::uint32_t{0};
}

SocketCall bind(Sock& sk, const FlowQuestion& q) {
  if (q.from6) {
    const SockAddr6 from{*q.from6, q.from_port, 0, scope_id(sk.net, q.from_scope)};
    if (auto bound = inet6_bind(sk, from); !bound)
      return std::unexpected(FailedCall{bound.error(), "bind"});
    return {};
  }
  if (!q.from) return {};
  if (auto bound = inet_bind(sk, SockAddr4{*q.from, q.from_port}); !bound)
    return std::unexpected(FailedCall{bound.error(), "bind"});
  return {};
}

// sendto() of a datagram, or connect() of a TCP socket. Answers its errno.
std::optional<Errno> call(Net& net, Sock& sk, const FlowQuestion& q,
                          std::span<const std::uint8_t> payload, Trace& trace) {
  const SockAddr4 to{q.to, q.to_port};
  if (q.proto == FlowProto::tcp) {
    if (auto connected = tcp_v4_connect(net, sk, to, &trace); !connected) return connected.error();
    return std::nullopt;
  }
  const iovec iov{const_cast<std::uint8_t*>(payload.data()), payload.size()};
  MsgHdr msg;
  SockAddr6 to6;
  if (q.to6) {
    to6 = {*q.to6, q.to_port, 0, scope_id(net, q.to_scope)};
    msg.name6 = &to6;
    msg.namelen = sizeof(sockaddr_in6);
  } else {
    msg.name = to;
  }
  msg.iov = {&iov, 1};
  msg.flags = MSG_DONTWAIT;
  msg.trace = &trace;
  if (auto sent = sock_sendmsg(net, sk, msg); !sent) return sent.error();
  return std::nullopt;
}

// The source address that the route lookup or the socket chose.
std::optional<Ip4> source_of(const Explanation& x, const FlowQuestion& q) {
  for (auto s = x.stages.rbegin(); s != x.stages.rend(); ++s) {
    if (s->stage != Stage::ip_route_output_flow || s->layer != 0) continue;
    for (const auto& [key, value] : s->out)
      if (const auto* text = std::get_if<std::string>(&value); key == "src" && text != nullptr)
        if (const auto ip = Ip4::parse(*text); ip && !ip->is_zero()) return ip;
  }
  if (q.from && !q.from->is_zero() && !q.from->is_multicast()) return q.from;
  return std::nullopt;
}

std::optional<Ip6> source6_of(const Explanation& x, const FlowQuestion& q) {
  for (auto s = x.stages.rbegin(); s != x.stages.rend(); ++s) {
    if (s->stage != Stage::ip6_dst_lookup_flow) continue;
    for (const auto& [key, value] : s->out)
      if (const auto* text = std::get_if<std::string>(&value); key == "src" && text != nullptr)
        if (const auto ip = Ip6::parse(*text); ip && !ip->is_any()) return ip;
  }
  if (q.from6 && !q.from6->is_any() && !q.from6->is_multicast()) return q.from6;
  return std::nullopt;
}

// Where a failed call ended: the deepest stage that says so, else the last one.
std::optional<Stage> failed_stage(const Explanation& x) {
  for (auto s = x.stages.rbegin(); s != x.stages.rend(); ++s)
    if (s->result == "error" || s->result == "drop") return s->stage;
  if (x.stages.empty()) return std::nullopt;
  return x.stages.back().stage;
}

// What waits for a neighbour holds the trace: it has to go before the trace does.
void discard_waiting(Net& net) {
  const std::lock_guard guard(net.rtnl);
  net.neigh->flush_waiting();
  net.neigh6->flush_waiting();
  net.retired.flush();
}

void judge(Explanation& x, const Trace& trace, bool queued) {
  for (const NamedObject& o : trace.unknowns()) x.unknown.push_back(report_object(o));
  if (const auto& drops = trace.drops(); !drops.empty()) {
    x.reason = drops.front().reason;
    x.dropped_at = drops.front().stage;
  }
  if (!x.unknown.empty() || (x.error && x.error->is_unknown())) {
    x.verdict = Verdict::unknown;
    x.error.reset();
    x.reason.reset();
    x.dropped_at.reset();
  } else if (x.error) {
    x.verdict = Verdict::error;
    if (!x.dropped_at && x.failed_call.empty()) x.dropped_at = failed_stage(x);
  } else if (x.reason) {
    x.verdict = Verdict::dropped;
  } else if (queued) {
    x.verdict = Verdict::queued;
  } else {
    x.verdict = Verdict::sent;
  }
}

}  // namespace

std::string_view name(Verdict v) {
  constexpr std::string_view kNames[] = {"sent", "dropped", "queued", "error", "unknown"};
  return kNames[static_cast<std::size_t>(v)];
}

Explanation explain_flow(Net& net, const FlowQuestion& q, std::span<const std::uint8_t> payload,
                         std::uint32_t caller_uid) {
  Explanation x;
  x.flow.proto = q.proto;
  x.flow.dst = q.to;
  x.flow.dst6 = q.to6;
  x.flow.dport = q.to_port;
  x.flow.len = payload.size();
  seal(net);
  net.nf->chance = false;
  net.nf->conntrack.mode = q.established ? CtMode::established : CtMode::track;
  Trace trace(net.clock);
  std::vector<ReportObject> options;
  {
    const std::uint32_t uid = q.uid.value_or(caller_uid);
    const SockPtr sk(q.to6 ? inet6_create(net, uid) : inet_create(net, uid));
    SocketCall ready = set_socket_options(*sk, q, &options);
    if (ready) ready = bind(*sk, q);
    if (!ready) {
      x.error = ready.error().error;
      x.failed_call = ready.error().call;
    } else {
      x.error = call(net, *sk, q, payload, trace);
      // What a discipline put off: in the kernel the softirq follows at once.
      constexpr int kRounds = 64;
      for (int i = 0; i < kRounds && net_tx_action(net) > 0; ++i) {
      }
    }
  }
  const CounterTotals totals = net.totals();
  x.conserved = totals.conserved();
  {
    const RcuReader reader;
    x.stages = report_stages(net, trace);
    const auto take = [&net](const std::vector<TraceFrame>& from, std::vector<ReportFrame>& to) {
      for (const TraceFrame& f : from) {
        const NetDevice* dev = net.dev->by_index(f.ifindex);
        to.push_back({f.dev, dev != nullptr ? dev->link().type : std::uint16_t{1}, f.bytes, f.layer,
                      f.encaps});
      }
    };
    take(trace.frames(), x.frames);
    take(trace.inner_frames(), x.inner_frames);
  }
  // The first to read the socket's options.
  const Stage reader = q.to6                       ? Stage::udpv6_sendmsg
                       : q.proto == FlowProto::udp ? Stage::udp_sendmsg
                                                   : Stage::tcp_v4_connect;
  if (const auto s = std::ranges::find(x.stages, reader, &ReportStage::stage); s != x.stages.end())
    s->by.insert(s->by.begin(), options.begin(), options.end());
  judge(x, trace, totals.queued > 0);
  if (q.to6)
    x.flow.src6 = source6_of(x, q);
  else
    x.flow.src = source_of(x, q);
  if (q.from_port != 0) x.flow.sport = q.from_port;
  x.masked = trace.masked_fields();
  const std::string sport = std::string(name(q.proto)) + ".sport";
  std::erase(x.masked, sport);
  if (!x.flow.sport) x.masked.insert(x.masked.begin(), sport);
  mask_frames(x.frames, x.masked);
  mask_frames(x.inner_frames, x.masked);
  discard_waiting(net);
  return x;
}

}  // namespace txp
