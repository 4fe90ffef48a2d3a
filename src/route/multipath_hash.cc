// SPDX-License-Identifier: Apache-2.0
#include "route/multipath_hash.h"

#include <array>
#include <bit>
#include <cstring>
#include <utility>

#include "base/byteorder.h"
#include "neigh/neighbour.h"
#include "net.h"

namespace txp {
namespace {

std::uint64_t load_le64(const std::uint8_t* p) {
  std::uint64_t v;
  std::memcpy(&v, p, sizeof v);
  return std::endian::native == std::endian::big ? std::byteswap(v) : v;
}

struct SipState {
  std::uint64_t v0, v1, v2, v3;
  void round() {
    v0 += v1, v1 = std::rotl(v1, 13), v1 ^= v0, v0 = std::rotl(v0, 32);
    v2 += v3, v3 = std::rotl(v3, 16), v3 ^= v2;
    v0 += v3, v3 = std::rotl(v3, 21), v3 ^= v0;
    v2 += v1, v1 = std::rotl(v1, 17), v1 ^= v2, v2 = std::rotl(v2, 32);
  }
};

// What the kernel hashes of struct flow_keys for an IPv4 flow: the fields that a route lookup
// fills in, at their offsets from flow_keys.basic. Everything else is zero.
constexpr std::size_t kHashedBytes = 48;
constexpr std::size_t kIpProtoAt = 2;
constexpr std::size_t kPortsAt = 28;
constexpr std::size_t kAddrsAt = 36;

// FIB_MULTIPATH_HASH_FIELD_*.
constexpr std::uint32_t kFieldSrcIp = 1;
constexpr std::uint32_t kFieldDstIp = 2;
constexpr std::uint32_t kFieldIpProto = 4;
constexpr std::uint32_t kFieldSrcPort = 16;
constexpr std::uint32_t kFieldDstPort = 32;
constexpr std::uint32_t kFieldOuter = 0x3f;

// jhash_2words() (Jenkins, lookup3.c, final mix), initval 0.
std::uint32_t jhash_2words(std::uint32_t a, std::uint32_t b) {
  const std::uint32_t init = 0xdeadbeef + (2U << 2);
  std::uint32_t c = init;
  a += init;
  b += init;
  c ^= b, c -= std::rotl(b, 14);
  a ^= c, a -= std::rotl(c, 11);
  b ^= a, b -= std::rotl(a, 25);
  c ^= b, c -= std::rotl(b, 16);
  a ^= c, a -= std::rotl(c, 4);
  b ^= a, b -= std::rotl(a, 14);
  c ^= b, c -= std::rotl(b, 24);
  return c;
}

// The kernel compares the fields as they lie in memory.
template <typename T>
bool memory_less(T a, T b) {
  if constexpr (std::endian::native == std::endian::little)
    return std::byteswap(a) < std::byteswap(b);
  return a < b;
}

}  // namespace

std::uint64_t siphash_2_4(std::span<const std::uint8_t> data, std::uint64_t k0, std::uint64_t k1) {
  SipState s{k0 ^ 0x736f6d6570736575ULL, k1 ^ 0x646f72616e646f6dULL, k0 ^ 0x6c7967656e657261ULL,
             k1 ^ 0x7465646279746573ULL};
  std::size_t at = 0;
  for (; data.size() - at >= 8; at += 8) {
    const std::uint64_t m = load_le64(&data[at]);
    s.v3 ^= m;
    s.round();
    s.round();
    s.v0 ^= m;
  }
  std::uint64_t last = std::uint64_t{data.size()} << 56;
  for (unsigned shift = 0; at < data.size(); ++at, shift += 8)
    last |= std::uint64_t{data[at]} << shift;
  s.v3 ^= last;
  s.round();
  s.round();
  s.v0 ^= last;
  s.v2 ^= 0xff;
  for (int i = 0; i < 4; ++i) s.round();
  return s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
}

int fib_multipath_hash(const Flow4& fl4, std::uint8_t policy, std::uint32_t hash_fields,
                       std::uint32_t seed) {
  std::uint32_t fields = kFieldSrcIp | kFieldDstIp;
  if (policy == 1) fields |= kFieldIpProto | kFieldSrcPort | kFieldDstPort;
  if (policy == 3) fields = hash_fields & kFieldOuter;

  std::uint32_t src = (fields & kFieldSrcIp) != 0 ? fl4.saddr.host : 0;
  std::uint32_t dst = (fields & kFieldDstIp) != 0 ? fl4.daddr.host : 0;
  std::uint16_t sport = (fields & kFieldSrcPort) != 0 ? fl4.sport : std::uint16_t{0};
  std::uint16_t dport = (fields & kFieldDstPort) != 0 ? fl4.dport : std::uint16_t{0};
  // __flow_hash_consistentify(): both directions of a flow hash alike.
  if (memory_less(dst, src)) std::swap(src, dst);
  if (memory_less(dport, sport)) std::swap(sport, dport);

  std::uint32_t hash = 0;
  if (fields != 0) {
    std::array<std::uint8_t, kHashedBytes> keys{};
    if ((fields & kFieldIpProto) != 0) keys[kIpProtoAt] = fl4.proto;
    store_be16(&keys[kPortsAt], sport);
    store_be16(&keys[kPortsAt + 2], dport);
    store_be32(&keys[kAddrsAt], src);
    store_be32(&keys[kAddrsAt + 4], dst);
    const std::uint64_t key = std::uint64_t{seed} << 32 | seed;
    hash = static_cast<std::uint32_t>(siphash_2_4(keys, key, key));
    if (hash == 0) hash = 1;
  }
  if (fl4.multipath_hash != 0) hash = jhash_2words(hash, fl4.multipath_hash);
  return static_cast<int>(hash >> 1);
}

int rt6_multipath_hash(const Flow6& fl6, std::uint8_t policy, std::uint32_t hash_fields,
                       std::uint32_t seed) {
  constexpr std::size_t kHashed6 = 72;
  constexpr std::size_t kFlowlabelAt = 4;
  constexpr std::uint32_t kFieldFlowlabel = 8;
  std::uint32_t fields = kFieldSrcIp | kFieldDstIp | kFieldIpProto | kFieldFlowlabel;
  if (policy == 1)
    fields = kFieldSrcIp | kFieldDstIp | kFieldIpProto | kFieldSrcPort | kFieldDstPort;
  if (policy == 3) fields = hash_fields & kFieldOuter;
  Ip6 src = (fields & kFieldSrcIp) != 0 ? fl6.saddr : Ip6{};
  Ip6 dst = (fields & kFieldDstIp) != 0 ? fl6.daddr : Ip6{};
  std::uint16_t sport = (fields & kFieldSrcPort) != 0 ? fl6.sport : std::uint16_t{0};
  std::uint16_t dport = (fields & kFieldDstPort) != 0 ? fl6.dport : std::uint16_t{0};
  if (dst < src) std::swap(src, dst);
  if (memory_less(dport, sport)) std::swap(sport, dport);
  if (fields == 0) return 0;
  std::array<std::uint8_t, kHashed6> keys{};
  if ((fields & kFieldIpProto) != 0) keys[kIpProtoAt] = fl6.proto;
  if ((fields & kFieldFlowlabel) != 0) store_be32(&keys[kFlowlabelAt], fl6.flowlabel & 0xfffff);
  store_be16(&keys[kPortsAt], sport);
  store_be16(&keys[kPortsAt + 2], dport);
  src.store(&keys[kAddrsAt]);
  dst.store(&keys[kAddrsAt + 16]);
  const std::uint64_t key = std::uint64_t{seed} << 32 | seed;
  auto hash = static_cast<std::uint32_t>(siphash_2_4(keys, key, key));
  if (hash == 0) hash = 1;
  return static_cast<int>(hash >> 1);
}

bool fib_multipath_seed_known(const Net& net) {
  return net.sysctl().fib_multipath_hash_seed != 0 || net.neigh->owner == NeighOwner::engine;
}

std::uint32_t fib_multipath_seed(const Net& net) {
  const std::uint32_t seed = net.sysctl().fib_multipath_hash_seed;
  return seed != 0 ? seed : net.multipath_seed;
}

}  // namespace txp
