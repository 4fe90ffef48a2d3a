// SPDX-License-Identifier: Apache-2.0
// One UDP datagram from the send call to a driver that does nothing: the walk.
#include <benchmark/benchmark.h>

#include <vector>

#include "kernel_sender.h"
#include "lwip_sender.h"

namespace {

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
