// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include "explain/explain.h"
#include "explain/ip_text.h"
#include "net.h"
#include "observe/trace.h"

namespace txp {
namespace {

// A field only when there is something to say.
void add(Fields& fields, std::string_view key, const std::string& value) {
  if (!value.empty()) fields.emplace_back(key, value);
}

struct ToReport {
  const DevNames& names;

  ReportObject operator()(const NamedObject& o) const { return report_object(o); }
  ReportObject operator()(const FibRule& o) const {
    return {"rule", {{"priority", std::int64_t{o.priority}}}, ip_text(o, names)};
  }
  ReportObject operator()(const Route& o) const {
    return {"route", {{"table", std::int64_t{o.table}}}, ip_text(o, names)};
  }
  ReportObject operator()(const NexthopSpec& o) const {
    return {"nexthop", {{"id", std::int64_t{o.id}}}, ip_text(o, names)};
  }
  ReportObject operator()(const NeighSpec& o) const {
    ReportObject r{"neigh", {}, ip_text(o, names)};
    r.fields.emplace_back("dst", o.dst_text());
    add(r.fields, "dev", names(o.ifindex));
    if (o.has_lladdr)
      r.fields.emplace_back("lladdr", o.lladdr.str());
    else
      r.fields.emplace_back("lladdr", nullptr);
    r.fields.emplace_back("state", std::string(name(o.state)));
    return r;
  }
  ReportObject operator()(const InAddr& o) const {
    ReportObject r{"address", {}, ip_text(o, names)};
    add(r.fields, "dev", names(o.ifindex));
    r.fields.emplace_back("local", o.local.str());
    return r;
  }
  ReportObject operator()(const Route6& o) const {
    return {"route", {{"table", std::int64_t{o.table}}}, ip_text(o, names)};
  }
  ReportObject operator()(const In6Addr& o) const {
    ReportObject r{"address", {}, ip_text(o, names)};
    add(r.fields, "dev", names(o.ifindex));
    r.fields.emplace_back("local", o.local.str());
    return r;
  }
  ReportObject operator()(const QdiscSpec& o) const {
    ReportObject r{"qdisc", {}, ip_text(o, names)};
    add(r.fields, "dev", names(o.ifindex));
    r.fields.emplace_back("qdisc", o.kind);
    r.fields.emplace_back("handle", fmt::format("{:x}:", o.handle >> 16));
    return r;
  }
  ReportObject operator()(const FdbEntry& o) const {
    ReportObject r{"fdb", {}, ip_text(o, names)};
    r.fields.emplace_back("lladdr", o.lladdr.str());
    add(r.fields, "dev", names(o.port));
    return r;
  }
  ReportObject operator()(const Link& o) const {
    return {"link", {{"dev", o.name}, {"mtu", std::int64_t{o.mtu}}}, ip_text(o, names)};
  }
};

}  // namespace

ReportObject report_object(const NamedObject& o) {
  ReportObject r{o.kind, {}, o.text, o.detail};
  add(r.fields, "family", o.family);
  add(r.fields, "table", o.table);
  add(r.fields, "chain", o.chain);
  if (o.handle != 0) r.fields.emplace_back("handle", static_cast<std::int64_t>(o.handle));
  return r;
}

std::vector<ReportStage> report_stages(const Net& net, const Trace& trace) {
  const DevNames names = dev_names(net);
  const ToReport to_report{names};
  std::vector<ReportStage> stages;
  for (const TraceStage& t : trace.stages()) {
    ReportStage& s = stages.emplace_back();
    s.stage = t.stage;
    s.len = t.len;
    s.layer = t.layer;
    s.result = t.result;
    for (const Deciding& d : t.by) s.by.push_back(std::visit(to_report, d));
    for (const Deciding& d : t.also) s.also.push_back(std::visit(to_report, d));
    s.out = t.out;
  }
  return stages;
}

}  // namespace txp
