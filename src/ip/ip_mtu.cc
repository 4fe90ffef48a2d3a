// SPDX-License-Identifier: Apache-2.0
// The rules of IP_MTU_DISCOVER. Kernel twin: include/net/ip.h.
#include <netinet/in.h>

#include <algorithm>

#include "dev/netdevice.h"
#include "ip/ip.h"

namespace txp {

bool ip_sk_use_pmtu(const Sock& sk) { return sk.pmtudisc < IP_PMTUDISC_PROBE; }

bool ip_sk_ignore_df(const Sock& sk) {
  return sk.pmtudisc < IP_PMTUDISC_DO || sk.pmtudisc == IP_PMTUDISC_OMIT;
}

bool ip_dont_fragment(const Sock& sk, const Rtable& rt) {
  return sk.pmtudisc == IP_PMTUDISC_DO || (sk.pmtudisc == IP_PMTUDISC_WANT && !rt.mtu_locked);
}

std::uint32_t ip_skb_dst_mtu(const Skb& skb) {
  // A tunnel's outer packet is sent by the tunnel's socket, which heeds path MTUs.
  if (skb.sk == nullptr || skb.encaps != 0 || ip_sk_use_pmtu(*skb.sk)) return skb.rt.mtu;
  return std::min(skb.rt.dev->mtu(), kIpMaxMtu);
}

}  // namespace txp
