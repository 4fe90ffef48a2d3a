// SPDX-License-Identifier: Apache-2.0
// Longest prefix match. Kernel twin: net/ipv4/fib_trie.c.
//
// A binary path-compressed trie: a node is a prefix, with routes (aliases) or as a branch point.
// Differs from the kernel's level-compressed trie in shape only; the order of the matches, and of
// the aliases inside one prefix (tos descending, then priority ascending), is the kernel's.
//
// Memory: nodes and aliases of all tables live in two arenas of stable chunks and are named by
// 32-bit indices, 0 being none: 20 bytes a node, 12 bytes an alias.
//
// Threads: one writer (net.rtnl), any number of readers in an RcuReader. A writer publishes by one
// store of one index; what it takes out stays readable until a grace period has passed.
#pragma once

#include <array>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "wire/ip4.h"

namespace txp {

// Elements in chunks that never move. alloc() and free() by the writer, at() by anybody who has an
// index that was published.
template <typename T, unsigned kChunkBits>
class ChunkArena {
 public:
  static constexpr std::uint32_t kChunk = 1U << kChunkBits;
  static constexpr std::uint32_t kChunks = 4096;

  ChunkArena() = default;
  ~ChunkArena() {
    for (auto& c : chunks_) delete[] c.load(std::memory_order_relaxed);
  }
  ChunkArena(const ChunkArena&) = delete;
  ChunkArena& operator=(const ChunkArena&) = delete;

  T& at(std::uint32_t i) const {
    return chunks_[i >> kChunkBits].load(std::memory_order_acquire)[i & (kChunk - 1)];
  }
  // An element with whatever its last owner left in it; 0 when the arena is full.
  std::uint32_t alloc() {
    if (!free_.empty()) {
      const std::uint32_t i = free_.back();
      free_.pop_back();
      return i;
    }
    if ((next_ >> kChunkBits) >= kChunks) return 0;
    auto& chunk = chunks_[next_ >> kChunkBits];
    if (chunk.load(std::memory_order_relaxed) == nullptr) {
      chunk.store(new T[kChunk](), std::memory_order_release);
      ++allocated_;
    }
    return next_++;
  }
  // Only after a grace period.
  void free(std::uint32_t i) { free_.push_back(i); }
  std::size_t bytes() const {
    return allocated_ * kChunk * sizeof(T) + free_.capacity() * sizeof(std::uint32_t);
  }

 private:
  std::array<std::atomic<T*>, kChunks> chunks_{};
  std::uint32_t next_ = 1;
  std::size_t allocated_ = 0;
  std::vector<std::uint32_t> free_;
};

// One route at its prefix (struct fib_alias). `fi` and `tos` do not change once published.
struct FibAlias {
  std::atomic<std::uint32_t> next{0};
  std::uint32_t fi = 0;  // index of its FibInfo
  std::uint8_t tos = 0;
  // fa_default: which of several equal default routes served last; written by readers.
  std::atomic<std::int8_t> fa_default{-1};
};

struct TrieNode {
  std::uint32_t key = 0;
  std::atomic<std::uint32_t> child[2] = {0, 0};
  std::atomic<std::uint32_t> alias{0};  // the first; 0: a branch point
  std::uint8_t plen = 0;
};

// Indices on their way out: free for use again after a grace period.
class TrieGraveyard {
 public:
  virtual void bury_node(std::uint32_t node) = 0;
  virtual void bury_alias(std::uint32_t alias) = 0;

 protected:
  ~TrieGraveyard() = default;
};

struct TrieArenas {
  ChunkArena<TrieNode, 13> nodes;
  ChunkArena<FibAlias, 13> aliases;
};

// The nodes with routes on the way to a key, shortest prefix first.
struct TrieMatches {
  std::array<std::uint32_t, 33> node;
  unsigned count = 0;
  // Prefixes shorter than this were not looked at (0: all were); match_rest() does.
  unsigned from = 0;
};

class FibTrie {
 public:
  // A table of `jump_from` nodes gets a quick way in.
  static constexpr std::size_t kJumpFrom = 4096;
  FibTrie(TrieArenas& arenas, TrieGraveyard& graveyard, std::size_t jump_from = kJumpFrom)
      : a_(arenas), graveyard_(graveyard), jump_from_(jump_from) {}
  ~FibTrie();
  FibTrie(const FibTrie&) = delete;
  FibTrie& operator=(const FibTrie&) = delete;

  // Readers.
  void match(Ip4 key, TrieMatches& out) const;
  // What match() left out because it took the quick way.
  void match_rest(Ip4 key, TrieMatches& out) const;
  // The node of exactly this prefix, or 0.
  std::uint32_t find(Prefix4 prefix) const;
  const TrieNode& node(std::uint32_t i) const { return a_.nodes.at(i); }
  FibAlias& alias(std::uint32_t i) const { return a_.aliases.at(i); }
  // Calls visit(const TrieNode&) for every node that has routes, in the order of the keys, a
  // shorter prefix before the longer ones inside it.
  template <typename Visit>
  void for_each(Visit&& visit) const {
    std::array<std::uint32_t, 66> stack;
    unsigned n = 0;
    if (const std::uint32_t r = root_.load(std::memory_order_acquire); r != 0) stack[n++] = r;
    while (n != 0) {
      const TrieNode& t = node(stack[--n]);
      if (t.alias.load(std::memory_order_acquire) != 0) visit(t);
      for (int c = 1; c >= 0; --c)
        if (const std::uint32_t i = t.child[c].load(std::memory_order_acquire); i != 0)
          stack[n++] = i;
    }
  }

  // The writer. insert_node() gives the node of `prefix`, made when it was not there; 0: no room.
  // It stays a bare branch point until an alias is linked into it.
  std::uint32_t insert_node(Prefix4 prefix);
  // Takes a node without aliases out, and a branch point that has become useless with it.
  void prune(Prefix4 prefix);
  // Buries everything.
  void clear();

 private:
  // The quick way into big tables: for each value of a key's first 16 bits, the deepest node with
  // at most 16 bits of prefix that holds it; 0: none.
  static constexpr unsigned kJumpBits = 16;
  using Jump = std::array<std::atomic<std::uint32_t>, 1U << kJumpBits>;

  std::uint32_t new_node(std::uint32_t key, unsigned plen);
  void walk(std::uint32_t i, Ip4 key, TrieMatches& out) const;
  void linked(std::uint32_t node);
  void unlinked(std::uint32_t node, std::uint32_t parent);
  void build_jump();

  TrieArenas& a_;
  TrieGraveyard& graveyard_;
  std::atomic<std::uint32_t> root_{0};
  std::size_t nodes_ = 0;
  const std::size_t jump_from_;
  std::atomic<Jump*> jump_{nullptr};

 public:
  std::size_t bytes() const { return jump_.load(std::memory_order_relaxed) ? sizeof(Jump) : 0; }
};

// Where bit `pos` (0: the highest) of `key` leads.
constexpr unsigned key_bit(std::uint32_t key, unsigned pos) { return (key >> (31 - pos)) & 1; }

}  // namespace txp
