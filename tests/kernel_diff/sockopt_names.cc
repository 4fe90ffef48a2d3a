// SPDX-License-Identifier: Apache-2.0
#include "kernel_diff/sockopt_names.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <linux/net_tstamp.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <sys/socket.h>

#include <charconv>
#include <cstring>

namespace txp::kdiff {
namespace {

constexpr int kIpLocalPortRange = 51;  // IP_LOCAL_PORT_RANGE, newer than Debian 12's headers

constexpr OptionName kOptions[] = {
#define O(level, name) {#name, level, name}
    O(SOL_SOCKET, SO_ACCEPTCONN),
    O(SOL_SOCKET, SO_ATTACH_FILTER),
    O(SOL_SOCKET, SO_BINDTODEVICE),
    O(SOL_SOCKET, SO_BINDTOIFINDEX),
    O(SOL_SOCKET, SO_BROADCAST),
    O(SOL_SOCKET, SO_BUSY_POLL),
    O(SOL_SOCKET, SO_DETACH_FILTER),
    O(SOL_SOCKET, SO_DOMAIN),
    O(SOL_SOCKET, SO_DONTROUTE),
    O(SOL_SOCKET, SO_ERROR),
    O(SOL_SOCKET, SO_INCOMING_CPU),
    O(SOL_SOCKET, SO_KEEPALIVE),
    O(SOL_SOCKET, SO_LINGER),
    O(SOL_SOCKET, SO_MARK),
    O(SOL_SOCKET, SO_MAX_PACING_RATE),
    O(SOL_SOCKET, SO_NO_CHECK),
    O(SOL_SOCKET, SO_OOBINLINE),
    O(SOL_SOCKET, SO_PASSCRED),
    O(SOL_SOCKET, SO_PEERNAME),
    O(SOL_SOCKET, SO_PRIORITY),
    O(SOL_SOCKET, SO_PROTOCOL),
    O(SOL_SOCKET, SO_RCVBUF),
    O(SOL_SOCKET, SO_RCVBUFFORCE),
    O(SOL_SOCKET, SO_RCVLOWAT),
    O(SOL_SOCKET, SO_RCVTIMEO),
    O(SOL_SOCKET, SO_REUSEADDR),
    O(SOL_SOCKET, SO_REUSEPORT),
    O(SOL_SOCKET, SO_RXQ_OVFL),
    O(SOL_SOCKET, SO_SELECT_ERR_QUEUE),
    O(SOL_SOCKET, SO_SNDBUF),
    O(SOL_SOCKET, SO_SNDBUFFORCE),
    O(SOL_SOCKET, SO_SNDTIMEO),
    O(SOL_SOCKET, SO_SNDLOWAT),
    O(SOL_SOCKET, SO_TIMESTAMP),
    O(SOL_SOCKET, SO_TIMESTAMPING),
    O(SOL_SOCKET, SO_TIMESTAMPNS),
    O(SOL_SOCKET, SO_TXTIME),
    O(SOL_SOCKET, SO_TYPE),
    O(SOL_SOCKET, SO_ZEROCOPY),
    O(SOL_IP, IP_ADD_MEMBERSHIP),
    O(SOL_IP, IP_BIND_ADDRESS_NO_PORT),
    O(SOL_IP, IP_DROP_MEMBERSHIP),
    O(SOL_IP, IP_FREEBIND),
    O(SOL_IP, IP_HDRINCL),
    O(SOL_IP, IP_CHECKSUM),
    O(SOL_IP, IP_MINTTL),
    O(SOL_IP, IP_MTU),
    O(SOL_IP, IP_MTU_DISCOVER),
    O(SOL_IP, IP_MULTICAST_ALL),
    O(SOL_IP, IP_MULTICAST_IF),
    O(SOL_IP, IP_MULTICAST_LOOP),
    O(SOL_IP, IP_MULTICAST_TTL),
    O(SOL_IP, IP_OPTIONS),
    O(SOL_IP, IP_PKTINFO),
    O(SOL_IP, IP_RECVERR),
    O(SOL_IP, IP_RECVOPTS),
    O(SOL_IP, IP_RECVORIGDSTADDR),
    O(SOL_IP, IP_RECVTOS),
    O(SOL_IP, IP_RECVTTL),
    O(SOL_IP, IP_RETOPTS),
    O(SOL_IP, IP_TOS),
    O(SOL_IP, IP_TRANSPARENT),
    O(SOL_IP, IP_TTL),
    O(SOL_IP, IP_UNICAST_IF),
    O(SOL_IPV6, IPV6_2292DSTOPTS),
    O(SOL_IPV6, IPV6_2292HOPLIMIT),
    O(SOL_IPV6, IPV6_2292HOPOPTS),
    O(SOL_IPV6, IPV6_2292PKTINFO),
    O(SOL_IPV6, IPV6_2292RTHDR),
    O(SOL_IPV6, IPV6_ADDR_PREFERENCES),
    O(SOL_IPV6, IPV6_ADD_MEMBERSHIP),
    O(SOL_IPV6, IPV6_AUTOFLOWLABEL),
    O(SOL_IPV6, IPV6_DONTFRAG),
    O(SOL_IPV6, IPV6_DROP_MEMBERSHIP),
    O(SOL_IPV6, IPV6_DSTOPTS),
    O(SOL_IPV6, IPV6_FREEBIND),
    O(SOL_IPV6, IPV6_HOPLIMIT),
    O(SOL_IPV6, IPV6_HOPOPTS),
    O(SOL_IPV6, IPV6_MINHOPCOUNT),
    O(SOL_IPV6, IPV6_MTU),
    O(SOL_IPV6, IPV6_MTU_DISCOVER),
    O(SOL_IPV6, IPV6_MULTICAST_ALL),
    O(SOL_IPV6, IPV6_MULTICAST_HOPS),
    O(SOL_IPV6, IPV6_MULTICAST_IF),
    O(SOL_IPV6, IPV6_MULTICAST_LOOP),
    O(SOL_IPV6, IPV6_PKTINFO),
    O(SOL_IPV6, IPV6_RECVDSTOPTS),
    O(SOL_IPV6, IPV6_RECVERR),
    O(SOL_IPV6, IPV6_RECVHOPLIMIT),
    O(SOL_IPV6, IPV6_RECVHOPOPTS),
    O(SOL_IPV6, IPV6_RECVPATHMTU),
    O(SOL_IPV6, IPV6_RECVPKTINFO),
    O(SOL_IPV6, IPV6_RECVRTHDR),
    O(SOL_IPV6, IPV6_RECVTCLASS),
    O(SOL_IPV6, IPV6_RTHDR),
    O(SOL_IPV6, IPV6_RTHDRDSTOPTS),
    O(SOL_IPV6, IPV6_TCLASS),
    O(SOL_IPV6, IPV6_TRANSPARENT),
    O(SOL_IPV6, IPV6_UNICAST_HOPS),
    O(SOL_IPV6, IPV6_UNICAST_IF),
    O(SOL_IPV6, IPV6_V6ONLY),
    O(SOL_UDP, UDP_CORK),
    O(SOL_UDP, UDP_ENCAP),
    O(SOL_UDP, UDP_GRO),
    O(SOL_UDP, UDP_SEGMENT),
#undef O
    {"IP_LOCAL_PORT_RANGE", SOL_IP, kIpLocalPortRange},
    {"IPV6_FLOWINFO", SOL_IPV6, 11},
    {"IPV6_FLOWINFO_SEND", SOL_IPV6, 33},
    {"IPV6_RECVORIGDSTADDR", SOL_IPV6, 74},
    {"IPV6_RECVFRAGSIZE", SOL_IPV6, 77},
    {"UDP_NO_CHECK6_RX", SOL_UDP, 102},
    {"UDP_NO_CHECK6_TX", SOL_UDP, 101},
};

struct Named {
  std::string_view name;
  int value;
};
constexpr Named kFlags[] = {
#define N(name) {#name, name}
    N(MSG_CONFIRM),  N(MSG_DONTROUTE),    N(MSG_DONTWAIT), N(MSG_EOR),  N(MSG_MORE),
    N(MSG_NOSIGNAL), N(MSG_OOB),          N(MSG_PROXY),    N(MSG_PEEK), N(MSG_TRUNC),
    N(MSG_ERRQUEUE), {"MSG_PROBE", 0x10}, N(MSG_ZEROCOPY),
};
constexpr Named kConstants[] = {
    N(IP_PMTUDISC_DONT),
    N(IP_PMTUDISC_WANT),
    N(IP_PMTUDISC_DO),
    N(IP_PMTUDISC_PROBE),
    N(IP_PMTUDISC_INTERFACE),
    N(IP_PMTUDISC_OMIT),
    N(SHUT_RD),
    N(SHUT_WR),
    N(SHUT_RDWR),
    N(AF_INET),
    N(AF_INET6),
    N(AF_UNSPEC),
    N(AF_UNIX),
    N(CLOCK_MONOTONIC),
    N(CLOCK_REALTIME),
    N(CLOCK_TAI),
#undef N
};

void append(std::vector<std::uint8_t>& to, const void* from, std::size_t n) {
  const auto* p = static_cast<const std::uint8_t*>(from);
  to.insert(to.end(), p, p + n);
}

std::optional<in_addr> parse_addr(const std::string& text) {
  in_addr a{};
  if (inet_pton(AF_INET, text.c_str(), &a) != 1) return std::nullopt;
  return a;
}

}  // namespace

std::optional<OptionName> find_option(std::string_view name) {
  for (const OptionName& o : kOptions)
    if (o.name == name) return o;
  return std::nullopt;
}

std::optional<int> find_flag(std::string_view name) {
  for (const Named& f : kFlags)
    if (f.name == name) return f.value;
  return std::nullopt;
}

std::optional<std::int64_t> parse_number(std::string_view text) {
  for (const Named& c : kConstants)
    if (c.name == text) return c.value;
  const bool negative = text.starts_with('-');
  if (negative) text.remove_prefix(1);
  const bool hex = text.starts_with("0x");
  if (hex) text.remove_prefix(2);
  std::uint64_t value = 0;
  const auto [end, error] =
      std::from_chars(text.data(), text.data() + text.size(), value, hex ? 16 : 10);
  if (error != std::errc{} || end != text.data() + text.size() || text.empty()) return std::nullopt;
  return negative ? -static_cast<std::int64_t>(value) : static_cast<std::int64_t>(value);
}

Result<Value> parse_value(const std::vector<std::string>& words, std::size_t& at,
                          std::size_t size) {
  Value v;
  const auto next = [&]() -> std::string { return at < words.size() ? words[at++] : ""; };
  bool big_endian = false;
  std::string word = next();
  if (word == "none") return v;
  if (word == "hex") {
    const std::string digits = next();
    if (digits.size() % 2 != 0) return fail("hex wants an even number of digits");
    for (std::size_t i = 0; i < digits.size(); i += 2) {
      const std::optional<std::int64_t> byte = parse_number("0x" + digits.substr(i, 2));
      if (!byte) return fail(fmt::format("'{}' is not hex", digits));
      v.bytes.push_back(static_cast<std::uint8_t>(*byte));
    }
    return v;
  }
  if (word == "name") {
    const std::string text = next();
    v.bytes.assign(text.begin(), text.end());
    return v;
  }
  if (word == "mreqn") {
    const std::optional<in_addr> group = parse_addr(next());
    const std::optional<in_addr> local = parse_addr(next());
    const std::string dev = next();
    if (!group || !local || dev.empty()) return fail("mreqn wants GROUP LOCAL INTERFACE|-");
    ip_mreqn m{};
    m.imr_multiaddr = *group;
    m.imr_address = *local;
    append(v.bytes, &m, sizeof m);
    if (dev != "-") v.interfaces.push_back({offsetof(ip_mreqn, imr_ifindex), dev, false});
    return v;
  }
  if (word == "pktinfo") {
    const std::string dev = next();
    const std::optional<in_addr> source = parse_addr(next());
    if (dev.empty() || !source) return fail("pktinfo wants INTERFACE|- SOURCE");
    in_pktinfo p{};
    p.ipi_spec_dst = *source;
    append(v.bytes, &p, sizeof p);
    if (dev != "-") v.interfaces.push_back({offsetof(in_pktinfo, ipi_ifindex), dev, false});
    return v;
  }
  if (word == "pktinfo6" || word == "mreq6") {
    std::string addr = next();
    std::string dev = next();
    if (word == "pktinfo6") std::swap(addr, dev);
    in6_addr a{};
    if (dev.empty() || inet_pton(AF_INET6, addr.c_str(), &a) != 1)
      return fail(word == "mreq6" ? "mreq6 wants GROUP INTERFACE|-"
                                  : "pktinfo6 wants INTERFACE|- SOURCE");
    in6_pktinfo p{};  // struct ipv6_mreq has the same form
    p.ipi6_addr = a;
    append(v.bytes, &p, sizeof p);
    if (dev != "-") v.interfaces.push_back({offsetof(in6_pktinfo, ipi6_ifindex), dev, false});
    return v;
  }
  if (word == "u8" || word == "u16" || word == "u64") {
    size = word == "u8" ? 1 : word == "u16" ? 2 : 8;
    word = next();
  } else if (word == "be32") {
    big_endian = true;
    word = next();
  }
  if (word == "dev") {
    const std::string dev = next();
    if (dev.empty()) return fail("dev wants an interface");
    v.bytes.resize(4);
    v.interfaces.push_back({0, dev, big_endian});
    return v;
  }
  if (const std::optional<in_addr> a = parse_addr(word)) {
    append(v.bytes, &*a, sizeof *a);
    return v;
  }
  if (in6_addr six{};
      word.find(':') != std::string::npos && inet_pton(AF_INET6, word.c_str(), &six) == 1) {
    append(v.bytes, &six, sizeof six);
    return v;
  }
  const std::optional<std::int64_t> number = parse_number(word);
  if (!number) return fail(fmt::format("'{}' is no value", word));
  if (big_endian) {
    const std::uint32_t be = htonl(static_cast<std::uint32_t>(*number));
    append(v.bytes, &be, sizeof be);
  } else {
    const std::int64_t native = *number;  // little-endian hosts only, as the kernel's own structs
    append(v.bytes, &native, size);
  }
  return v;
}

}  // namespace txp::kdiff
