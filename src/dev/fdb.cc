// SPDX-License-Identifier: Apache-2.0
// Buckets of entries, each republished when one of its entries changes.
#include "dev/fdb.h"

#include <algorithm>
#include <map>

#include "net.h"

namespace txp {
Fdb::~Fdb() {
  for (auto& b : buckets_) delete b.set(nullptr);
}

std::size_t Fdb::bucket_of(int table, const MacAddr& lladdr) {
  std::uint32_t h = static_cast<std::uint32_t>(table);
  for (const std::uint8_t b : lladdr.bytes) h = h * 0x01000193U ^ b;
  return (h ^ (h >> 16)) % kBuckets;
}

const FdbEntry* Fdb::find(int table, const MacAddr& lladdr, std::uint16_t vlan) const {
  const Bucket* bucket = buckets_[bucket_of(table, lladdr)].get();
  if (bucket == nullptr) return nullptr;
  const auto e = std::ranges::find_if(*bucket, [&](const FdbEntry& x) {
    return x.table == table && x.lladdr == lladdr && x.vlan == vlan;
  });
  return e != bucket->end() ? &*e : nullptr;
}

std::vector<const FdbEntry*> Fdb::find_all(int table, const MacAddr& lladdr) const {
  std::vector<const FdbEntry*> found;
  if (const Bucket* bucket = buckets_[bucket_of(table, lladdr)].get(); bucket != nullptr)
    for (const FdbEntry& e : *bucket)
      if (e.table == table && e.lladdr == lladdr) found.push_back(&e);
  return found;
}

void Fdb::put(Bucket& bucket, const FdbEntry& entry) {
  const auto same =
      std::ranges::find_if(bucket, [&](const FdbEntry& e) { return e.same_key(entry); });
  if (same != bucket.end())
    *same = entry;
  else
    bucket.push_back(entry);
}

void Fdb::publish(std::size_t i, Bucket bucket) {
  net_.retired.retire(buckets_[i].set(bucket.empty() ? nullptr : new Bucket(std::move(bucket))));
}

void Fdb::set(const FdbEntry& entry) {
  const std::size_t i = bucket_of(entry.table, entry.lladdr);
  Bucket next = buckets_[i].get() != nullptr ? *buckets_[i] : Bucket{};
  put(next, entry);
  publish(i, std::move(next));
}

void Fdb::remove(const FdbEntry& entry) {
  const std::size_t i = bucket_of(entry.table, entry.lladdr);
  if (buckets_[i].get() == nullptr) return;
  Bucket next = *buckets_[i];
  if (std::erase_if(next, [&](const FdbEntry& e) { return e.same_key(entry); }) != 0)
    publish(i, std::move(next));
}

void Fdb::set_all(const std::vector<FdbEntry>& entries) {
  std::map<std::size_t, Bucket> wanted;
  for (const FdbEntry& e : entries) put(wanted[bucket_of(e.table, e.lladdr)], e);
  for (std::size_t i = 0; i < kBuckets; ++i) {
    const auto w = wanted.find(i);
    if (w != wanted.end())
      publish(i, std::move(w->second));
    else if (buckets_[i].get() != nullptr)
      publish(i, {});
  }
}

}  // namespace txp
