// SPDX-License-Identifier: Apache-2.0
// pcap-filter expressions inside the eBPF programs: libpcap compiles to classic BPF, which is
// translated to eBPF instructions and written over the programs' placeholder before they are
// loaded. So a packet that does not match costs a few compares, and nothing of the filter remains
// where there is none.
//
// The filter sees an Ethernet frame's first TXP_WATCH_HDR bytes; what it asks beyond them, or
// beyond the packet's linear part, does not match, as beyond the end of a packet. Differs from
// libpcap's own run in nothing else (a test and a fuzz target hold this).
//
// Registers: r1 the header, r2 the bytes that are there, r3 the frame's length; r0 is A, r4 is X,
// r5 is free. The sixteen words of memory lie behind the header.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"

struct bpf_insn;  // the eBPF one; libpcap's of the same name is seen in filter_compile.cc alone
struct bpf_program;

namespace txp {

struct ClassicInsn {
  std::uint16_t code = 0;
  std::uint8_t jt = 0, jf = 0;
  std::uint32_t k = 0;
};

// libpcap's work, for an Ethernet link.
[[nodiscard]] Result<std::vector<ClassicInsn>> compile_classic(const std::string& expression);
// What libpcap itself answers.
bool classic_match(std::span<const ClassicInsn> program, std::span<const std::uint8_t> packet,
                   std::uint32_t wirelen);

inline constexpr std::size_t kFilterRoom = 1024;  // instructions of the placeholder

[[nodiscard]] Result<std::vector<bpf_insn>> translate_filter(std::span<const ClassicInsn> program);
// Both.
[[nodiscard]] Result<std::vector<bpf_insn>> compile_filter(const std::string& expression);

// Writes `filter` over every placeholder among `program`; answers how many there were.
int place_filter(std::span<bpf_insn> program, std::span<const bpf_insn> filter);

}  // namespace txp
