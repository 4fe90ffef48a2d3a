// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <linux/bpf.h>

#include <algorithm>

#include "watch/event.h"
#include "watch/filter.h"

namespace txp {
namespace {

// Classic BPF's modes that eBPF's header lacks.
constexpr unsigned kLen = 0x80, kMsh = 0xa0, kRetA = 0x10, kMiscTxa = 0x80;
enum Reg : std::uint8_t { kA = 0, kHeader = 1, kValid = 2, kWire = 3, kX = 4, kFree = 5 };

class Translator {
 public:
  explicit Translator(std::span<const ClassicInsn> in) : in_(in) {}
  Result<std::vector<bpf_insn>> run();

 private:
  enum Label : int { kReject = -1, kEnd = -2 };  // others: a classic instruction's number
  struct Fixup {
    std::size_t at;
    int target;
  };

  void emit(unsigned code, unsigned dst, unsigned src, int off, std::uint32_t imm) {
    out_.push_back({.code = static_cast<__u8>(code),
                    .dst_reg = static_cast<__u8>(dst & 15),
                    .src_reg = static_cast<__u8>(src & 15),
                    .off = static_cast<__s16>(off),
                    .imm = static_cast<__s32>(imm)});
  }
  void mov(Reg dst, Reg src) { emit(BPF_ALU | BPF_MOV | BPF_X, dst, src, 0, 0); }
  void mov(Reg dst, std::uint32_t imm) { emit(BPF_ALU | BPF_MOV | BPF_K, dst, 0, 0, imm); }
  void jump(int target) {
    fixups_.push_back({out_.size(), target});
    emit(BPF_JMP | BPF_JA, 0, 0, 0, 0);
  }
  void jump_if(unsigned op, Reg dst, std::uint32_t imm, int target) {
    fixups_.push_back({out_.size(), target});
    emit(BPF_JMP32 | op | BPF_K, dst, 0, 0, imm);
  }
  void jump_if(unsigned op, Reg dst, Reg src, int target) {
    fixups_.push_back({out_.size(), target});
    emit(BPF_JMP32 | op | BPF_X, dst, src, 0, 0);
  }
  // The bytes from the header come in network order.
  void load(unsigned size, Reg from, int off) {
    emit(BPF_LDX | BPF_MEM | size, kA, from, off, 0);
    if (size != BPF_B) emit(BPF_ALU | BPF_END | BPF_TO_BE, kA, 0, 0, size == BPF_H ? 16 : 32);
  }
  static std::uint32_t bytes(unsigned size) { return size == BPF_W ? 4 : size == BPF_H ? 2 : 1; }
  static int memory(std::uint32_t k) { return TXP_WATCH_HDR + static_cast<int>(k) * 4; }

  bool load_absolute(unsigned size, std::uint32_t k);
  bool load_indirect(unsigned size, std::uint32_t k);
  bool one(int i, const ClassicInsn& c);
  bool alu(const ClassicInsn& c);
  bool branch(int i, const ClassicInsn& c);

  std::span<const ClassicInsn> in_;
  std::vector<bpf_insn> out_;
  std::vector<std::size_t> start_;
  std::vector<Fixup> fixups_;
};

bool Translator::load_absolute(unsigned size, std::uint32_t k) {
  if (k > TXP_WATCH_HDR - bytes(size)) {  // also what Linux means by a negative offset
    jump(kReject);
    return true;
  }
  jump_if(BPF_JLT, kValid, k + bytes(size), kReject);
  load(size, kHeader, static_cast<int>(k));
  return true;
}

bool Translator::load_indirect(unsigned size, std::uint32_t k) {
  mov(kFree, kX);
  emit(BPF_ALU | BPF_ADD | BPF_K, kFree, 0, 0, k);
  // X + k may not wrap: libpcap's bpf_filter() takes that as beyond the end.
  if (k != 0) jump_if(BPF_JLT, kFree, kX, kReject);
  jump_if(BPF_JGT, kFree, TXP_WATCH_HDR - bytes(size), kReject);
  mov(kA, kFree);
  emit(BPF_ALU | BPF_ADD | BPF_K, kA, 0, 0, bytes(size));
  jump_if(BPF_JGT, kA, kValid, kReject);
  emit(BPF_ALU64 | BPF_ADD | BPF_X, kFree, kHeader, 0, 0);
  load(size, kFree, 0);
  return true;
}

bool Translator::alu(const ClassicInsn& c) {
  const unsigned op = BPF_OP(c.code);
  const bool by_x = BPF_SRC(c.code) == BPF_X;
  switch (op) {
    case BPF_ADD:
    case BPF_SUB:
    case BPF_MUL:
    case BPF_OR:
    case BPF_AND:
    case BPF_XOR: break;
    case BPF_NEG: emit(BPF_ALU | BPF_NEG, kA, 0, 0, 0); return true;
    case BPF_LSH:
    case BPF_RSH:
      // Beyond 31 nothing is left (libpcap), where eBPF takes the shift modulo 32.
      if (by_x) {
        emit(BPF_JMP32 | BPF_JLT | BPF_K, kX, 0, 1, 32);  // over the next
        mov(kA, 0U);
      } else if (c.k > 31) {
        mov(kA, 0U);
        return true;
      }
      break;
    case BPF_DIV:
    case BPF_MOD:
      if (by_x) {
        jump_if(BPF_JEQ, kX, 0U, kReject);
      } else if (c.k == 0) {
        return false;
      }
      break;
    default: return false;
  }
  if (by_x)
    emit(BPF_ALU | op | BPF_X, kA, kX, 0, 0);
  else
    emit(BPF_ALU | op | BPF_K, kA, 0, 0, c.k);
  return true;
}

bool Translator::branch(int i, const ClassicInsn& c) {
  const auto size = static_cast<std::int64_t>(in_.size());
  if (BPF_OP(c.code) == BPF_JA) {
    if (std::int64_t{i} + 1 + c.k >= size) return false;
    jump(i + 1 + static_cast<int>(c.k));
    return true;
  }
  const unsigned op = BPF_OP(c.code);
  if (op != BPF_JEQ && op != BPF_JGT && op != BPF_JGE && op != BPF_JSET) return false;
  const int yes = i + 1 + c.jt, no = i + 1 + c.jf;
  if (yes >= size || no >= size) return false;
  if (yes != no) {
    if (BPF_SRC(c.code) == BPF_X)
      jump_if(op, kA, kX, yes);
    else
      jump_if(op, kA, c.k, yes);
  }
  jump(no);
  return true;
}

bool Translator::one(int i, const ClassicInsn& c) {
  const unsigned size = BPF_SIZE(c.code), mode = BPF_MODE(c.code);
  switch (BPF_CLASS(c.code)) {
    case BPF_LD:
      switch (mode) {
        case BPF_IMM: mov(kA, c.k); return true;
        case BPF_ABS: return load_absolute(size, c.k);
        case BPF_IND: return load_indirect(size, c.k);
        case BPF_MEM:
          if (c.k > 15) return false;
          emit(BPF_LDX | BPF_MEM | BPF_W, kA, kHeader, memory(c.k), 0);
          return true;
        case kLen: mov(kA, kWire); return true;
        default: return false;
      }
    case BPF_LDX:
      switch (mode) {
        case BPF_IMM: mov(kX, c.k); return true;
        case BPF_MEM:
          if (c.k > 15) return false;
          emit(BPF_LDX | BPF_MEM | BPF_W, kX, kHeader, memory(c.k), 0);
          return true;
        case kLen: mov(kX, kWire); return true;
        case kMsh:  // four times the low half of a byte: an IP header's length
          if (c.k > TXP_WATCH_HDR - 1) {
            jump(kReject);
            return true;
          }
          jump_if(BPF_JLT, kValid, c.k + 1, kReject);
          emit(BPF_LDX | BPF_MEM | BPF_B, kX, kHeader, static_cast<int>(c.k), 0);
          emit(BPF_ALU | BPF_AND | BPF_K, kX, 0, 0, 15);
          emit(BPF_ALU | BPF_LSH | BPF_K, kX, 0, 0, 2);
          return true;
        default: return false;
      }
    case BPF_ST:
    case BPF_STX:
      if (c.k > 15) return false;
      emit(BPF_STX | BPF_MEM | BPF_W, kHeader, BPF_CLASS(c.code) == BPF_ST ? kA : kX, memory(c.k),
           0);
      return true;
    case BPF_ALU: return alu(c);
    case BPF_JMP: return branch(i, c);
    case BPF_JMP32:  // classic BPF's RET has its number
      if ((c.code & 0x18) != kRetA) mov(kA, c.k);
      jump(kEnd);
      return true;
    default:  // classic BPF's MISC
      mov((c.code & 0xf8) == kMiscTxa ? kA : kX, (c.code & 0xf8) == kMiscTxa ? kX : kA);
      return true;
  }
}

Result<std::vector<bpf_insn>> Translator::run() {
  // The verifier wants every register written before it is read.
  mov(kA, 0U);
  mov(kX, 0U);
  // What no jump and no fall-through leads to the verifier refuses, so it is left out.
  std::vector<bool> reached(in_.size() + 1);
  if (!in_.empty()) reached[0] = true;
  for (std::size_t i = 0; i < in_.size(); ++i) {
    start_.push_back(out_.size());
    if (!reached[i]) continue;
    const ClassicInsn& c = in_[i];
    const std::size_t fixups = fixups_.size();
    if (!one(static_cast<int>(i), c))
      return fail(fmt::format("filter: instruction {} ({:#x}) is not classic BPF", i, c.code));
    for (std::size_t f = fixups; f < fixups_.size(); ++f)
      if (fixups_[f].target >= 0) reached[static_cast<std::size_t>(fixups_[f].target)] = true;
    const bool ends = !out_.empty() && out_.back().code == (BPF_JMP | BPF_JA);
    if (!ends) {
      if (i + 1 == in_.size()) return fail("filter: it runs over its end");
      reached[i + 1] = true;
    }
  }
  const std::size_t reject = out_.size();
  if (std::ranges::any_of(fixups_, [](const Fixup& f) { return f.target == kReject; })) mov(kA, 0U);
  if (out_.size() > kFilterRoom)
    return fail(
        fmt::format("filter: {} instructions, at most {} are possible", out_.size(), kFilterRoom));
  for (const Fixup& f : fixups_) {
    const std::size_t to = f.target == kReject ? reject
                           : f.target == kEnd  ? out_.size()
                                               : start_[static_cast<std::size_t>(f.target)];
    out_[f.at].off =
        static_cast<__s16>(static_cast<std::int64_t>(to) - static_cast<std::int64_t>(f.at) - 1);
  }
  return std::move(out_);
}

}  // namespace

Result<std::vector<bpf_insn>> translate_filter(std::span<const ClassicInsn> program) {
  return Translator(program).run();
}

Result<std::vector<bpf_insn>> compile_filter(const std::string& expression) {
  auto classic = compile_classic(expression);
  if (!classic) return std::unexpected(classic.error());
  return translate_filter(*classic);
}

int place_filter(std::span<bpf_insn> program, std::span<const bpf_insn> filter) {
  constexpr std::int32_t kSign = 0x70636170;  // watch.bpf.c: r0 = "pcap"
  constexpr std::uint8_t kJump = BPF_JMP | BPF_JA;
  int places = 0;
  for (std::size_t i = 0; i + kFilterRoom < program.size(); ++i) {
    const bpf_insn& sign = program[i];
    if (BPF_OP(sign.code) != BPF_MOV || sign.dst_reg != 0 || sign.imm != kSign) continue;
    const auto room = program.subspan(i + 1, kFilterRoom);
    if (!std::ranges::all_of(room, [](const bpf_insn& n) { return n.code == kJump && n.off == 0; }))
      continue;
    std::ranges::copy(filter, room.last(filter.size()).begin());
    ++places;
  }
  return places;
}

}  // namespace txp
