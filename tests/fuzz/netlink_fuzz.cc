// SPDX-License-Identifier: Apache-2.0
// Messages that nobody has checked, into the decoder and on into a Net's tables. The input is a row
// of messages: a byte for the type, two for the length, and the message without its header.
#include <cstdint>
#include <cstring>
#include <mutex>
#include <vector>

#include <linux/netlink.h>

#include "explain/ip_text.h"
#include "mirror/mirror.h"
#include "net.h"
#include "netfilter/nf_hook.h"
#include "observe/trace.h"
#include "wire/ethernet.h"
#include "wire/ipv4.h"
#include "wire/udp.h"

namespace {

using namespace txp;

std::vector<std::uint8_t> with_header(const std::uint8_t* data, std::size_t size) {
  nlmsghdr h{};
  h.nlmsg_len = static_cast<std::uint32_t>(sizeof h + size);
  std::vector<std::uint8_t> message(sizeof h + size);
  std::memcpy(message.data(), &h, sizeof h);
  if (size != 0) std::memcpy(message.data() + sizeof h, data, size);
  return message;
}

// A datagram through the rules that came, told and untold.
void pass_the_hooks(Net& net) {
  const RcuReader reader;
  for (const bool traced : {false, true}) {
    Trace trace(net.clock);
    for (const NfHook hook : {NfHook::local_out, NfHook::post_routing}) {
      SkbPtr skb = alloc_skb(net, 256);
      skb->reserve(64);
      Ipv4Header ip;
      ip.protocol = 17;
      ip.saddr = Ip4{0x0a4d0001};
      ip.daddr = Ip4{0x0a4d0002};
      ip.tot_len = 60;
      skb->set_network_header();
      ip.emit(skb->put(kIpHlen));
      skb->set_transport_header();
      UdpHeader{4000, 53, 40, 1}.emit(skb->put(kUdpHlen));
      std::memset(skb->put(32), 'x', 32);
      skb->protocol = kEthPIp;
      if (traced) skb->trace = &trace;
      born(net);
      TxResult result = TxResult::success();
      if (!nf_hook(net, hook, skb, result)) continue;
      delivered(net);
      consume(std::move(skb));
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Net net(Net::Options{.clock = Clock::manual(), .seed = 1});
  const std::lock_guard guard(net.rtnl);
  Mirror mirror(net);
  for (int n = 0; size >= 3 && n < 64; ++n) {
    const auto type = static_cast<MessageType>(data[0] % kMessageNames.size());
    const bool follow = (data[0] & 0x80) != 0;
    std::size_t len = (std::size_t{data[1]} << 8) | data[2];
    data += 3;
    size -= 3;
    len = std::min(len, size);
    std::vector<std::uint8_t> raw;
    if (type < MessageType::xps)
      raw = with_header(data, len);
    else
      raw.assign(data, data + len);
    data += len;
    size -= len;
    if (follow) mirror.follow();
    const Message m{type, raw, "text"};
    auto decoded = decode(m);
    if (!decoded) continue;
    (void)mirror.text(m, *decoded);
    (void)mirror.apply(std::move(*decoded));
    if (n % 4 == 3) mirror.commit();
  }
  (void)mirror.take_featureless();
  mirror.commit();
  pass_the_hooks(net);
  return 0;
}
