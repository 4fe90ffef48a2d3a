// SPDX-License-Identifier: Apache-2.0
#include "tap/taps.h"

#include <utility>

#include "base/byteorder.h"
#include "base/checksum.h"
#include "dev/netdevice.h"
#include "net.h"
#include "wire/udp.h"

namespace txp {
namespace {

// The frame's bytes from the MAC header on, linear, with the checksum that the driver would add.
void copy_frame(const Skb& skb, std::vector<std::uint8_t>& to) {
  to.assign(skb.data, skb.tail);
  for (const Skb* f = skb.frag_list; f != nullptr; f = f->next)
    to.insert(to.end(), f->data, f->tail);
  if (skb.ip_summed != IpSummed::partial || skb.head + skb.csum_start < skb.data) return;
  const auto start = static_cast<std::size_t>(skb.head + skb.csum_start - skb.data);
  const std::size_t field = start + skb.csum_offset;
  if (field + 2 > to.size()) return;
  std::uint16_t check = csum_fold(csum_partial(std::span(to).subspan(start), 0));
  if (check == 0) check = kCsumMangled0;
  store_be16(&to[field], check);
}

void fill(TapFrame& frame, const Net& net, const NetDevice& dev, const Skb& skb, bool outgoing) {
  frame.dev = dev.name();
  frame.ifindex = dev.ifindex;
  frame.wall = net.clock.wall();
  frame.outgoing = outgoing;
  copy_frame(skb, frame.bytes);
}

}  // namespace

void PcapngTap::packet(const Net& net, const NetDevice& dev, const Skb& skb, bool outgoing) {
  if (skb.frag_list == nullptr && skb.ip_summed == IpSummed::none) {
    writer_->packet(dev.link(), net.clock.wall(), skb.bytes(), outgoing);
    return;
  }
  std::vector<std::uint8_t> bytes;
  copy_frame(skb, bytes);
  writer_->packet(dev.link(), net.clock.wall(), bytes, outgoing);
}

void RingTap::packet(const Net& net, const NetDevice& dev, const Skb& skb, bool outgoing) {
  const std::lock_guard guard(mutex_);
  const std::uint64_t n = seen_++;
  // The slot's memory is used again: nothing is allocated once the ring has been round.
  if (!frames_.empty()) fill(frames_[n % frames_.size()], net, dev, skb, outgoing);
}

std::vector<TapFrame> RingTap::frames() const {
  const std::lock_guard guard(mutex_);
  if (seen_ <= frames_.size())
    return {frames_.begin(), frames_.begin() + static_cast<std::ptrdiff_t>(seen_)};
  std::vector<TapFrame> all;
  for (std::size_t i = 0; i < frames_.size(); ++i)
    all.push_back(frames_[(seen_ + i) % frames_.size()]);
  return all;
}

std::uint64_t RingTap::seen() const {
  const std::lock_guard guard(mutex_);
  return seen_;
}

void QueueTap::packet(const Net& net, const NetDevice& dev, const Skb& skb, bool outgoing) {
  const std::lock_guard guard(mutex_);
  ++seen_;
  if (count_ == frames_.size()) {
    ++lost_;
    return;
  }
  fill(frames_[(head_ + count_++) % frames_.size()], net, dev, skb, outgoing);
}

bool QueueTap::take(TapFrame& frame) {
  const std::lock_guard guard(mutex_);
  if (count_ == 0) return false;
  std::swap(frame, frames_[head_]);  // the reader's old memory is used again
  head_ = (head_ + 1) % frames_.size();
  --count_;
  return true;
}

std::uint64_t QueueTap::seen() const {
  const std::lock_guard guard(mutex_);
  return seen_;
}
std::uint64_t QueueTap::lost() const {
  const std::lock_guard guard(mutex_);
  return lost_;
}

void CallbackTap::packet(const Net& net, const NetDevice& dev, const Skb& skb, bool outgoing) {
  TapFrame frame;
  fill(frame, net, dev, skb, outgoing);
  function_(frame);
}

}  // namespace txp
