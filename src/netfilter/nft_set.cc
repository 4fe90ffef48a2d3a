// SPDX-License-Identifier: Apache-2.0
// A set: which table its keys are in, timeouts, the catch-all element.
// Kernel twin: net/netfilter/nf_tables_api.c (nft_set_catchall_lookup()), nft_lookup.c.
#include "netfilter/nft_set.h"

#include <algorithm>

#include <linux/netfilter/nf_tables.h>

namespace txp {
namespace {

bool elem_alive(const NftElem& e, Nanos now) { return e.expires == 0 || now < e.expires; }

}  // namespace

NftSet::NftSet(const NftSetSpec& spec) : spec_(spec) {
  if ((spec.flags & NFT_SET_INTERVAL) != 0)
    kind_ = spec.fields.size() > 1 ? Kind::pipapo : Kind::intervals;
}

void NftSet::build(std::vector<NftElemKey> keys, std::vector<NftElem> elems) {
  count_ = keys.size();
  switch (kind_) {
    case Kind::hash: hash_.build(spec_.key_len, keys); break;
    case Kind::intervals: intervals_.build(spec_.key_len, keys); break;
    case Kind::pipapo: pipapo_.build(spec_.fields, keys); break;
  }
  const bool bare = std::ranges::all_of(elems, [this](const NftElem& e) {
    return spec_.data_len == 0 && !spec_.verdicts && e.first == nullptr && e.object == nullptr &&
           e.expires == 0;
  });
  if (!bare) elems_ = std::move(elems);
}

bool NftSet::lookup(const std::uint8_t* key, Nanos now, const NftElem*& elem,
                    DynamicElem& copy) const {
  elem = nullptr;
  if (dynamic_) {
    const std::lock_guard guard(dynamic_->mutex);
    const void* bytes = key;
    const auto found =
        dynamic_->elems.find(std::string(static_cast<const char*>(bytes), spec_.key_len));
    if (found != dynamic_->elems.end() && elem_alive(found->second.elem, now)) {
      copy = found->second;
      elem = &copy.elem;
      return true;
    }
  } else if (count_ != 0) {
    std::int32_t n = -1;
    switch (kind_) {
      case Kind::hash: n = hash_.lookup(key); break;
      case Kind::intervals: n = intervals_.lookup(key); break;
      case Kind::pipapo: n = pipapo_.lookup(key); break;
    }
    if (n >= 0) {
      if (elems_.empty()) return true;
      const NftElem& e = elems_[static_cast<std::size_t>(n)];
      if (elem_alive(e, now)) {
        elem = &e;
        return true;
      }
    }
  }
  if (catch_all_ && elem_alive(*catch_all_, now)) {
    elem = catch_all_.get();
    return true;
  }
  return false;
}

}  // namespace txp
