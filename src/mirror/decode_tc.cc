// SPDX-License-Identifier: Apache-2.0
// RTM_NEWQDISC and RTM_NEWTFILTER. Kernel twins: net/sched/sch_api.c (tc_fill_qdisc()),
// net/sched/cls_api.c (tcf_fill_node()).
#include <cmath>

#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>

#include "mirror/attrs.h"
#include "mirror/decode.h"

namespace txp {

namespace {

// tc's units (print_size(), tc_print_rate(), sprint_time() of iproute2).
std::string size_text(double bytes) {
  const double k = bytes / 1024;
  if (k >= 1024 && std::fabs(1024 * 1024 * std::rint(k / 1024) - bytes) < 1024)
    return fmt::format("{:.0f}Mb", std::rint(k / 1024));
  if (k >= 1 && std::fabs(1024 * std::rint(k) - bytes) < 16)
    return fmt::format("{:.0f}Kb", std::rint(k));
  return fmt::format("{:.0f}b", bytes);
}
std::string rate_text(std::uint64_t bytes_per_second) {
  static constexpr std::array<std::string_view, 5> kUnits{"", "K", "M", "G", "T"};
  std::uint64_t rate = bytes_per_second * 8;
  std::size_t i = 0;
  while (i + 1 < kUnits.size() && rate >= 1000 && (rate % 1000 == 0 || rate >= 1000 * 1000)) {
    rate /= 1000;
    ++i;
  }
  return fmt::format("{}{}bit", rate, kUnits[i]);
}
std::string time_text(double us) {
  if (us >= 1e6) return fmt::format("{:.3g}s", us / 1e6);
  if (us >= 1e3) return fmt::format("{:.3g}ms", us / 1e3);
  return fmt::format("{:.0f}us", us);
}

std::string fifo_text(Bytes options, bool bytes) {
  tc_fifo_qopt o{};
  if (take_header(options, o) == nullptr) return "";
  return bytes ? " limit " + size_text(o.limit) : fmt::format(" limit {}p", o.limit);
}

std::string prio_text(Bytes options) {
  tc_prio_qopt o{};
  if (take_header(options, o) == nullptr) return "";
  std::string text = fmt::format(" bands {} priomap", o.bands);
  for (const std::uint8_t band : o.priomap) text += fmt::format(" {}", band);
  return text;
}

std::string tbf_text(Bytes options) {
  Attrs<TCA_TBF_MAX> a(options);
  tc_tbf_qopt o{};
  const auto parms = a.raw(TCA_TBF_PARMS);
  if (!parms || take_header(*parms, o) == nullptr) return "";
  const auto rate64 = [&a](unsigned type, std::uint64_t otherwise) {
    std::uint64_t v = otherwise;
    if (const auto b = a.bytes(type, sizeof v)) std::memcpy(&v, b->data(), sizeof v);
    return v;
  };
  // The kernel's ticks are 64 ns (PSCHED_SHIFT 6), on every machine of our time.
  constexpr double kTicksPerUs = 15.625;
  const std::uint64_t rate = rate64(TCA_TBF_RATE64, o.rate.rate);
  const std::uint64_t peak = rate64(TCA_TBF_PRATE64, o.peakrate.rate);
  const auto bytes_in = [](std::uint64_t r, std::uint32_t ticks) {
    return std::trunc(static_cast<double>(r) * (ticks / kTicksPerUs) / 1e6);
  };
  std::string text = " rate " + rate_text(rate) + " burst " + size_text(bytes_in(rate, o.buffer));
  if (peak != 0) {
    text += " peakrate " + rate_text(peak);
    if (o.mtu != 0) text += " minburst " + size_text(bytes_in(peak, o.mtu));
  }
  if (rate != 0) {
    double latency = 1e6 * (o.limit / static_cast<double>(rate)) - o.buffer / kTicksPerUs;
    if (peak != 0)
      latency =
          std::max(latency, 1e6 * (o.limit / static_cast<double>(peak)) - o.mtu / kTicksPerUs);
    text += latency >= 0 ? " lat " + time_text(latency) : " limit " + size_text(o.limit);
  }
  return text;
}

std::string fq_codel_text(Bytes options) {
  Attrs<TCA_FQ_CODEL_MAX> a(options);
  std::string text;
  if (auto v = a.u32(TCA_FQ_CODEL_LIMIT)) text += fmt::format(" limit {}p", *v);
  if (auto v = a.u32(TCA_FQ_CODEL_FLOWS)) text += fmt::format(" flows {}", *v);
  if (auto v = a.u32(TCA_FQ_CODEL_QUANTUM)) text += fmt::format(" quantum {}", *v);
  if (auto v = a.u32(TCA_FQ_CODEL_TARGET)) text += " target " + time_text(*v);
  if (auto v = a.u32(TCA_FQ_CODEL_CE_THRESHOLD)) text += " ce_threshold " + time_text(*v);
  if (auto v = a.u32(TCA_FQ_CODEL_INTERVAL)) text += " interval " + time_text(*v);
  if (auto v = a.u32(TCA_FQ_CODEL_MEMORY_LIMIT)) text += " memory_limit " + size_text(*v);
  if (a.u32(TCA_FQ_CODEL_ECN).value_or(0) != 0) text += " ecn";
  if (auto v = a.u32(TCA_FQ_CODEL_DROP_BATCH_SIZE); v && *v != 0)
    text += fmt::format(" drop_batch {}", *v);
  return text;
}

std::string htb_text(Bytes options) {
  Attrs<TCA_HTB_MAX> a(options);
  tc_htb_glob g{};
  const auto init = a.raw(TCA_HTB_INIT);
  if (!init || take_header(*init, g) == nullptr) return "";
  std::string text = fmt::format(" r2q {} default {:#x} direct_packets_stat {}", g.rate2quantum,
                                 g.defcls, g.direct_pkts);
  if (auto v = a.u32(TCA_HTB_DIRECT_QLEN)) text += fmt::format(" direct_qlen {}", *v);
  return text;
}

std::string options_text(std::string_view kind, Bytes options) {
  if (kind == "pfifo" || kind == "pfifo_head_drop") return fifo_text(options, false);
  if (kind == "bfifo") return fifo_text(options, true);
  if (kind == "pfifo_fast" || kind == "prio") return prio_text(options);
  if (kind == "tbf") return tbf_text(options);
  if (kind == "fq_codel") return fq_codel_text(options);
  if (kind == "htb") return htb_text(options);
  return "";
}

std::string protocol_name(std::uint16_t protocol) {
  switch (protocol) {
    case 0x0003: return "all";
    case 0x0800: return "ip";
    case 0x0806: return "arp";
    case 0x8100: return "802.1Q";
    case 0x86dd: return "ipv6";
    default: return fmt::format("[{}]", protocol);
  }
}

}  // namespace

Result<Decoded> decode_qdisc(Bytes bytes) {
  tcmsg h{};
  if (take_header(bytes, h) == nullptr) return fail("cut short");
  Attrs<TCA_MAX> a(bytes.subspan(sizeof h), "qdisc");
  QdiscSpec q;
  q.ifindex = h.tcm_ifindex;
  q.handle = h.tcm_handle;
  q.parent = h.tcm_parent;
  q.kind = a.text(TCA_KIND, 15).value_or("");
  if (auto v = a.raw(TCA_OPTIONS)) q.options.assign(v->begin(), v->end());
  if (!a.error().empty()) return fail(a.error());
  if (q.ifindex <= 0) return fail("no interface index");
  if (q.kind.empty()) return fail("no kind");
  // What follows the place in tc's line; the mirror makes the whole of it.
  if (h.tcm_info != 1) q.text = fmt::format(" refcnt {}", h.tcm_info);
  q.text += options_text(q.kind, q.options);
  return Decoded{.what = std::move(q)};
}

Result<Decoded> decode_filter(Bytes bytes) {
  tcmsg h{};
  if (take_header(bytes, h) == nullptr) return fail("cut short");
  Attrs<TCA_MAX> a(bytes.subspan(sizeof h), "filter");
  FilterSpec f;
  f.ifindex = h.tcm_ifindex;
  f.parent = h.tcm_parent;
  f.kind = a.text(TCA_KIND, 31).value_or("");
  const std::uint32_t chain = a.u32(TCA_CHAIN).value_or(0);
  if (!a.error().empty()) return fail(a.error());
  if (f.ifindex <= 0) return Decoded{};  // a filter of a shared block
  if (f.kind.empty()) return fail("no kind");
  const auto proto =
      static_cast<std::uint16_t>(std::byteswap(static_cast<std::uint16_t>(TC_H_MIN(h.tcm_info))));
  f.text = fmt::format("protocol {} pref {} {} chain {}", protocol_name(proto),
                       TC_H_MAJ(h.tcm_info) >> 16, f.kind, chain);
  if (h.tcm_handle != 0) f.text += fmt::format(" handle {:#x}", h.tcm_handle);
  return Decoded{.what = std::move(f)};
}

}  // namespace txp
