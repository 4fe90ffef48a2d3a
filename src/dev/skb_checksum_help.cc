// SPDX-License-Identifier: Apache-2.0
// Completes a checksum that the transport left to the device (CHECKSUM_PARTIAL).
// Kernel twin: net/core/dev.c (skb_checksum_help()), net/core/skbuff.c (skb_checksum()).
#include "base/byteorder.h"
#include "base/checksum.h"
#include "dev/skb_gso_segment.h"
#include "wire/udp.h"

namespace txp {

bool skb_checksum_help(Skb& skb) {
  if (skb.ip_summed != IpSummed::partial) return true;
  std::uint8_t* start = skb.head + skb.csum_start;
  if (start < skb.data || start > skb.tail ||
      static_cast<std::size_t>(skb.tail - start) < std::size_t{skb.csum_offset} + 2)
    return false;
  Csum sum = csum_partial({start, skb.tail}, 0);
  auto offset = static_cast<std::size_t>(skb.tail - start);
  for (const Skb* f = skb.frag_list; f != nullptr; f = f->next) {
    sum = csum_block_add(sum, csum_partial(f->bytes(), 0), offset);
    offset += f->headlen();
  }
  std::uint16_t check = csum_fold(sum);
  if (check == 0) check = kCsumMangled0;
  store_be16(start + skb.csum_offset, check);
  skb.ip_summed = IpSummed::none;
  return true;
}

}  // namespace txp
