// SPDX-License-Identifier: Apache-2.0
// Taps of a txpath::Net.
#include "tap/taps.h"

#include <fmt/format.h>

#include "api/net_impl.h"
#include "dev/netdevice.h"
#include "tap/pcap_filter.h"
#include "tap/pcapng_writer.h"

namespace txpath {
Net::Impl::~Impl() {
  const std::lock_guard guard(net.rtnl);
  for (auto& [id, tap] : taps) net.dev->remove_tap(tap.get());
}

Result<Net::TapId> Net::Impl::add_tap(const std::string& dev, std::unique_ptr<txp::Tap> tap) {
  const std::lock_guard guard(net.rtnl);
  txp::NetDevice* device = nullptr;
  if (!dev.empty()) {
    device = net.dev->by_name(dev);
    if (device == nullptr) return std::unexpected(Error{fmt::format("no device {}", dev)});
  }
  net.dev->add_tap(device, tap.get());
  taps.emplace(++last_tap, std::move(tap));
  return last_tap;
}

namespace {

std::unique_ptr<txp::Tap> callback(std::function<void(const Frame&)> see) {
  return std::make_unique<txp::CallbackTap>(
      [see = std::move(see)](const txp::TapFrame& f) { see({f.dev, f.bytes, f.outgoing}); });
}

}  // namespace

Result<Net::TapId> Net::add_tap(const std::string& dev, std::function<void(const Frame&)> see) {
  return impl_->add_tap(dev, callback(std::move(see)));
}

Result<Net::TapId> Net::add_tap(const std::string& dev, const std::string& filter,
                                std::function<void(const Frame&)> see) {
  auto compiled = txp::PcapFilter::compile(filter);
  if (!compiled) return std::unexpected(Error{compiled.error().what});
  return impl_->add_tap(
      dev, std::make_unique<txp::FilteredTap>(std::move(*compiled), callback(std::move(see))));
}

Result<Net::TapId> Net::add_capture(const std::string& dev, const std::string& path) {
  auto writer = txp::PcapngWriter::open(path);
  if (!writer) return std::unexpected(Error{writer.error().what});
  auto id = impl_->add_tap(dev, std::make_unique<txp::PcapngTap>(*writer));
  if (id) impl_->captures.emplace(*id, std::move(*writer));
  return id;
}

Result<void> Net::remove_tap(TapId tap) {
  const auto at = impl_->taps.find(tap);
  if (at == impl_->taps.end()) return std::unexpected(Error{fmt::format("no tap {}", tap)});
  {
    const std::lock_guard guard(impl_->net.rtnl);
    impl_->net.dev->remove_tap(at->second.get());
    impl_->net.retired.flush();  // no sender is inside it any more
  }
  impl_->taps.erase(at);
  if (const auto capture = impl_->captures.find(tap); capture != impl_->captures.end()) {
    const auto writer = std::move(capture->second);
    impl_->captures.erase(capture);
    if (auto closed = writer->close(); !closed) return std::unexpected(Error{closed.error().what});
  }
  return {};
}

}  // namespace txpath
