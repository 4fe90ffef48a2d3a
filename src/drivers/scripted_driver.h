// SPDX-License-Identifier: Apache-2.0
// For unit tests: a driver that does what the test says (busy N times, then ok), and a device with
// frames to send through it.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "base/checksum.h"
#include "dev/netdevice.h"
#include "net.h"
#include "wire/ethernet.h"
#include "wire/ipv4.h"
#include "wire/udp.h"

namespace txp::testing {

class ScriptedDriver : public Driver {
 public:
  explicit ScriptedDriver(DriverFeatures features = {}) : features_(features) {}
  DriverFeatures features() const override { return features_; }

  NetdevTx ndo_start_xmit(Net& net, NetDevice& dev, unsigned queue, SkbPtr& skb,
                          bool more) override {
    ++calls;
    if (busy > 0) {
      --busy;
      return NetdevTx::busy;
    }
    if (keep) {
      const auto b = std::as_const(*skb).bytes();
      frames.emplace_back(b.begin(), b.end());
      mores.push_back(more);
      queues.push_back(queue);
    } else {
      ++taken;
    }
    consume(std::move(skb));
    if (stop_after > 0 && --stop_after == 0) dev.tx[queue]->stopped = true;
    if (on_frame) on_frame(net, dev);
    return NetdevTx::ok;
  }

  int busy = 0;        // BUSY so many times
  int stop_after = 0;  // stops the queue after so many frames
  bool keep = true;
  std::function<void(Net&, NetDevice&)> on_frame;
  int calls = 0;
  std::uint64_t taken = 0;  // frames, when not kept
  std::vector<std::vector<std::uint8_t>> frames;
  std::vector<bool> mores;
  std::vector<unsigned> queues;

 private:
  const DriverFeatures features_;
};

inline Link test_link(std::string kind = "", unsigned queues = 1) {
  Link link;
  link.ifindex = 2;
  link.name = "d0";
  link.kind = std::move(kind);
  link.flags = kIffUp | kIffRunning | kIffLowerUp | kIffBroadcast | kIffMulticast;
  link.num_tx_queues = queues;
  link.address = {{2, 0, 0, 0, 0, 1}};
  return link;
}

inline QdiscSpec root_qdisc(std::string kind, std::vector<std::uint8_t> options = {}) {
  QdiscSpec spec;
  spec.ifindex = 2;
  spec.parent = 0xffffffff;
  spec.handle = 0x80010000;
  spec.text = "qdisc " + kind + " 8001: dev d0 root";
  spec.kind = std::move(kind);
  spec.options = std::move(options);
  return spec;
}

// struct tc_fifo_qopt.
inline std::vector<std::uint8_t> fifo_limit(std::uint32_t limit) {
  std::vector<std::uint8_t> bytes(sizeof limit);
  std::memcpy(bytes.data(), &limit, sizeof limit);
  return bytes;
}

// A Net with one device, a scripted driver behind it, and frames that carry a number.
struct Bed {
  explicit Bed(const Link& link = test_link(), DriverFeatures features = {}) {
    const std::lock_guard guard(net.rtnl);
    dev = &net.dev->set_link(link);
    auto made = std::make_unique<ScriptedDriver>(features);
    driver = made.get();
    net.dev->attach(*dev, std::move(made));
  }
  void qdisc(QdiscSpec spec) { qdiscs({std::move(spec)}); }
  void qdiscs(const std::vector<QdiscSpec>& specs) {
    const std::lock_guard guard(net.rtnl);
    net.dev->set_qdiscs(dev->ifindex, specs);
  }
  Qdisc& q(unsigned queue = 0) { return *dev->tx[queue]->qdisc; }

  // An Ethernet frame with UDP from 10.0.0.1:1 to 10.0.0.2:2, checksum partial.
  SkbPtr frame(std::span<const std::uint8_t> payload, std::uint32_t priority = 0) {
    constexpr std::size_t kHeaders = kEthHlen + kIpHlen + kUdpHlen;
    SkbPtr skb = alloc_skb(net, 16 + kHeaders + payload.size());
    skb->reserve(16);
    skb->set_mac_header();
    std::uint8_t* p = skb->put(kHeaders + payload.size());
    EthernetHeader{{{2, 0, 0, 0, 0, 2}}, {{2, 0, 0, 0, 0, 1}}, kEthPIp}.emit(p);
    skb->network_header = static_cast<std::uint16_t>(skb->mac_header + kEthHlen);
    skb->transport_header = static_cast<std::uint16_t>(skb->network_header + kIpHlen);
    const auto udp_len = static_cast<std::uint16_t>(kUdpHlen + payload.size());
    Ipv4Header ip;
    ip.tot_len = static_cast<std::uint16_t>(kIpHlen + udp_len);
    ip.id = 0xfffe;
    ip.ttl = 64;
    ip.protocol = kIpProtoUdp;
    ip.saddr = Ip4{0x0a000001};
    ip.daddr = Ip4{0x0a000002};
    ip.emit(skb->network());
    Ipv4View(skb->network()).send_check();
    UdpHeader udp{1, 2, udp_len, 0};
    udp.check = static_cast<std::uint16_t>(
        ~csum_fold(csum_tcpudp_nofold(ip.saddr.host, ip.daddr.host, udp_len, kIpProtoUdp, 0)));
    udp.emit(skb->transport());
    if (!payload.empty()) std::memcpy(skb->transport() + kUdpHlen, payload.data(), payload.size());
    skb->protocol = kEthPIp;
    skb->ip_summed = IpSummed::partial;
    skb->csum_start = skb->transport_header;
    skb->csum_offset = kUdpCheckOffset;
    skb->priority = priority;
    skb->dev = dev;
    skb->fl4.saddr = ip.saddr;
    skb->fl4.daddr = ip.daddr;
    skb->fl4.sport = 1;
    skb->fl4.dport = 2;
    return skb;
  }
  SkbPtr numbered(std::uint8_t number, std::uint32_t priority = 0) {
    const std::uint8_t payload[4] = {number, 0, 0, 0};
    return frame(payload, priority);
  }
  TxResult send(SkbPtr skb) {
    const RcuReader reader;
    born(net);
    return dev_queue_xmit(net, std::move(skb));
  }
  TxResult send(std::uint8_t number, std::uint32_t priority = 0) {
    return send(numbered(number, priority));
  }
  // The numbers of the frames that the driver took, in order.
  std::vector<int> sent() const {
    std::vector<int> numbers;
    for (const auto& f : driver->frames) numbers.push_back(f[kEthHlen + kIpHlen + kUdpHlen]);
    return numbers;
  }
  std::uint64_t drops(Stage stage, DropReason reason) const {
    return net.totals()
        .stages[static_cast<std::size_t>(stage)]
        .drops[static_cast<std::size_t>(reason)];
  }

  Net net{{.clock = Clock::manual(), .seed = 1}};
  NetDevice* dev = nullptr;
  ScriptedDriver* driver = nullptr;
};

}  // namespace txp::testing
