// SPDX-License-Identifier: Apache-2.0
// Sends kDatagrams of them inside measured(), for valgrind to count; see bench/instructions.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "txpath_sender.h"

namespace {
constexpr int kDatagrams = 3200;
}

extern "C" [[gnu::noinline]] bool measured(TxpathSender& sender, const char* how,
                                           std::span<const std::uint8_t> payload) {
  bool good = true;
  if (std::strcmp(how, "batch") == 0) {
    for (std::size_t i = 0; i < kDatagrams / TxpathSender::kBatch; ++i)
      good &= sender.send_batch(payload);
  } else if (std::strcmp(how, "sendto") == 0) {
    for (int i = 0; i < kDatagrams; ++i) good &= sender.sendto(payload);
  } else {
    for (int i = 0; i < kDatagrams; ++i) good &= sender.send(payload);
  }
  return good;
}

// instructions HOW BYTES walk|fly
int main(int argc, char** argv) {
  if (argc != 4) return 2;
  const std::vector<std::uint8_t> payload(static_cast<std::size_t>(std::atoi(argv[2])), 0x5a);
  TxpathSender sender("noqueue", std::strcmp(argv[3], "fly") == 0);
  for (int i = 0; i < 4; ++i)
    if (!sender.send(payload) || !sender.sendto(payload) || !sender.send_batch(payload)) return 1;
  if (!measured(sender, argv[1], payload)) return 1;
  std::printf("%d\n", kDatagrams);
  return 0;
}
