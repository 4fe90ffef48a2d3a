// SPDX-License-Identifier: Apache-2.0
// One UDP datagram from the send call to a driver that does nothing: the walk.
#include <benchmark/benchmark.h>

#include <vector>

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

}  // namespace
