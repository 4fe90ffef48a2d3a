// SPDX-License-Identifier: Apache-2.0
// One UDP datagram from the send call to a driver that does nothing: the walk.
#include <benchmark/benchmark.h>

#include <stdexcept>
#include <utility>
#include <vector>

#include "kernel_sender.h"
#include "lwip_sender.h"
#include "txpath/txpath.h"

namespace {

// Ours, through the public API: a namespace made by code, its device with the null driver and the
// next hop known.
class TxpathSender {
 public:
  explicit TxpathSender(const char* qdisc)
      : net_(txpath::Net::create()), unconnected_(socket()), connected_(socket()) {
    check(net_.add_link({.name = "null0", .qdisc = qdisc}));
    check(net_.add_address("null0", "10.9.0.1/24"));
    check(net_.add_neighbour("null0", peer_.address, "02:00:00:00:00:02"));
    check(connected_.connect(peer_));
  }
  bool sendto(std::span<const std::uint8_t> payload) {
    return unconnected_.send_to(payload, peer_).has_value();
  }
  bool send(std::span<const std::uint8_t> payload) { return connected_.send(payload).has_value(); }
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
};

template <bool (TxpathSender::*kSend)(std::span<const std::uint8_t>)>
void txpath_walk(benchmark::State& state, const char* qdisc) {
  TxpathSender sender(qdisc);
  const std::vector<std::uint8_t> payload(static_cast<std::size_t>(state.range(0)), 0x5a);
  for (auto _ : state)
    if (!(sender.*kSend)(payload)) state.SkipWithError("txpath refused");
  const txpath::Stats stats = sender.stats();
  if (!stats.conserved() || stats.delivered != static_cast<std::uint64_t>(state.iterations()))
    state.SkipWithError("txpath lost packets");
  state.SetItemsProcessed(state.iterations());
}
void txpath_sendto(benchmark::State& state, const char* qdisc) {
  txpath_walk<&TxpathSender::sendto>(state, qdisc);
}
void txpath_send(benchmark::State& state, const char* qdisc) {
  txpath_walk<&TxpathSender::send>(state, qdisc);
}
BENCHMARK_CAPTURE(txpath_sendto, noqueue, "noqueue")->Name("txpath/sendto")->Arg(64)->Arg(1400);
BENCHMARK_CAPTURE(txpath_send, noqueue, "noqueue")->Name("txpath/connected")->Arg(64)->Arg(1400);
BENCHMARK_CAPTURE(txpath_sendto, pfifo_fast, "pfifo_fast")
    ->Name("txpath/sendto, pfifo_fast")
    ->Arg(64)
    ->Arg(1400);

LwipSender& lwip() {
  static LwipSender sender;
  return sender;
}

template <bool (LwipSender::*kSend)(std::span<const std::uint8_t>)>
void lwip_walk(benchmark::State& state) {
  const std::vector<std::uint8_t> payload(static_cast<std::size_t>(state.range(0)), 0x5a);
  const std::uint64_t before = lwip().frames();
  for (auto _ : state)
    if (!(lwip().*kSend)(payload)) state.SkipWithError("lwIP refused");
  if (lwip().frames() - before != static_cast<std::uint64_t>(state.iterations()))
    state.SkipWithError("lwIP lost frames");
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(lwip_walk<&LwipSender::sendto>)->Name("lwip/sendto")->Arg(64)->Arg(1400);
BENCHMARK(lwip_walk<&LwipSender::send>)->Name("lwip/connected")->Arg(64)->Arg(1400);

KernelSender& kernel() {
  static KernelSender sender;
  return sender;
}

template <bool (KernelSender::*kSend)(std::span<const std::uint8_t>)>
void kernel_walk(benchmark::State& state) {
  if (!kernel().why_not().empty()) {
    state.SkipWithError(kernel().why_not().c_str());
    return;
  }
  const std::vector<std::uint8_t> payload(static_cast<std::size_t>(state.range(0)), 0x5a);
  for (auto _ : state)
    if (!(kernel().*kSend)(payload)) state.SkipWithError("the kernel refused");
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(kernel_walk<&KernelSender::sendto>)->Name("kernel/sendto")->Arg(64)->Arg(1400);
BENCHMARK(kernel_walk<&KernelSender::send>)->Name("kernel/connected")->Arg(64)->Arg(1400);

}  // namespace
