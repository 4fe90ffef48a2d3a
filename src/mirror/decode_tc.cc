// SPDX-License-Identifier: Apache-2.0
// RTM_NEWQDISC, RTM_NEWTCLASS and RTM_NEWTFILTER. Kernel twins: net/sched/sch_api.c
// (tc_fill_qdisc()), net/sched/cls_api.c (tcf_fill_node()).
#include <cmath>
#include <cstddef>

#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>

#include "explain/ip_text.h"
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

// The kernel's ticks are 64 ns (PSCHED_SHIFT 6), on every machine of our time.
constexpr double kTicksPerUs = 15.625;
// tc_calc_xmitsize().
double bytes_in(std::uint64_t rate, std::uint32_t ticks) {
  return std::trunc(static_cast<double>(rate) * std::trunc(ticks / kTicksPerUs) / 1e6);
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
  const std::uint64_t rate = rate64(TCA_TBF_RATE64, o.rate.rate);
  const std::uint64_t peak = rate64(TCA_TBF_PRATE64, o.peakrate.rate);
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

std::string htb_class_text(Bytes options) {
  Attrs<TCA_HTB_MAX> a(options);
  tc_htb_opt o{};
  const auto parms = a.raw(TCA_HTB_PARMS);
  if (!parms || take_header(*parms, o) == nullptr) return "";
  const std::uint64_t rate = a.u64(TCA_HTB_RATE64).value_or(o.rate.rate);
  const std::uint64_t ceil = a.u64(TCA_HTB_CEIL64).value_or(o.ceil.rate);
  std::string text;
  if (o.level == 0) text = fmt::format(" prio {}", o.prio);
  text += " rate " + rate_text(rate);
  if (o.rate.overhead != 0) text += fmt::format(" overhead {}", o.rate.overhead);
  text += " ceil " + rate_text(ceil) + " burst " + size_text(bytes_in(rate, o.buffer)) +
          " cburst " + size_text(bytes_in(ceil, o.cbuffer));
  return text;
}

// htb's options carry a counter: without it an htb that only saw traffic would look changed.
void forget_direct_packets(std::vector<std::uint8_t>& options) {
  (void)for_each_attr(options, [&](const nlattr& attr) {
    const Bytes value = payload(attr);
    if (mnl_attr_get_type(&attr) != TCA_HTB_INIT || value.size() < sizeof(tc_htb_glob)) return;
    const auto at = static_cast<std::size_t>(value.data() - options.data());
    std::memset(options.data() + at + offsetof(tc_htb_glob, direct_pkts), 0,
                sizeof(tc_htb_glob::direct_pkts));
  });
}

std::string class_text(std::string_view kind, Bytes options) {
  if (kind == "htb") return htb_class_text(options);
  return "";
}

// "800::800", as tc prints a u32 handle.
std::string u32_handle(std::uint32_t handle) {
  const std::uint32_t table = handle >> 20, bucket = (handle >> 12) & 0xff, node = handle & 0xfff;
  std::string text = fmt::format("{:x}:", table);
  if (bucket != 0) text += fmt::format("{:x}", bucket);
  if (bucket != 0 || node != 0) text += ":";
  if (node != 0) text += fmt::format("{:x}", node);
  return text;
}

std::string u32_text(const FilterSpec& f) {
  Attrs<TCA_U32_MAX> a(f.options);
  if (f.handle == 0) return "";
  std::string text = " fh " + u32_handle(f.handle);
  if (const auto divisor = a.u32(TCA_U32_DIVISOR); divisor && !a.has(TCA_U32_SEL))
    return text + fmt::format(" ht divisor {}", *divisor);
  text += fmt::format(" order {} key ht {:x} bkt {:x}", f.handle & 0xfff, f.handle >> 20,
                      (f.handle >> 12) & 0xff);
  if (const auto id = a.u32(TCA_U32_CLASSID)) text += " flowid " + classid_text(*id);
  if (const auto link = a.u32(TCA_U32_LINK)) text += " link " + u32_handle(*link);
  tc_u32_sel sel{};
  const auto raw = a.raw(TCA_U32_SEL);
  if (!raw || take_header(*raw, sel) == nullptr) return text;
  Bytes keys = raw->subspan(sizeof sel);
  for (tc_u32_key key{}; take_header(keys, key) != nullptr; keys = keys.subspan(sizeof key)) {
    const auto host = [](std::uint32_t be) { return std::byteswap(be); };
    text += fmt::format(" match {:08x}/{:08x} at {}{}", host(key.val), host(key.mask),
                        key.offmask != 0 ? "nexthdr+" : "", key.off);
  }
  return text;
}

std::string filter_text(const FilterSpec& f) {
  if (f.kind == "u32") return u32_text(f);
  std::string text;
  if (f.handle != 0) text = fmt::format(" handle {:#x}", f.handle);
  return text;
}

}  // namespace

bool class_is_configured(std::string_view kind) {
  return kind == "htb" || kind == "drr" || kind == "hfsc" || kind == "qfq" || kind == "ets";
}

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
  const std::vector<std::uint8_t> shown = q.options;
  if (q.kind == "htb") forget_direct_packets(q.options);
  // What follows the place in tc's line; the mirror makes the whole of it.
  if (h.tcm_info != 1) q.text = fmt::format(" refcnt {}", h.tcm_info);
  q.text += options_text(q.kind, shown);
  return Decoded{.what = std::move(q)};
}

Result<Decoded> decode_class(Bytes bytes) {
  tcmsg h{};
  if (take_header(bytes, h) == nullptr) return fail("cut short");
  Attrs<TCA_MAX> a(bytes.subspan(sizeof h), "class");
  ClassSpec c;
  c.ifindex = h.tcm_ifindex;
  c.classid = h.tcm_handle;
  c.parent = h.tcm_parent;
  c.kind = a.text(TCA_KIND, 15).value_or("");
  if (auto v = a.raw(TCA_OPTIONS)) c.options.assign(v->begin(), v->end());
  if (!a.error().empty()) return fail(a.error());
  if (c.ifindex <= 0) return fail("no interface index");
  if (c.kind.empty()) return fail("no kind");
  if (h.tcm_info != 0) c.text = fmt::format(" leaf {:x}:", h.tcm_info >> 16);
  c.text += class_text(c.kind, c.options);
  return Decoded{.what = std::move(c)};
}

Result<Decoded> decode_filter(Bytes bytes) {
  tcmsg h{};
  if (take_header(bytes, h) == nullptr) return fail("cut short");
  Attrs<TCA_MAX> a(bytes.subspan(sizeof h), "filter");
  FilterSpec f;
  f.ifindex = h.tcm_ifindex;
  f.parent = h.tcm_parent;
  f.handle = h.tcm_handle;
  f.kind = a.text(TCA_KIND, 31).value_or("");
  f.chain = a.u32(TCA_CHAIN).value_or(0);
  f.prio = static_cast<std::uint16_t>(TC_H_MAJ(h.tcm_info) >> 16);
  f.protocol = std::byteswap(static_cast<std::uint16_t>(TC_H_MIN(h.tcm_info)));
  if (auto v = a.raw(TCA_OPTIONS)) f.options.assign(v->begin(), v->end());
  if (!a.error().empty()) return fail(a.error());
  if (f.ifindex <= 0) return Decoded{};  // a filter of a shared block
  if (f.kind.empty()) return fail("no kind");
  f.text = fmt::format("protocol {} pref {} {} chain {}", protocol_name(f.protocol), f.prio, f.kind,
                       f.chain);
  f.text += filter_text(f);
  return Decoded{.what = std::move(f)};
}

}  // namespace txp
