// SPDX-License-Identifier: Apache-2.0
// What joins and leaves a socket's error queue, and the send stamps that do.
//
// Kernel twin: net/core/skbuff.c, sock_queue_err_skb(), sock_dequeue_err_skb(), __skb_tstamp_tx(),
// __skb_complete_tx_timestamp(), __msg_zerocopy_callback().
// Differs: no hardware stamps; a stamp's packet is copied, not cloned. MSG_ZEROCOPY copies, as the
// kernel does where a device cannot gather, and says so; its note comes when the call ends.
#include <cerrno>

#include "dev/netdevice.h"
#include "net.h"
#include "socket/error_queue.h"
#include "socket/sock.h"
#include "socket/timestamping.h"
#include "wire/ethernet.h"
#include "wire/ipv4.h"

namespace txp {
namespace {

bool is_icmp(const QueuedError& e) {
  return e.ee.ee_origin == SO_EE_ORIGIN_ICMP || e.ee.ee_origin == SO_EE_ORIGIN_ICMP6;
}

}  // namespace

bool sock_queue_err_skb(Sock& sk, QueuedError error) {
  const std::lock_guard guard(sk.rx_lock);
  const std::uint32_t rmem = sk.rmem_alloc.load(std::memory_order_relaxed);
  const auto rcvbuf = static_cast<std::uint32_t>(sk.rcvbuf.load(std::memory_order_relaxed));
  if (std::uint64_t{rmem} + error.truesize >= rcvbuf) return false;
  sk.rmem_alloc.store(rmem + error.truesize, std::memory_order_relaxed);
  sk.error_queue.push_back(std::move(error));
  return true;
}

// SO_ERROR follows the ICMP error that is next.
std::optional<QueuedError> sock_dequeue_err_skb(Sock& sk) {
  const std::lock_guard guard(sk.rx_lock);
  if (sk.error_queue.empty()) return std::nullopt;
  QueuedError e = std::move(sk.error_queue.front());
  sk.error_queue.pop_front();
  sk.rmem_alloc.fetch_sub(e.truesize, std::memory_order_relaxed);
  const bool icmp_next = !sk.error_queue.empty() && is_icmp(sk.error_queue.front());
  if (icmp_next)
    sk.sk_err = static_cast<int>(sk.error_queue.front().ee.ee_errno);
  else if (is_icmp(e))
    sk.sk_err = 0;
  return e;
}

void skb_errqueue_purge(Sock& sk) {
  const std::lock_guard guard(sk.rx_lock);
  std::erase_if(sk.error_queue, [&sk](const QueuedError& e) {
    const bool goes = is_icmp(e) || e.ee.ee_origin == SO_EE_ORIGIN_LOCAL;
    if (goes) sk.rmem_alloc.fetch_sub(e.truesize, std::memory_order_relaxed);
    return goes;
  });
}

void msg_zerocopy_callback(Sock& sk) {
  const std::uint32_t id = sk.zckey.fetch_add(1, std::memory_order_relaxed);
  const std::lock_guard guard(sk.rx_lock);
  if (!sk.error_queue.empty()) {
    sock_extended_err& last = sk.error_queue.back().ee;
    if (last.ee_origin == SO_EE_ORIGIN_ZEROCOPY && last.ee_data + 1 == id) {
      last.ee_data = id;  // skb_zerocopy_notify_extend()
      return;
    }
  }
  QueuedError done;
  done.ee.ee_origin = SO_EE_ORIGIN_ZEROCOPY;
  done.ee.ee_code = SO_EE_CODE_ZEROCOPY_COPIED;
  done.ee.ee_info = id;
  done.ee.ee_data = id;
  sk.error_queue.push_back(std::move(done));
}

void skb_tstamp_tx(const Skb& skb, std::uint32_t type) {
  if (skb.sk == nullptr) return;
  Sock& sk = *skb.sk;
  const std::uint32_t tsflags = sk.tsflags;
  QueuedError error;
  error.ee.ee_errno = ENOMSG;
  error.ee.ee_origin = SO_EE_ORIGIN_TIMESTAMPING;
  error.ee.ee_info = type;
  if ((tsflags & SOF_TIMESTAMPING_OPT_ID) != 0) error.ee.ee_data = skb.tskey;
  error.info.tstamp = skb.net->clock.wall();
  if ((tsflags & SOF_TIMESTAMPING_OPT_TSONLY) != 0) {
    error.truesize = skb_truesize(*skb.net, 0);
  } else {
    error.truesize = skb.truesize;
    error.data.assign(skb.data, skb.tail);
    for (const Skb* f = skb.frag_list; f != nullptr; f = f->next)
      error.data.insert(error.data.end(), f->data, f->tail);
    error.info.ifindex = skb.dev->ifindex;
    if (skb.protocol == kEthPIpv6) {  // ip6_datagram_support_cmsg()
      error.has_packet = true;
      error.info.headers6.assign(skb.network(), skb.transport());
      static_cast<void>(sock_queue_err_skb(sk, std::move(error)));
      return;
    }
    // ipv4_datagram_support_cmsg(): IP_PKTINFO tells the device that it left by.
    error.has_packet = (tsflags & SOF_TIMESTAMPING_OPT_CMSG) != 0;
    const Ipv4View ip(skb.network());
    error.info.saddr = error.info.spec_dst = ip.saddr();
    error.info.daddr = ip.daddr();
    error.info.ttl = ip.ttl();
    error.info.tos = ip.tos();
  }
  static_cast<void>(sock_queue_err_skb(sk, std::move(error)));
}

}  // namespace txp
