// SPDX-License-Identifier: Apache-2.0
#include "route/fib_trie.h"

#include <algorithm>

namespace txp {

void FibTrie::match(Ip4 key, TrieMatches& out) const {
  out.count = 0;
  std::uint32_t i = root_.load(std::memory_order_acquire);
  while (i != 0) {
    const TrieNode& t = a_.nodes.at(i);
    if (((key.host ^ t.key) & inet_make_mask(t.plen)) != 0) return;
    if (t.alias.load(std::memory_order_acquire) != 0) out.node[out.count++] = i;
    if (t.plen == 32) return;
    i = t.child[key_bit(key.host, t.plen)].load(std::memory_order_acquire);
  }
}

std::uint32_t FibTrie::find(Prefix4 prefix) const {
  std::uint32_t i = root_.load(std::memory_order_acquire);
  while (i != 0) {
    const TrieNode& t = a_.nodes.at(i);
    if (t.plen > prefix.len || ((prefix.addr.host ^ t.key) & inet_make_mask(t.plen)) != 0) return 0;
    if (t.plen == prefix.len) return i;
    i = t.child[key_bit(prefix.addr.host, t.plen)].load(std::memory_order_acquire);
  }
  return 0;
}

std::uint32_t FibTrie::new_node(std::uint32_t key, unsigned plen) {
  const std::uint32_t i = a_.nodes.alloc();
  if (i == 0) return 0;
  TrieNode& t = a_.nodes.at(i);
  t.key = key & inet_make_mask(plen);
  t.plen = static_cast<std::uint8_t>(plen);
  t.child[0].store(0, std::memory_order_relaxed);
  t.child[1].store(0, std::memory_order_relaxed);
  t.alias.store(0, std::memory_order_relaxed);
  ++nodes_;
  return i;
}

std::uint32_t FibTrie::insert_node(Prefix4 prefix) {
  const std::uint32_t key = prefix.addr.host & inet_make_mask(prefix.len);
  std::atomic<std::uint32_t>* link = &root_;
  for (;;) {
    const std::uint32_t i = link->load(std::memory_order_relaxed);
    if (i == 0) {
      const std::uint32_t leaf = new_node(key, prefix.len);
      if (leaf != 0) link->store(leaf, std::memory_order_release);
      return leaf;
    }
    TrieNode& t = a_.nodes.at(i);
    const auto differ = static_cast<unsigned>(std::countl_zero(key ^ t.key));
    const unsigned common = std::min({differ, unsigned{t.plen}, unsigned{prefix.len}});
    if (common == t.plen) {
      if (t.plen == prefix.len) return i;
      link = &t.child[key_bit(key, t.plen)];
      continue;
    }
    const std::uint32_t made = new_node(key, prefix.len);
    if (made == 0) return 0;
    if (common == prefix.len) {  // the new prefix holds the node's
      a_.nodes.at(made).child[key_bit(t.key, common)].store(i, std::memory_order_relaxed);
      link->store(made, std::memory_order_release);
      return made;
    }
    const std::uint32_t branch = new_node(key, common);
    if (branch == 0) {
      a_.nodes.free(made);
      --nodes_;
      return 0;
    }
    TrieNode& b = a_.nodes.at(branch);
    b.child[key_bit(t.key, common)].store(i, std::memory_order_relaxed);
    b.child[key_bit(key, common)].store(made, std::memory_order_relaxed);
    link->store(branch, std::memory_order_release);
    return made;
  }
}

void FibTrie::prune(Prefix4 prefix) {
  const std::uint32_t key = prefix.addr.host;
  std::atomic<std::uint32_t>* up = nullptr;  // the link to the parent
  std::atomic<std::uint32_t>* link = &root_;
  std::uint32_t i = 0;
  for (;;) {
    i = link->load(std::memory_order_relaxed);
    if (i == 0) return;
    TrieNode& t = a_.nodes.at(i);
    if (t.plen > prefix.len || ((key ^ t.key) & inet_make_mask(t.plen)) != 0) return;
    if (t.plen == prefix.len) break;
    up = link;
    link = &t.child[key_bit(key, t.plen)];
  }
  const auto bury = [this](std::uint32_t n) {
    --nodes_;
    graveyard_.bury_node(n);
  };
  TrieNode& t = a_.nodes.at(i);
  if (t.alias.load(std::memory_order_relaxed) != 0) return;
  const std::uint32_t left = t.child[0].load(std::memory_order_relaxed);
  const std::uint32_t right = t.child[1].load(std::memory_order_relaxed);
  if (left != 0 && right != 0) return;  // still a branch point
  link->store(left != 0 ? left : right, std::memory_order_release);
  bury(i);
  if (left != 0 || right != 0 || up == nullptr) return;
  // The parent lost a child: without routes of its own it is no longer needed.
  const std::uint32_t parent = up->load(std::memory_order_relaxed);
  TrieNode& p = a_.nodes.at(parent);
  if (p.alias.load(std::memory_order_relaxed) != 0) return;
  const std::uint32_t l = p.child[0].load(std::memory_order_relaxed);
  const std::uint32_t r = p.child[1].load(std::memory_order_relaxed);
  up->store(l != 0 ? l : r, std::memory_order_release);
  bury(parent);
}

void FibTrie::clear() {
  std::vector<std::uint32_t> stack;
  if (const std::uint32_t r = root_.exchange(0, std::memory_order_acq_rel); r != 0)
    stack.push_back(r);
  while (!stack.empty()) {
    const std::uint32_t i = stack.back();
    stack.pop_back();
    const TrieNode& t = a_.nodes.at(i);
    for (const auto& c : t.child)
      if (const std::uint32_t n = c.load(std::memory_order_relaxed); n != 0) stack.push_back(n);
    for (std::uint32_t fa = t.alias.load(std::memory_order_relaxed); fa != 0;
         fa = a_.aliases.at(fa).next.load(std::memory_order_relaxed))
      graveyard_.bury_alias(fa);
    graveyard_.bury_node(i);
  }
  nodes_ = 0;
}

}  // namespace txp
