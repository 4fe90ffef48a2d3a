// SPDX-License-Identifier: Apache-2.0
#include "prove/observe.h"

#include <net/if.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <set>

#include "base/clock.h"
#include "explain/frame_layout.h"
#include "prove/kernel_send.h"
#include "tap/wire_capture.h"
#include "watch/flow.h"

namespace txp {
namespace {

constexpr Nanos kQuiet = 60 * kMillisecond;  // nothing new for so long: it is over
constexpr Nanos kLongest = kSecond;

// What tells one of our packets on a device from another's: its id, fragment, protocol, addresses.
using FrameKey = std::pair<std::string, std::vector<std::uint8_t>>;

FrameKey key_of(const std::string& dev, std::span<const std::uint8_t> frame) {
  FrameKey key{dev, {}};
  constexpr std::size_t kIp = 14;
  if (frame.size() < kIp + 20) return key;
  key.second.assign(frame.begin() + kIp + 4, frame.begin() + kIp + 8);  // id, fragment
  key.second.push_back(frame[kIp + 9]);                                 // protocol
  key.second.insert(key.second.end(), frame.begin() + kIp + 12, frame.begin() + kIp + 20);
  return key;
}

std::vector<wirecap::WireCapture> capture_everywhere() {
  std::vector<wirecap::WireCapture> all;
  const std::unique_ptr<struct if_nameindex, decltype(&::if_freenameindex)> names(
      ::if_nameindex(), &::if_freenameindex);
  if (!names) return all;
  for (const struct if_nameindex* i = names.get(); i->if_index != 0; ++i)
    if (auto c = wirecap::WireCapture::open(i->if_name, i->if_name,
                                            wirecap::WireCapture::Direction::leaving))
      all.push_back(std::move(*c));
  return all;
}

SeenEvent seen_event(const WatchEvent& e) {
  SeenEvent s;
  s.stage = e.stage;
  s.point = e.point->point;
  s.event = e.point->event;
  s.dev = std::string(e.raw->dev, ::strnlen(e.raw->dev, sizeof e.raw->dev));
  s.len = e.raw->len;
  s.value = e.raw->value;
  s.table = e.raw->point == TXP_POINT_fib_table_lookup ? e.raw->queue : 0;
  s.reason = e.reason;
  s.location = e.location;
  return s;
}

}  // namespace

Result<std::unique_ptr<Observer>> Observer::open() {
  WatchOptions o;
  o.netns = this_netns();
  o.pid = static_cast<std::uint32_t>(::getpid());
  o.events = true;
  auto watch = Watch::open(o);
  if (!watch) return std::unexpected(watch.error());
  return std::unique_ptr<Observer>(new Observer(std::move(*watch)));
}

Result<Observation> Observer::send(const FlowQuestion& question,
                                   std::span<const std::uint8_t> payload) {
  Observation seen;
  seen.watched.resize(kStageCount);
  for (const WatchPoint* p : watch_->attached())
    if (p->kind != PointKind::end) seen.watched[static_cast<std::size_t>(p->stage)] = true;
  watch_->poll(0, [](const WatchEvent&) {});  // what came before
  const std::uint64_t lost = watch_->lost();

  std::vector<wirecap::WireCapture> captures = capture_everywhere();
  const KernelSent sent = kernel_send(question, payload);
  seen.error = sent.error;
  seen.failed_call = sent.failed_call;

  std::multiset<FrameKey> ours;
  const Clock clock = Clock::monotonic();
  const Nanos begin = clock.now();
  for (Nanos last = begin, now = begin; now - last < kQuiet && now - begin < kLongest;
       now = clock.now())
    watch_->poll(20, [&](const WatchEvent& e) {
      last = clock.now();
      // An answer that came in between asks for its own route.
      if (e.raw->point == TXP_POINT_fib_table_lookup) {
        const auto flow = read_flow({e.raw->hdr, e.raw->hdr_len});
        if (!flow || flow->proto != "udp") return;
      }
      seen.events.push_back(seen_event(e));
      if (e.raw->point == TXP_POINT_net_dev_start_xmit)
        ours.insert(key_of(seen.events.back().dev, {e.raw->hdr, e.raw->hdr_len}));
    });
  if (watch_->lost() != lost) return fail("the ring was full: events are lost, try again");

  for (wirecap::WireCapture& c : captures) {
    std::vector<wirecap::WireFrame> frames;
    c.take(frames);
    bool take = false;
    for (wirecap::WireFrame& f : frames) {
      // Segments of a superframe follow its first.
      if (f.first_segment || f.superframe == 0) {
        const auto it = ours.find(key_of(f.dev, f.bytes));
        take = it != ours.end();
        if (take) ours.erase(it);
      }
      if (!take) continue;
      seen.superframe |= f.superframe != 0;
      seen.frames.push_back({f.dev, kArphrdEther, std::move(f.bytes)});
    }
  }
  return seen;
}

}  // namespace txp
