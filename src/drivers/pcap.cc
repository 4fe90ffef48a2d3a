// SPDX-License-Identifier: Apache-2.0
#include "drivers/pcap.h"

#include "dev/netdevice.h"
#include "net.h"
#include "tap/pcapng_writer.h"

namespace txp {
namespace {

class PcapDriver final : public Driver {
 public:
  explicit PcapDriver(std::shared_ptr<PcapngWriter> writer) : writer_(std::move(writer)) {}

  NetdevTx ndo_start_xmit(Net& net, NetDevice& dev, unsigned, SkbPtr& skb, bool) override {
    writer_->packet(dev.link(), net.clock.wall(), skb->bytes(), true);
    consume(std::move(skb));
    return NetdevTx::ok;
  }
  std::vector<std::pair<std::string, std::uint64_t>> stats() const override {
    return {{"pcap_packets", writer_->packets()}};
  }

 private:
  std::shared_ptr<PcapngWriter> writer_;
};

}  // namespace

Result<std::unique_ptr<Driver>> make_pcap(const std::string& file) {
  auto writer = PcapngWriter::open(file);
  if (!writer) return std::unexpected(writer.error());
  return std::make_unique<PcapDriver>(std::move(*writer));
}

}  // namespace txp
