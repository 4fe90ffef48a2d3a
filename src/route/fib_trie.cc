// SPDX-License-Identifier: Apache-2.0
#include "route/fib_trie.h"

#include <algorithm>

namespace txp {

FibTrie::~FibTrie() { delete jump_.load(std::memory_order_relaxed); }

void FibTrie::walk(std::uint32_t i, Ip4 key, TrieMatches& out) const {
  out.count = 0;
  while (i != 0) {
    const TrieNode& t = a_.nodes.at(i);
    if (((key.host ^ t.key) & inet_make_mask(t.plen)) != 0) return;
    if (t.alias.load(std::memory_order_acquire) != 0) out.node[out.count++] = i;
    if (t.plen == 32) return;
    i = t.child[key_bit(key.host, t.plen)].load(std::memory_order_acquire);
  }
}

void FibTrie::match(Ip4 key, TrieMatches& out) const {
  out.from = 0;
  if (const Jump* jump = jump_.load(std::memory_order_acquire); jump != nullptr) {
    const std::uint32_t i = (*jump)[key.host >> kJumpBits].load(std::memory_order_acquire);
    if (i != 0) {
      out.from = a_.nodes.at(i).plen;
      return walk(i, key, out);
    }
  }
  walk(root_.load(std::memory_order_acquire), key, out);
}

void FibTrie::match_rest(Ip4 key, TrieMatches& out) const {
  const unsigned from = out.from;
  out.from = 0;
  out.count = 0;
  if (from == 0) return;
  walk(root_.load(std::memory_order_acquire), key, out);
  while (out.count != 0 && a_.nodes.at(out.node[out.count - 1]).plen >= from) --out.count;
}

// A node has come into the trie: it serves the slots whose node so far is above it.
void FibTrie::linked(std::uint32_t node) {
  Jump* jump = jump_.load(std::memory_order_relaxed);
  const TrieNode& t = a_.nodes.at(node);
  if (jump == nullptr || t.plen > kJumpBits) return;
  const std::uint32_t first = t.key >> kJumpBits;
  for (std::uint32_t s = first; s < first + (1U << (kJumpBits - t.plen)); ++s) {
    const std::uint32_t old = (*jump)[s].load(std::memory_order_relaxed);
    if (old == 0 || a_.nodes.at(old).plen < t.plen)
      (*jump)[s].store(node, std::memory_order_release);
  }
}

// A node is about to go; `parent`, which may be 0, serves its slots.
void FibTrie::unlinked(std::uint32_t node, std::uint32_t parent) {
  Jump* jump = jump_.load(std::memory_order_relaxed);
  const TrieNode& t = a_.nodes.at(node);
  if (jump == nullptr || t.plen > kJumpBits) return;
  const std::uint32_t first = t.key >> kJumpBits;
  for (std::uint32_t s = first; s < first + (1U << (kJumpBits - t.plen)); ++s)
    if ((*jump)[s].load(std::memory_order_relaxed) == node)
      (*jump)[s].store(parent, std::memory_order_release);
}

void FibTrie::build_jump() {
  auto* jump = new Jump{};
  std::array<std::uint32_t, 66> stack;
  unsigned n = 0;
  stack[n++] = root_.load(std::memory_order_relaxed);
  while (n != 0) {
    const std::uint32_t i = stack[--n];
    const TrieNode& t = a_.nodes.at(i);
    if (t.plen > kJumpBits) continue;
    const std::uint32_t first = t.key >> kJumpBits;
    // From the top down, so a deeper node writes over its parents.
    for (std::uint32_t s = first; s < first + (1U << (kJumpBits - t.plen)); ++s)
      (*jump)[s].store(i, std::memory_order_relaxed);
    for (const auto& c : t.child)
      if (const std::uint32_t below = c.load(std::memory_order_relaxed); below != 0)
        stack[n++] = below;
  }
  jump_.store(jump, std::memory_order_release);
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
  if (nodes_ >= jump_from_ && nodes_ != 0 && jump_.load(std::memory_order_relaxed) == nullptr)
    build_jump();
  const std::uint32_t key = prefix.addr.host & inet_make_mask(prefix.len);
  std::atomic<std::uint32_t>* link = &root_;
  for (;;) {
    const std::uint32_t i = link->load(std::memory_order_relaxed);
    if (i == 0) {
      const std::uint32_t leaf = new_node(key, prefix.len);
      if (leaf != 0) {
        link->store(leaf, std::memory_order_release);
        linked(leaf);
      }
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
      linked(made);
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
    linked(branch);
    linked(made);
    return made;
  }
}

void FibTrie::prune(Prefix4 prefix) {
  const std::uint32_t key = prefix.addr.host;
  std::uint32_t grandparent = 0, parent = 0, i = 0;
  std::atomic<std::uint32_t>* up = nullptr;  // the link to the parent
  std::atomic<std::uint32_t>* link = &root_;
  for (;;) {
    i = link->load(std::memory_order_relaxed);
    if (i == 0) return;
    TrieNode& t = a_.nodes.at(i);
    if (t.plen > prefix.len || ((key ^ t.key) & inet_make_mask(t.plen)) != 0) return;
    if (t.plen == prefix.len) break;
    grandparent = parent;
    parent = i;
    up = link;
    link = &t.child[key_bit(key, t.plen)];
  }
  // Takes a node with at most one child out.
  const auto take_out = [this](std::atomic<std::uint32_t>& from, std::uint32_t n,
                               std::uint32_t above) {
    const TrieNode& t = a_.nodes.at(n);
    const std::uint32_t left = t.child[0].load(std::memory_order_relaxed);
    from.store(left != 0 ? left : t.child[1].load(std::memory_order_relaxed),
               std::memory_order_release);
    unlinked(n, above);
    --nodes_;
    graveyard_.bury_node(n);
  };
  const TrieNode& t = a_.nodes.at(i);
  const int children = (t.child[0].load(std::memory_order_relaxed) != 0 ? 1 : 0) +
                       (t.child[1].load(std::memory_order_relaxed) != 0 ? 1 : 0);
  if (t.alias.load(std::memory_order_relaxed) != 0 || children == 2) return;
  take_out(*link, i, parent);
  // The parent lost a child: without routes of its own it is no longer needed.
  if (children == 0 && parent != 0 &&
      a_.nodes.at(parent).alias.load(std::memory_order_relaxed) == 0)
    take_out(*up, parent, grandparent);
}

void FibTrie::clear() {
  std::vector<std::uint32_t> stack;
  if (const std::uint32_t r = root_.exchange(0, std::memory_order_acq_rel); r != 0)
    stack.push_back(r);
  if (Jump* jump = jump_.load(std::memory_order_relaxed); jump != nullptr)
    for (auto& slot : *jump) slot.store(0, std::memory_order_release);
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
