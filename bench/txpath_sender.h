// SPDX-License-Identifier: Apache-2.0
// Ours, through the public API: a namespace made by code, one device with the null driver, the next
// hop known.
#pragma once

#include <cstdint>
#include <cstring>
#include <span>
#include <stdexcept>
#include <utility>
#include <vector>

#include "txpath/txpath.h"

class TxpathSender {
 public:
  TxpathSender(const char* qdisc, bool fly)
      : net_(txpath::Net::create()), unconnected_(socket()), connected_(socket()) {
    check(net_.add_link({.name = "null0", .qdisc = qdisc}));
    check(net_.add_address("null0", "10.9.0.1/24"));
    check(net_.add_neighbour("null0", peer_.address, "02:00:00:00:00:02"));
    check(connected_.connect(peer_));
    net_.set_flying(fly);
  }
  bool sendto(std::span<const std::uint8_t> payload) {
    return unconnected_.send_to(payload, peer_).has_value();
  }
  bool send(std::span<const std::uint8_t> payload) { return connected_.send(payload).has_value(); }
  // kBatch datagrams in one call.
  static constexpr std::size_t kBatch = 32;
  bool send_batch(std::span<const std::uint8_t> payload) {
    if (batch_.empty() || batch_[0].payload.data() != payload.data() ||
        batch_[0].payload.size() != payload.size())
      batch_.assign(kBatch, {.to = nullptr, .payload = payload});
    return connected_.send_batch(batch_) == kBatch;
  }
  // Written straight into the frame, as a program would that makes its payload there.
  bool commit(std::span<const std::uint8_t> payload) {
    auto frame = connected_.reserve(payload.size());
    if (!frame) return false;
    std::memcpy(frame->bytes().data(), payload.data(), payload.size());
    return connected_.commit(std::move(*frame), payload.size()).has_value();
  }
  txpath::Stats stats() const { return net_.stats(); }

 private:
  txpath::UdpSocket socket() {
    auto made = net_.udp_socket();
    check(made);
    return std::move(*made);
  }
  template <typename R>
  static void check(const R& result) {
    if (!result) throw std::runtime_error("the benchmark's namespace could not be made");
  }

  txpath::Net net_;
  txpath::UdpSocket unconnected_;
  txpath::UdpSocket connected_;
  txpath::Endpoint peer_ = {{0x0a090002}, 9};
  std::vector<txpath::Message> batch_;
};
