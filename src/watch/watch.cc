// SPDX-License-Identifier: Apache-2.0
#include "watch/watch.h"

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <fmt/format.h>
#include <net/if.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <cstdarg>
#include <cstdio>
#include <cstring>

#include "watch.skel.h"
#include "watch/attach.h"
#include "watch/drop_reasons.h"
#include "watch/drop_stage.h"
#include "watch/filter.h"
#include "watch/kallsyms.h"

namespace txp {
namespace {

struct SkeletonCloser {
  void operator()(txp_watch_bpf* s) const { txp_watch_bpf::destroy(s); }
};
struct RingCloser {
  void operator()(ring_buffer* r) const { ring_buffer__free(r); }
  void operator()(perf_buffer* p) const { perf_buffer__free(p); }
};
struct LinkCloser {
  void operator()(bpf_link* l) const { bpf_link__destroy(l); }
};

bool contains(const std::vector<Stage>& stages, Stage s) {
  return std::ranges::find(stages, s) != stages.end();
}

// Whether net_dev_xmit alone serves for the stages dev_hard_start_xmit and ndo_start_xmit.
bool implied(const WatchOptions& o, bool track) {
  return o.counts && !o.events && !track && !o.mark && o.stages.empty() && !o.drops_only;
}

// Whether the options ask for this point at all.
bool wanted(const WatchPoint& p, const WatchOptions& o, bool track) {
  // What identity rests on.
  const bool backbone = p.point == TXP_POINT_sys_enter || p.point == TXP_POINT_consume_skb ||
                        p.point == TXP_POINT_net_dev_queue || p.point == TXP_POINT_kfree_skb ||
                        p.point == TXP_POINT_net_dev_start_xmit;
  if (track && backbone) return true;
  // A program costs as much as it counts; what net_dev_xmit tells as well is left out.
  if (p.point == TXP_POINT_net_dev_start_xmit && implied(o, track)) return false;
  if (p.point == TXP_POINT_sys_enter || p.point == TXP_POINT_consume_skb) return false;
  if (p.kind == PointKind::end) return true;
  if (o.drops_only) return false;
  // Each point costs; latency alone needs those of a packet's way only.
  if (o.latency && !o.counts && !o.events && p.stage < Stage::dev_queue_xmit && o.filter.empty())
    return false;
  // What is marked, or is one program's, is told by the point before.
  if (p.point == TXP_POINT_net_dev_start_xmit && contains(o.stages, Stage::ndo_start_xmit))
    return true;
  // The whole host's softirqs: many lines that belong to no packet.
  if (p.point == TXP_POINT_softirq_entry && o.events && o.stages.empty()) return false;
  return o.stages.empty() || contains(o.stages, p.stage);
}

class KernelWatch : public Watch {
 public:
  explicit KernelWatch(const WatchOptions& o) : options_(o) {}
  Result<void> open();
  bool poll(int timeout_ms, const std::function<void(const WatchEvent&)>& event) override;
  WatchTotals totals() override;
  std::uint64_t lost() override;
  std::vector<const WatchPoint*> attached() const override { return attached_; }
  std::string functions_refused() const override { return refused_; }

 private:
  static int on_ring(void* self, void* data, std::size_t len);
  static void on_frame(void* self, int cpu, void* data, std::uint32_t len);
  static void on_lost(void* self, int cpu, unsigned long long n);
  void configure(txp_watch_config& c, bool track) const;
  void tell(const txp_watch_event& raw, std::span<const std::uint8_t> frame);
  bool told(const WatchEvent& e) const;
  const Kallsyms& symbols();
  KernelDrop kernel_drop(std::uint32_t reason, std::uint64_t location, std::uint32_t flags,
                         std::uint32_t last_point);
  std::string dev_name(std::uint32_t netns, std::uint32_t ifindex) const;
  WatchTotals::Device& device(WatchTotals& t, std::uint32_t netns, std::uint32_t ifindex) const;
  template <typename Key, typename Value, typename F>
  void each(bpf_map* map, F f) const;
  void add_counts(WatchTotals& t);
  void add_drops(WatchTotals& t);
  void add_latency(WatchTotals& t);

  const WatchOptions options_;
  KernelBtf btf_;
  std::unique_ptr<txp_watch_bpf, SkeletonCloser> skeleton_;
  std::vector<std::unique_ptr<bpf_link, LinkCloser>> links_;
  std::vector<int> programs_;  // file descriptors of what is attached
  std::unique_ptr<ring_buffer, RingCloser> ring_;
  std::unique_ptr<perf_buffer, RingCloser> frames_;
  std::vector<const WatchPoint*> attached_;
  std::string refused_;
  std::optional<DropReasons> reasons_;
  std::optional<Kallsyms> symbols_;
  std::map<std::pair<std::uint32_t, std::uint32_t>, std::string> names_;
  const std::function<void(const WatchEvent&)>* sink_ = nullptr;
  std::uint64_t frames_lost_ = 0;
  // net_dev_start_xmit is not attached: each packet that the driver took or refused was there.
  bool implied_ = false;
  // Strings that drop_stage() looks at.
  std::string reason_, function_;
};

void KernelWatch::configure(txp_watch_config& c, bool track) const {
  c.netns = options_.netns;
  c.ifindex = options_.ifindex;
  c.tgid = options_.pid;
  c.mark = options_.mark.value_or(0);
  c.has_mark = options_.mark.has_value();
  c.has_filter = !options_.filter.empty();
  c.counts = options_.counts;
  c.events = options_.events;
  c.latency = options_.latency;
  c.drops_only = options_.drops_only;
  c.bytes = options_.frames;
  c.track = track;
  std::ranges::fill(c.syscalls, ~0ULL);
  std::size_t n = 0;
  for (const long nr : {SYS_sendto, SYS_sendmsg, SYS_sendmmsg, SYS_write, SYS_writev, SYS_sendfile,
                        SYS_splice, SYS_io_uring_enter})
    c.syscalls[n++] = static_cast<txp_u64>(nr);
  c.sendmmsg = SYS_sendmmsg;
  utsname kernel{};
  unsigned major = 0, minor = 0;
  if (::uname(&kernel) == 0 && std::sscanf(kernel.release, "%u.%u", &major, &minor) == 2)
    c.const_void = major > 6 || (major == 6 && minor >= 16);
  struct stat pidns{};
  constexpr ino_t kFirst = 0xeffffffc;  // PROC_PID_INIT_INO
  if (::stat("/proc/self/ns/pid", &pidns) == 0 && pidns.st_ino != kFirst) {
    c.pidns_dev = pidns.st_dev;
    c.pidns_inode = pidns.st_ino;
  }
}

Result<void> KernelWatch::open() {
  if (auto may = may_watch(); !may) return may;
  if (auto loaded = btf_.load(); !loaded) return loaded;
  reasons_.emplace(btf_.get());

  std::vector<bpf_insn> filter;
  if (!options_.filter.empty()) {
    auto compiled = compile_filter(options_.filter);
    if (!compiled) return std::unexpected(compiled.error());
    filter = std::move(*compiled);
  }
  // Latency needs identity; so does a process's packet in a softirq, and a line's `since`. A filter
  // needs it to know fragments, and which call a socket's event is about.
  const bool track = options_.latency || options_.pid != 0 || !options_.filter.empty() ||
                     (options_.events && !options_.drops_only);
  implied_ = implied(options_, track);
  quiet_libbpf();
  skeleton_.reset(txp_watch_bpf::open());
  if (!skeleton_) return fail("the eBPF programs cannot be opened: " + libbpf_words());
  configure(*const_cast<txp_watch_config*>(&skeleton_->rodata->cfg), track);

  const bool functions = options_.functions && !options_.latency && !options_.drops_only;
  if (functions) refused_ = functions_refused_here(btf_);
  for (const WatchPoint& p : kWatchPoints) {
    bpf_program* program =
        bpf_object__find_program_by_name(skeleton_->obj, std::string(p.program).c_str());
    if (program == nullptr) continue;
    const bool entry = p.kind == PointKind::entry;
    const bool use = wanted(p, options_, track) && (!entry || (functions && refused_.empty())) &&
                     (entry ? btf_.has_function(p.target()) : btf_.has_tracepoint(p.target()));
    bpf_program__set_autoload(program, use);
    if (!use) continue;
    if (!filter.empty())
      place_filter({const_cast<bpf_insn*>(bpf_program__insns(program)),  // ours until it is loaded
                    bpf_program__insn_cnt(program)},
                   filter);
    attached_.push_back(&p);
  }
  if (!options_.events) bpf_map__set_max_entries(skeleton_->maps.ring, 4096);
  if (!track) bpf_map__set_max_entries(skeleton_->maps.slots, 1);
  if (const int error = txp_watch_bpf::load(skeleton_.get()); error != 0)
    return fail(load_failed(error));

  std::erase_if(attached_, [&](const WatchPoint* p) {
    bpf_program* program =
        bpf_object__find_program_by_name(skeleton_->obj, std::string(p->program).c_str());
    bpf_link* link = bpf_program__attach(program);
    if (link == nullptr) return true;
    links_.emplace_back(link);
    programs_.push_back(bpf_program__fd(program));
    return false;
  });
  if (attached_.empty()) return fail("no tracepoint lets itself be attached: " + libbpf_words());
  if (options_.events) {
    ring_.reset(ring_buffer__new(bpf_map__fd(skeleton_->maps.ring), on_ring, this, nullptr));
    if (!ring_) return fail(fmt::format("the ring: {}", std::strerror(errno)));
  }
  if (options_.frames) {
    frames_.reset(perf_buffer__new(bpf_map__fd(skeleton_->maps.frames), 1024, on_frame, on_lost,
                                   this, nullptr));
    if (!frames_) return fail(fmt::format("the ring of frames: {}", std::strerror(errno)));
  }
  return {};
}

const Kallsyms& KernelWatch::symbols() {
  if (!symbols_) symbols_.emplace(Kallsyms::of_kernel());
  return *symbols_;
}

KernelDrop KernelWatch::kernel_drop(std::uint32_t reason, std::uint64_t location,
                                    std::uint32_t flags, std::uint32_t last_point) {
  reason_ = reasons_->name(reason);
  function_ = symbols().find(location).function;
  KernelDrop d;
  d.reason = reason_;
  d.function = function_;
  d.no_dev = (flags & TXP_EVENT_NO_DEV) != 0;
  d.received = (flags & TXP_EVENT_RECEIVED) != 0;
  if (last_point < TXP_POINT_COUNT) d.last = kWatchPoints[last_point].stage;
  return d;
}

void KernelWatch::tell(const txp_watch_event& raw, std::span<const std::uint8_t> frame) {
  if (raw.point >= TXP_POINT_COUNT) return;
  WatchEvent e{&raw, &kWatchPoints[raw.point], std::nullopt, {}, {}, frame};
  if (raw.point == TXP_POINT_kfree_skb) {
    e.stage = drop_stage(kernel_drop(static_cast<std::uint32_t>(raw.value), raw.location, raw.flags,
                                     raw.since_point));
    e.reason = reason_;
    e.location = place_text(symbols(), raw.location);
  } else if (raw.point != TXP_POINT_consume_skb) {
    e.stage = e.point->stage;
  }
  if (told(e)) (*sink_)(e);
}

bool KernelWatch::told(const WatchEvent& e) const {
  const bool drop = e.raw->point == TXP_POINT_kfree_skb;
  if (drop && !e.stage) return false;  // not of the send path
  if (options_.drops_only)
    return drop && (options_.stages.empty() || contains(options_.stages, *e.stage));
  if (options_.stages.empty()) return true;
  return e.stage && contains(options_.stages, *e.stage);
}

int KernelWatch::on_ring(void* self, void* data, std::size_t len) {
  if (len >= sizeof(txp_watch_event))
    static_cast<KernelWatch*>(self)->tell(*static_cast<const txp_watch_event*>(data), {});
  return 0;
}

void KernelWatch::on_frame(void* self, int, void* data, std::uint32_t len) {
  txp_watch_event raw;  // a perf sample is not aligned
  if (len < sizeof raw) return;
  std::memcpy(&raw, data, sizeof raw);
  const std::size_t n = std::min<std::size_t>(len - sizeof raw, raw.len);
  static_cast<KernelWatch*>(self)->tell(raw,
                                        {static_cast<const std::uint8_t*>(data) + sizeof raw, n});
}

void KernelWatch::on_lost(void* self, int, unsigned long long n) {
  static_cast<KernelWatch*>(self)->frames_lost_ += n;
}

bool KernelWatch::poll(int timeout_ms, const std::function<void(const WatchEvent&)>& event) {
  sink_ = &event;
  int result = 0;
  if (frames_) {
    result = perf_buffer__poll(frames_.get(), ring_ ? std::min(timeout_ms, 20) : timeout_ms);
    if (result >= 0 && ring_) result = ring_buffer__consume(ring_.get());
  } else if (ring_) {
    result = ring_buffer__poll(ring_.get(), timeout_ms);
  } else {
    result = ::usleep(static_cast<useconds_t>(timeout_ms) * 1000) == 0 ? 0 : -errno;
  }
  sink_ = nullptr;
  return result != -EINTR;
}

std::uint64_t KernelWatch::lost() {
  std::uint64_t n = frames_lost_;
  const auto cpus = static_cast<std::size_t>(libbpf_num_possible_cpus());
  std::vector<std::uint64_t> values(cpus);
  for (std::uint32_t key = 0; key < 2; ++key)
    if (bpf_map_lookup_elem(bpf_map__fd(skeleton_->maps.lost), &key, values.data()) == 0)
      for (const std::uint64_t v : values) n += v;
  // A program that is interrupted by itself is not run.
  for (const int fd : programs_) {
    bpf_prog_info info{};
    std::uint32_t len = sizeof info;
    if (bpf_obj_get_info_by_fd(fd, &info, &len) == 0) n += info.recursion_misses;
  }
  return n;
}

template <typename Key, typename Value, typename F>
void KernelWatch::each(bpf_map* map, F f) const {
  const int fd = bpf_map__fd(map);
  const bool per_cpu = bpf_map__type(map) == BPF_MAP_TYPE_PERCPU_HASH;
  const auto cpus = per_cpu ? static_cast<std::size_t>(libbpf_num_possible_cpus()) : 1;
  static_assert(sizeof(Value) % 8 == 0);
  std::vector<Value> values(cpus);
  Key key{}, next{};
  for (const Key* at = nullptr; bpf_map_get_next_key(fd, at, &next) == 0; at = &key) {
    key = next;
    if (bpf_map_lookup_elem(fd, &key, values.data()) != 0) continue;
    for (const Value& v : values) f(key, v);
  }
}

std::string KernelWatch::dev_name(std::uint32_t netns, std::uint32_t ifindex) const {
  if (ifindex == 0) return "";
  char name[IF_NAMESIZE];
  if (netns == this_netns() && ::if_indextoname(ifindex, name) != nullptr) return name;
  return fmt::format("if{}@{}", ifindex, netns);
}

WatchTotals::Device& KernelWatch::device(WatchTotals& t, std::uint32_t netns,
                                         std::uint32_t ifindex) const {
  for (auto& d : t.devices)
    if (d.netns == netns && d.ifindex == ifindex) return d;
  WatchTotals::Device d;
  d.netns = netns;
  d.ifindex = ifindex;
  d.name = dev_name(netns, ifindex);
  t.devices.push_back(std::move(d));
  return t.devices.back();
}

void KernelWatch::add_counts(WatchTotals& t) {
  const auto add = [&](const txp_watch_count_key& k, const txp_watch_count& c) {
    if (k.point >= TXP_POINT_COUNT || c.packets == 0) return;
    const WatchPoint& p = kWatchPoints[k.point];
    if (p.kind == PointKind::end) return;
    auto& s = t.stages[static_cast<std::size_t>(p.stage)];
    if (p.kind == PointKind::more) {
      s.events[p.event] += c.packets;
    } else {
      s.packets += c.packets;
      s.bytes += c.bytes;
    }
    if (k.point == TXP_POINT_net_dev_xmit) {
      auto& d = device(t, k.netns, k.ifindex);
      d.tx_packets += c.packets;
      d.tx_bytes += c.bytes;
      if (implied_) {
        auto& start = t.stages[static_cast<std::size_t>(Stage::dev_hard_start_xmit)];
        start.packets += c.packets;
        start.bytes += c.bytes;
      }
    } else if (k.point == TXP_POINT_net_dev_queue) {
      device(t, k.netns, k.ifindex).queued_packets += c.packets;
    }
  };
  each<txp_watch_count_key, txp_watch_count>(skeleton_->maps.counts, add);
  if (options_.netns != 0) {
    const auto cpus = static_cast<std::size_t>(libbpf_num_possible_cpus());
    std::vector<txp_watch_count> values(cpus);
    for (const WatchPoint* p : attached_)
      for (std::uint32_t ifindex = 0; ifindex < TXP_WATCH_NEAR; ++ifindex) {
        const std::uint32_t at = std::uint32_t{p->point} * TXP_WATCH_NEAR + ifindex;
        if (bpf_map_lookup_elem(bpf_map__fd(skeleton_->maps.near_counts), &at, values.data()) == 0)
          for (const txp_watch_count& v : values) add({p->point, ifindex, options_.netns}, v);
      }
  }
  each<txp_watch_error_key, txp_u64>(
      skeleton_->maps.errors, [&](const txp_watch_error_key& k, const txp_u64& n) {
        if (k.point >= TXP_POINT_COUNT || n == 0) return;
        const WatchPoint& p = kWatchPoints[k.point];
        Stage at = p.stage;
        if (k.point == TXP_POINT_net_dev_xmit) {
          t.stages[static_cast<std::size_t>(at)].events["busy"] += n;
          if (implied_) t.stages[static_cast<std::size_t>(Stage::dev_hard_start_xmit)].packets += n;
          return;
        }
        const int error = static_cast<int>(k.error);
        if (k.point == TXP_POINT_sock_send_length) at = error_stage(error).value_or(at);
        t.stages[static_cast<std::size_t>(at)].errors[std::string(Errno{error}.name())] += n;
      });
  each<txp_watch_qdisc_key, txp_watch_qdisc>(
      skeleton_->maps.qdiscs, [&](const txp_watch_qdisc_key& k, const txp_watch_qdisc& q) {
        device(t, k.netns, k.ifindex).qdiscs.push_back({k.handle, q});
      });
}

void KernelWatch::add_drops(WatchTotals& t) {
  each<txp_watch_drop_key, txp_watch_count>(
      skeleton_->maps.drops, [&](const txp_watch_drop_key& k, const txp_watch_count& c) {
        if (c.packets == 0) return;
        const auto stage = drop_stage(kernel_drop(k.reason, k.location, k.flags, k.point));
        if (!stage) {
          t.elsewhere += c.packets;
          return;
        }
        if (!options_.stages.empty() && !contains(options_.stages, *stage)) return;
        t.stages[static_cast<std::size_t>(*stage)].drops[reason_] += c.packets;
        WatchDrop d{reason_, place_text(symbols(), k.location), stage, "", 0, 0};
        if (k.ifindex != 0) {
          auto& dev = device(t, k.netns, k.ifindex);
          dev.drops += c.packets;
          d.dev = dev.name;
        }
        for (WatchDrop& known : t.drops)
          if (known.reason == d.reason && known.location == d.location && known.dev == d.dev &&
              known.stage == d.stage) {
            known.packets += c.packets;
            known.bytes += c.bytes;
            return;
          }
        d.packets = c.packets;
        d.bytes = c.bytes;
        t.drops.push_back(std::move(d));
      });
  std::ranges::sort(t.drops, std::ranges::greater{}, &WatchDrop::packets);
}

void KernelWatch::add_latency(WatchTotals& t) {
  const auto cpus = static_cast<std::size_t>(libbpf_num_possible_cpus());
  std::vector<txp_watch_hist> values(cpus);
  for (std::uint32_t key = 0; key < TXP_MARK_COUNT * TXP_MARK_COUNT; ++key) {
    if (bpf_map_lookup_elem(bpf_map__fd(skeleton_->maps.hists), &key, values.data()) != 0) continue;
    WatchHist h;
    h.from = kMarkNames[key / TXP_MARK_COUNT];
    h.to = kMarkNames[key % TXP_MARK_COUNT];
    for (const txp_watch_hist& v : values) {
      h.count += v.count;
      h.sum += v.sum;
      h.max = std::max(h.max, std::uint64_t{v.max});
      for (std::size_t i = 0; i < h.bucket.size(); ++i) h.bucket[i] += v.bucket[i];
    }
    if (h.count != 0) t.latency.push_back(h);
  }
}

WatchTotals KernelWatch::totals() {
  WatchTotals t;
  if (implied_) t.stages[static_cast<std::size_t>(Stage::dev_hard_start_xmit)].seen = true;
  for (const WatchPoint* p : attached_)
    if (p->kind == PointKind::packet || p->kind == PointKind::entry ||
        p->point == TXP_POINT_softirq_entry)
      t.stages[static_cast<std::size_t>(p->stage)].seen = true;
  add_counts(t);
  add_drops(t);
  if (options_.latency) add_latency(t);
  std::ranges::sort(t.devices, {}, [](const auto& d) { return std::pair(d.netns, d.ifindex); });
  t.lost = lost();
  return t;
}

}  // namespace

Result<std::unique_ptr<Watch>> Watch::open(const WatchOptions& options) {
  auto watch = std::make_unique<KernelWatch>(options);
  if (auto opened = watch->open(); !opened) return std::unexpected(opened.error());
  return watch;
}

}  // namespace txp
