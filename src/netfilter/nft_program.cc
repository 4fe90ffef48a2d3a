// SPDX-License-Identifier: Apache-2.0
#include "netfilter/nft_program.h"

#include <algorithm>

#include <fmt/format.h>

#include "netfilter/nft_compiler.h"
#include "netfilter/nft_set.h"

namespace txp {

NftArena::~NftArena() {
  for (auto end = ends_.rbegin(); end != ends_.rend(); ++end) end->destroy(end->object);
}

void* NftArena::room(std::size_t size, std::size_t align) {
  constexpr std::size_t kBlock = 64 * 1024;
  std::size_t at = (used_ + align - 1) & ~(align - 1);
  if (blocks_.empty() || at + size > size_) {
    size_ = std::max(kBlock, size);
    blocks_.push_back(std::make_unique<std::byte[]>(size_));
    at = 0;
  }
  used_ = at + size;
  return blocks_.back().get() + at;
}

NftProgram::NftProgram() = default;
NftProgram::~NftProgram() = default;

std::shared_ptr<const NftProgram> nft_compile(Net& net, const NftRuleset& ruleset,
                                              const NftProgram* old) {
  auto program = std::make_shared<NftProgram>();
  NftCompiler(net, *program, old).compile(ruleset);
  return program;
}

bool skb_copy_bits(const Skb& skb, std::uint32_t offset, std::span<std::uint8_t> to) {
  if (offset > skb.len || to.size() > skb.len - offset) return false;
  const Skb* part = &skb;
  std::size_t at = offset;
  std::size_t done = 0;
  while (part != nullptr && done < to.size()) {
    const auto here = static_cast<std::size_t>(part->tail - part->data);
    if (at < here) {
      const std::size_t n = std::min(here - at, to.size() - done);
      std::memcpy(to.data() + done, part->data + at, n);
      done += n;
      at += n;
    }
    at -= std::min(at, here);
    part = part == &skb ? skb.frag_list : part->next;
  }
  return done == to.size();
}

bool skb_store_bits(Skb& skb, std::uint32_t offset, std::span<const std::uint8_t> from) {
  if (offset > skb.len || from.size() > skb.len - offset) return false;
  Skb* part = &skb;
  std::size_t at = offset;
  std::size_t done = 0;
  while (part != nullptr && done < from.size()) {
    const auto here = static_cast<std::size_t>(part->tail - part->data);
    if (at < here) {
      const std::size_t n = std::min(here - at, from.size() - done);
      std::memcpy(part->data + at, from.data() + done, n);
      done += n;
      at += n;
    }
    at -= std::min(at, here);
    part = part == &skb ? skb.frag_list : part->next;
  }
  return done == from.size();
}

std::string nft_hex(std::span<const std::uint8_t> bytes) {
  std::string text = "0x";
  for (const std::uint8_t b : bytes) text += fmt::format("{:02x}", b);
  return text;
}

}  // namespace txp
