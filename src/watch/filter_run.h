// SPDX-License-Identifier: Apache-2.0
// Runs a translated filter outside the kernel: the few eBPF instructions that filter_translate.cc
// emits. For the tests that hold it against libpcap.
#pragma once

#include <linux/bpf.h>

#include <algorithm>
#include <cstring>
#include <span>

#include "watch/event.h"

namespace txp {

inline std::uint64_t run_filter(std::span<const bpf_insn> code,
                                std::span<const std::uint8_t> packet, std::uint32_t wirelen) {
  std::uint8_t memory[TXP_WATCH_HDR + 64] = {};
  const std::size_t valid = std::min<std::size_t>(packet.size(), TXP_WATCH_HDR);
  std::copy_n(packet.begin(), valid, memory);
  std::uint64_t r[6] = {0, 0, valid, wirelen, 0, 0};  // r1: offsets into `memory`
  const auto bytes = [](unsigned size) { return size == BPF_W ? 4U : size == BPF_H ? 2U : 1U; };
  for (std::size_t pc = 0; pc < code.size(); ++pc) {
    const bpf_insn& i = code[pc];
    std::uint64_t& dst = r[i.dst_reg];
    const std::uint64_t src =
        BPF_SRC(i.code) == BPF_X ? r[i.src_reg] : static_cast<std::uint32_t>(i.imm);
    const auto a = static_cast<std::uint32_t>(dst), b = static_cast<std::uint32_t>(src);
    switch (BPF_CLASS(i.code)) {
      case BPF_LDX: {
        const std::uint64_t at = r[i.src_reg] + static_cast<std::uint64_t>(i.off);
        const unsigned n = bytes(BPF_SIZE(i.code));
        if (at + n > sizeof memory) return ~0ULL;  // what the verifier would refuse
        std::uint64_t v = 0;
        std::memcpy(&v, memory + at, n);
        dst = v;
        break;
      }
      case BPF_STX: {
        const std::uint64_t at = r[i.dst_reg] + static_cast<std::uint64_t>(i.off);
        if (at < TXP_WATCH_HDR || at + 4 > sizeof memory) return ~0ULL;
        std::memcpy(memory + at, &r[i.src_reg], 4);
        break;
      }
      case BPF_ALU64: dst += src; break;
      case BPF_ALU:
        switch (BPF_OP(i.code)) {
          case BPF_ADD: dst = a + b; break;
          case BPF_SUB: dst = a - b; break;
          case BPF_MUL: dst = a * b; break;
          case BPF_DIV: dst = b == 0 ? 0 : a / b; break;
          case BPF_MOD: dst = b == 0 ? a : a % b; break;
          case BPF_OR: dst = a | b; break;
          case BPF_AND: dst = a & b; break;
          case BPF_XOR: dst = a ^ b; break;
          case BPF_LSH: dst = a << (b & 31); break;
          case BPF_RSH: dst = a >> (b & 31); break;
          case BPF_NEG: dst = 0U - a; break;
          case BPF_MOV: dst = b; break;
          case BPF_END:
            dst = i.imm == 16 ? __builtin_bswap16(static_cast<std::uint16_t>(a))
                              : __builtin_bswap32(a);
            break;
          default: return ~0ULL;
        }
        break;
      default: {
        bool jump = false;
        switch (BPF_OP(i.code)) {
          case BPF_JA: jump = true; break;
          case BPF_JEQ: jump = a == b; break;
          case BPF_JGT: jump = a > b; break;
          case BPF_JGE: jump = a >= b; break;
          case BPF_JLT: jump = a < b; break;
          case BPF_JSET: jump = (a & b) != 0; break;
          default: return ~0ULL;
        }
        if (jump) pc += static_cast<std::size_t>(i.off);
      }
    }
  }
  return r[0];
}

}  // namespace txp
