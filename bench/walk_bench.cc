// SPDX-License-Identifier: Apache-2.0
// One UDP datagram from the send call to a driver that does nothing: flying, and walking.
#include <benchmark/benchmark.h>

#include <vector>

#include "kernel_sender.h"
#include "lwip_sender.h"
#include "txpath_sender.h"

namespace {

template <bool (TxpathSender::*kSend)(std::span<const std::uint8_t>)>
void txpath_walk(benchmark::State& state, const char* qdisc, bool fly = true,
                 std::int64_t datagrams = 1) {
  TxpathSender sender(qdisc, fly);
  const std::vector<std::uint8_t> payload(static_cast<std::size_t>(state.range(0)), 0x5a);
  for (auto _ : state)
    if (!(sender.*kSend)(payload)) state.SkipWithError("txpath refused");
  const txpath::Stats stats = sender.stats();
  const auto calls = static_cast<std::uint64_t>(state.iterations() * datagrams);
  if (!stats.conserved() || stats.dropped != 0 || stats.walked + stats.flown != calls)
    state.SkipWithError("txpath lost packets");
  state.SetItemsProcessed(state.iterations() * datagrams);
}
void txpath_sendto(benchmark::State& state, const char* qdisc) {
  txpath_walk<&TxpathSender::sendto>(state, qdisc);
}
void txpath_send(benchmark::State& state, const char* qdisc) {
  txpath_walk<&TxpathSender::send>(state, qdisc);
}
void txpath_sendto_walk(benchmark::State& state, const char* qdisc) {
  txpath_walk<&TxpathSender::sendto>(state, qdisc, false);
}
void txpath_send_walk(benchmark::State& state, const char* qdisc) {
  txpath_walk<&TxpathSender::send>(state, qdisc, false);
}
void txpath_batch(benchmark::State& state, const char* qdisc) {
  txpath_walk<&TxpathSender::send_batch>(state, qdisc, true, std::int64_t{TxpathSender::kBatch});
}
BENCHMARK_CAPTURE(txpath_sendto_walk, noqueue, "noqueue")
    ->Name("walk/sendto")
    ->Arg(64)
    ->Arg(1400)
    ->Arg(8192);
BENCHMARK_CAPTURE(txpath_send_walk, noqueue, "noqueue")->Name("walk/connected")->Arg(64)->Arg(1400);
BENCHMARK_CAPTURE(txpath_batch, noqueue, "noqueue")->Name("txpath/batch of 32")->Arg(64)->Arg(1400);
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
