// SPDX-License-Identifier: Apache-2.0
// Sums native-order words: one's-complement sums are independent of byte order up to a final swap
// (RFC 1071, 2(B)). AVX2 and AVX-512 split each 64-bit lane into two 32-bit halves that add up in
// lanes of their own, which no packet overflows. What the processor has is chosen at the first sum.
#include "base/checksum.h"

#if defined(__x86_64__)
// GCC 12 takes its own _mm512_undefined_epi32() for a mistake of the caller's.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wuninitialized"
#include <immintrin.h>
#pragma GCC diagnostic pop
#endif

#include <atomic>
#include <bit>
#include <cstring>

namespace txp {
namespace {

using csum_detail::finish;
using csum_detail::sum_plain;

#if defined(__x86_64__)
template <bool kCopy>
[[gnu::target("avx2")]] Csum sum_avx2(std::span<const std::uint8_t> bytes, std::uint8_t* to,
                                      Csum start) {
  const std::uint8_t* p = bytes.data();
  std::size_t n = bytes.size();
  const __m256i mask = _mm256_set1_epi64x(0xffffffff);
  __m256i low = _mm256_setzero_si256();
  __m256i high = _mm256_setzero_si256();
  for (; n >= 32; n -= 32, p += 32) {
    __m256i v;
    std::memcpy(&v, p, sizeof v);
    low = _mm256_add_epi64(low, _mm256_and_si256(v, mask));
    high = _mm256_add_epi64(high, _mm256_srli_epi64(v, 32));
    if constexpr (kCopy) {
      std::memcpy(to, &v, sizeof v);
      to += 32;
    }
  }
  const __m256i both = _mm256_add_epi64(low, high);
  // Far from full: these add up without a carry.
  const auto sum = static_cast<std::uint64_t>(_mm256_extract_epi64(both, 0)) +
                   static_cast<std::uint64_t>(_mm256_extract_epi64(both, 1)) +
                   static_cast<std::uint64_t>(_mm256_extract_epi64(both, 2)) +
                   static_cast<std::uint64_t>(_mm256_extract_epi64(both, 3));
  return sum_plain<kCopy>({p, n}, to, finish(sum, 0, start));
}

// Two vectors at a time, so that the loop costs less than what it does. The rest that fills no
// vector is read and written under a mask.
template <bool kCopy>
[[gnu::target("avx512f,avx512bw,avx512vl")]] Csum sum_avx512(std::span<const std::uint8_t> bytes,
                                                             std::uint8_t* to, Csum start) {
  const std::uint8_t* const p = bytes.data();
  const std::size_t n = bytes.size();
  const __m512i mask = _mm512_set1_epi64(0xffffffff);
  __m512i low = _mm512_setzero_si512();
  __m512i high = _mm512_setzero_si512();
  __m512i low2 = _mm512_setzero_si512();
  __m512i high2 = _mm512_setzero_si512();
  std::size_t i = 0;
  for (; i + 128 <= n; i += 128) {
    const __m512i v = _mm512_loadu_si512(p + i);
    const __m512i w = _mm512_loadu_si512(p + i + 64);
    if constexpr (kCopy) {
      _mm512_storeu_si512(to + i, v);
      _mm512_storeu_si512(to + i + 64, w);
    }
    low = _mm512_add_epi64(low, _mm512_and_si512(v, mask));
    high = _mm512_add_epi64(high, _mm512_srli_epi64(v, 32));
    low2 = _mm512_add_epi64(low2, _mm512_and_si512(w, mask));
    high2 = _mm512_add_epi64(high2, _mm512_srli_epi64(w, 32));
  }
  for (; i < n; i += 64) {
    const __mmask64 here = n - i >= 64 ? ~__mmask64{0} : (__mmask64{1} << (n - i)) - 1;
    const __m512i v = _mm512_maskz_loadu_epi8(here, p + i);
    if constexpr (kCopy) _mm512_mask_storeu_epi8(to + i, here, v);
    low = _mm512_add_epi64(low, _mm512_and_si512(v, mask));
    high = _mm512_add_epi64(high, _mm512_srli_epi64(v, 32));
  }
  const __m512i both = _mm512_add_epi64(_mm512_add_epi64(low, low2), _mm512_add_epi64(high, high2));
  return finish(static_cast<std::uint64_t>(_mm512_reduce_add_epi64(both)), 0, start);
}
#endif

using Sum = Csum (*)(std::span<const std::uint8_t>, std::uint8_t*, Csum);

template <bool kCopy>
Sum sum_of(CsumVariant variant) {
  switch (variant) {
#if defined(__x86_64__)
    case CsumVariant::avx512: return sum_avx512<kCopy>;
    case CsumVariant::avx2: return sum_avx2<kCopy>;
#endif
    default: return sum_plain<kCopy>;
  }
}

template <bool kCopy>
Csum choose(std::span<const std::uint8_t> bytes, std::uint8_t* to, Csum start);

// Relaxed: whichever thread chooses, it chooses the same.
template <bool kCopy>
constinit std::atomic<Sum> chosen{choose<kCopy>};

template <bool kCopy>
Csum choose(std::span<const std::uint8_t> bytes, std::uint8_t* to, Csum start) {
  const Sum best = sum_of<kCopy>(csum_best());
  chosen<kCopy>.store(best, std::memory_order_relaxed);
  return best(bytes, to, start);
}

}  // namespace

CsumVariant csum_best() {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl"))
    return CsumVariant::avx512;
  if (__builtin_cpu_supports("avx2")) return CsumVariant::avx2;
#endif
  return CsumVariant::plain;
}

void csum_use(CsumVariant variant) {
  chosen<false>.store(sum_of<false>(variant), std::memory_order_relaxed);
  chosen<true>.store(sum_of<true>(variant), std::memory_order_relaxed);
}

namespace csum_detail {

Csum long_partial(std::span<const std::uint8_t> bytes, Csum start) {
  return chosen<false>.load(std::memory_order_relaxed)(bytes, nullptr, start);
}

Csum long_partial_copy(std::span<const std::uint8_t> bytes, std::uint8_t* to, Csum start) {
  return chosen<true>.load(std::memory_order_relaxed)(bytes, to, start);
}

}  // namespace csum_detail
}  // namespace txp
