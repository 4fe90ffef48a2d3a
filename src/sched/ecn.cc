// SPDX-License-Identifier: Apache-2.0
#include "sched/ecn.h"

#include "base/byteorder.h"
#include "wire/ethernet.h"
#include "wire/ipv4.h"

namespace txp {

bool inet_ecn_set_ce(Skb& skb) {
  constexpr std::size_t kTos = 1, kCheck = 10;
  constexpr std::uint8_t kCe = 3;
  if (skb.protocol != kEthPIp || skb.network() + kIpHlen > skb.tail) return false;
  std::uint8_t* ip = skb.network();
  const std::uint8_t ecn = ip[kTos] & kCe;
  if (ecn == 0) return false;
  if (ecn == kCe) return true;
  const auto more = static_cast<std::uint8_t>(kCe - ecn);
  ip[kTos] = static_cast<std::uint8_t>(ip[kTos] + more);
  // RFC 1624: the checksum falls by what the sum rose.
  std::uint32_t check = load_be16(ip + kCheck);
  check += 0xffffU - more;
  store_be16(ip + kCheck, static_cast<std::uint16_t>(check + (check >= 0xffff ? 1 : 0)));
  return true;
}

}  // namespace txp
