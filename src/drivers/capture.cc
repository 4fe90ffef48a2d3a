// SPDX-License-Identifier: Apache-2.0
// Only frames that the inner driver took are written, once each, with complete checksums. Frames
// that it receives do not pass through here.
#include "drivers/capture.h"

#include "dev/netdevice.h"
#include "dev/skb_gso_segment.h"
#include "net.h"
#include "tap/pcapng_writer.h"

namespace txp {
namespace {

class CaptureWrapper final : public Driver {
 public:
  CaptureWrapper(std::unique_ptr<Driver> inner, std::shared_ptr<PcapngWriter> writer)
      : inner_(std::move(inner)), writer_(std::move(writer)) {}

  DriverFeatures features() const override { return inner_->features(); }

  NetdevTx ndo_start_xmit(Net& net, NetDevice& dev, unsigned queue, SkbPtr& skb,
                          bool more) override {
    SkbPtr copy = skb_copy(net, *skb);  // from the pool; the inner driver ends the packet
    const NetdevTx result = inner_->ndo_start_xmit(net, dev, queue, skb, more);
    if (!copy) return result;
    if (result == NetdevTx::ok) {
      if (!copy->is_gso()) skb_checksum_help(*copy);
      writer_->packet(dev.link(), net.clock.wall(), copy->bytes(), true);
    }
    free_skb(std::move(copy));
    return result;
  }
  std::size_t poll(Net& net, NetDevice& dev, std::size_t budget) override {
    return inner_->poll(net, dev, budget);
  }
  int fd() const override { return inner_->fd(); }
  std::vector<std::pair<std::string, std::uint64_t>> stats() const override {
    auto all = inner_->stats();
    all.emplace_back("capture_packets", writer_->packets());
    return all;
  }

 private:
  std::unique_ptr<Driver> inner_;
  std::shared_ptr<PcapngWriter> writer_;
};

}  // namespace

Result<std::unique_ptr<Driver>> make_capture(std::unique_ptr<Driver> inner,
                                             const std::string& file) {
  auto writer = PcapngWriter::open(file);
  if (!writer) return std::unexpected(writer.error());
  return make_capture(std::move(inner), std::move(*writer));
}

std::unique_ptr<Driver> make_capture(std::unique_ptr<Driver> inner,
                                     std::shared_ptr<PcapngWriter> writer) {
  return std::make_unique<CaptureWrapper>(std::move(inner), std::move(writer));
}

}  // namespace txp
