// SPDX-License-Identifier: Apache-2.0
// ip_options_echo: the options of an answer, made from those of the packet that it answers.
//
// Kernel twin: net/ipv4/ip_options.c, __ip_options_echo().
// Differs: source routes and CIPSO labels are not echoed, since ip_rcv() accepts none. Drops: none.
#include <cstring>

#include "ip/ip_options.h"
#include "net.h"
#include "route/ip_route.h"
#include "wire/ipv4.h"

namespace txp {
namespace {

// Appends to options; there is room, since no option grows.
class Writer {
 public:
  explicit Writer(IpOptions& to) : to_(to) {}
  std::uint8_t place() const { return static_cast<std::uint8_t>(to_.optlen + kIpHlen); }
  std::uint8_t* append(const std::uint8_t* option, std::size_t len) {
    std::uint8_t* at = &to_.data[to_.optlen];
    std::memcpy(at, option, len);
    to_.optlen = static_cast<std::uint8_t>(to_.optlen + len);
    return at;
  }

 private:
  IpOptions& to_;
};

bool echo_record_route(const IpOptionPlaces& from, const std::uint8_t* option, Writer& out,
                       IpOptions& to) {
  const std::size_t len = option[1];
  const std::size_t pointer = option[2];
  to.rr = out.place();
  std::uint8_t* copy = out.append(option, len);
  if (!from.rr_needaddr || pointer > len) return true;
  if (pointer + 3 > len) return false;
  copy[2] = static_cast<std::uint8_t>(pointer + 4);
  to.rr_needaddr = true;
  return true;
}

bool echo_timestamp(Net& net, const IpOptionPlaces& from, const std::uint8_t* option, Writer& out,
                    IpOptions& to) {
  const std::size_t len = option[1];
  std::size_t pointer = option[2];
  to.ts = out.place();
  std::uint8_t* copy = out.append(option, len);
  if (pointer > len) return true;
  if (from.ts_needaddr) {
    if (pointer + 3 > len) return false;
    to.ts_needaddr = true;
    pointer += 4;
  }
  if (from.ts_needtime) {
    if (pointer + 3 > len) return false;
    if ((copy[3] & 0xf) != kIpOptTsPrespec) {
      to.ts_needtime = true;
      pointer += 4;
    } else if (pointer + 7 <= len &&
               inet_addr_type(net, Ip4{load_be32(copy + pointer - 1)}) != RouteType::unicast) {
      to.ts_needtime = true;
      pointer += 8;
    }
  }
  copy[2] = static_cast<std::uint8_t>(pointer);
  return true;
}

}  // namespace

std::optional<IpOptions> ip_options_echo(Net& net, const Skb& skb) {
  const IpOptionPlaces& from = skb.opt;
  IpOptions to;
  Writer out(to);
  const std::uint8_t* iph = skb.network();
  if (from.rr != 0 && !echo_record_route(from, iph + from.rr, out, to)) return std::nullopt;
  if (from.ts != 0 && !echo_timestamp(net, from, iph + from.ts, out, to)) return std::nullopt;
  to.optlen = static_cast<std::uint8_t>((to.optlen + 3U) & ~3U);
  return to;
}

}  // namespace txp
