// SPDX-License-Identifier: Apache-2.0
// nf_hook_egress: the chains of family netdev that hang on a device's way out.
//
// Kernel twin: include/linux/netfilter_netdev.h, nf_hook_egress().
// Differs: the kernel's ARP passes the kernel's own chains, not these. Drops: NETFILTER_DROP
// (NET_XMIT_DROP, which a UDP send hears as success or, with IP_RECVERR, ENOBUFS), TXPATH_UNKNOWN.
#include <linux/netfilter.h>

#include "dev/netdevice.h"
#include "net.h"
#include "netfilter/nf_hook.h"
#include "netfilter/nft_program.h"

namespace txp {

SkbPtr nf_hook_egress(Net& net, SkbPtr skb, NetDevice& dev, TxResult& result) {
  constexpr std::uint8_t kNetdevEgress = 1;  // NF_NETDEV_EGRESS
  const NfEgress& egress = *dev.nf_egress;
  for (const NftBaseChain* chain : egress.chains) {
    NftPkt pkt{net, *skb};
    pkt.pf = NFPROTO_NETDEV;
    pkt.hooknum = kNetdevEgress;
    pkt.out = &dev;
    switch (nft_do_chain(pkt, *chain).code) {
      case NftCode::accept: break;
      case NftCode::drop:
        drop(net, Stage::dev_queue_xmit, std::move(skb), DropReason::NETFILTER_DROP);
        result = TxResult::drop();
        return nullptr;
      default:
        drop(net, Stage::dev_queue_xmit, std::move(skb), DropReason::TXPATH_UNKNOWN);
        result = TxResult::error(kUnknown);
        return nullptr;
    }
  }
  return skb;
}

}  // namespace txp
