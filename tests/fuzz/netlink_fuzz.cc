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
  return 0;
}
