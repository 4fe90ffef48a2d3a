// SPDX-License-Identifier: Apache-2.0
// Sets and maps: exact keys in a hash table, intervals in a sorted row, concatenations with
// intervals as classes of their fields, and dynamic sets, which packets change.
// Kernel twins: net/netfilter/nft_set_hash.c, nft_set_rbtree.c, nft_set_pipapo.c, nft_set_bitmap.c.
#pragma once

#include <memory>
#include <mutex>
#include <span>
#include <unordered_map>
#include <vector>

#include "base/clock.h"
#include "netfilter/nft_program.h"

namespace txp {

inline constexpr std::size_t kNftMaxKey = 64;  // NFT_DATA_VALUE_MAXLEN
using NftKey = std::array<std::uint8_t, kNftMaxKey>;

// What an element carries. In a set without data, timeouts and expressions there is none.
struct NftElem {
  std::array<std::uint8_t, kNftMaxKey> data{};
  NftVerdict verdict;
  const NfExpr* first = nullptr;      // expressions run when it matches (counter, quota, limit)
  const NftObject* object = nullptr;  // of an object map
  Nanos expires = 0;                  // 0: never
};

// An element as the compiler hands it in. `end`, when not empty, is an interval's last key.
struct NftElemKey {
  std::vector<std::uint8_t> key;
  std::vector<std::uint8_t> end;
};

// Exact keys (nft_hash, nft_bitmap): open addressing over keys that lie one after the other.
class NftSetHash {
 public:
  void build(std::size_t klen, std::span<const NftElemKey> keys);
  // The element's number; -1: it is not there.
  std::int32_t lookup(const std::uint8_t* key) const;
  bool empty() const { return slots_.empty(); }

 private:
  struct Slot {
    std::uint32_t tag = 0;
    std::int32_t elem = -1;
  };
  std::uint64_t hash(const std::uint8_t* key) const;
  std::size_t klen_ = 0;
  std::size_t mask_ = 0;
  std::vector<Slot> slots_;
  std::vector<std::uint8_t> keys_;
};

// Intervals that do not overlap (nft_rbtree): sorted by their first key.
class NftSetIntervals {
 public:
  void build(std::size_t klen, std::span<const NftElemKey> keys);
  std::int32_t lookup(const std::uint8_t* key) const;

 private:
  std::int32_t find32(std::uint32_t v) const;
  std::size_t klen_ = 0;
  std::vector<std::uint32_t> from32_;  // keys of up to 4 bytes as numbers
  std::vector<std::uint32_t> to32_;
  std::vector<std::uint8_t> from_;
  std::vector<std::uint8_t> to_;
  std::vector<std::int32_t> elem_;
};

// Concatenations of intervals (nft_pipapo): each field's bounds cut its values into classes, and a
// class knows its elements as a bitmap; the packet's element is in all of its fields' classes. A
// large set has lists instead, by the field that parts it best, whose elements are compared.
class NftSetPipapo {
 public:
  void build(std::span<const std::uint32_t> fields, std::span<const NftElemKey> keys);
  std::int32_t lookup(const std::uint8_t* key) const;

 private:
  struct Field {
    std::size_t offset = 0;  // bytes from the key's start
    std::size_t len = 0;
    std::vector<std::uint64_t> bound64;  // of fields of up to 8 bytes: where a class begins
    std::vector<NftKey> bound;           // of longer ones
    std::vector<std::uint32_t> bitmap;   // class to row of `rows`
    std::vector<std::uint64_t> rows;
  };
  std::size_t class_of(const Field& f, const std::uint8_t* key) const;
  void build_lists(std::span<const std::uint32_t> lens, std::span<const NftElemKey> keys);
  bool inside(std::size_t elem, const std::uint8_t* key) const;
  std::size_t key_len_ = 0;
  std::vector<std::uint32_t> list_begin_;  // by class of list_field_; empty: bitmaps are used
  std::vector<std::int32_t> lists_;        // elements
  std::size_t list_field_ = 0;
  std::vector<std::uint8_t> from_;  // whole keys
  std::vector<std::uint8_t> to_;
  std::size_t words_ = 0;  // of 64 bits a row
  std::vector<Field> fields_;
};

class NftSet {
 public:
  explicit NftSet(const NftSetSpec& spec);

  const NftSetSpec& spec() const { return spec_; }
  bool is_dynamic() const { return dynamic_ != nullptr; }

  // Elements that packets add (nft_dynset): shared between programs.
  struct DynamicElem {
    NftElem elem;
    std::shared_ptr<const NftProgram> code;  // of elem.first; null: it has no expressions
    bool of_kernel = false;                  // came with the dump
  };
  struct Dynamic : NftState {
    std::mutex mutex;
    std::unordered_map<std::string, DynamicElem> elems;
  };
  Dynamic* dynamic() const { return dynamic_.get(); }

  // nft_set_do_lookup(), with the catch-all element. Answers whether the key is there; `elem` is
  // what it carries, null when nothing. For a dynamic set the answer is copied into `copy`.
  bool lookup(const std::uint8_t* key, Nanos now, const NftElem*& elem, DynamicElem& copy) const;

  void build(std::vector<NftElemKey> keys, std::vector<NftElem> elems);
  void set_catch_all(NftElem elem) { catch_all_ = std::make_unique<NftElem>(elem); }
  void set_dynamic(std::shared_ptr<Dynamic> dynamic) { dynamic_ = std::move(dynamic); }
  bool has_elem_state = false;  // elements with expressions or timeouts
  std::size_t size() const { return count_; }
  const std::vector<NftElem>& elems() const { return elems_; }
  bool unknown = false;  // an element that cannot be evaluated

 private:
  NftSetSpec spec_;
  enum class Kind : std::uint8_t { hash, intervals, pipapo };
  Kind kind_ = Kind::hash;
  NftSetHash hash_;
  NftSetIntervals intervals_;
  NftSetPipapo pipapo_;
  std::vector<NftElem> elems_;  // empty when no element carries anything
  std::size_t count_ = 0;
  std::unique_ptr<NftElem> catch_all_;
  std::shared_ptr<Dynamic> dynamic_;
};

}  // namespace txp
