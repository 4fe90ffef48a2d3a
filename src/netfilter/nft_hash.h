// SPDX-License-Identifier: Apache-2.0
// Jenkins' hash as the kernel has it. Kernel twin: include/linux/jhash.h.
#pragma once

#include <cstdint>
#include <span>

namespace txp {

// jhash(): `length` bytes.
std::uint32_t nft_jhash(const std::uint8_t* key, std::uint32_t length, std::uint32_t seed);
// jhash2(): words as they lie in memory.
std::uint32_t nft_jhash2(std::span<const std::uint32_t> words, std::uint32_t seed);

}  // namespace txp
