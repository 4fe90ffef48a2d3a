// SPDX-License-Identifier: Apache-2.0
#include "kernel_diff/frame.h"

#include <arpa/inet.h>
#include <fmt/format.h>

#include <algorithm>

namespace txp::kdiff {
namespace {

using View = std::span<const std::uint8_t>;

std::uint16_t get16(View f, std::size_t at) {
  return static_cast<std::uint16_t>(f[at] << 8 | f[at + 1]);
}
void put16(Bytes& f, std::size_t at, std::uint16_t v) {
  f[at] = static_cast<std::uint8_t>(v >> 8);
  f[at + 1] = static_cast<std::uint8_t>(v);
}

std::uint32_t fold(std::uint32_t sum) {
  while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
  return sum;
}

std::uint32_t sum_of(View bytes, std::uint32_t sum = 0) {
  for (std::size_t i = 0; i < bytes.size(); ++i)
    sum = fold(sum + (i % 2 == 0 ? static_cast<std::uint32_t>(bytes[i] << 8) : bytes[i]));
  return sum;
}

std::string mac(View f, std::size_t at) {
  return fmt::format("{:02x}:{:02x}:{:02x}:{:02x}:{:02x}:{:02x}", f[at], f[at + 1], f[at + 2],
                     f[at + 3], f[at + 4], f[at + 5]);
}
std::string ip4(View f, std::size_t at) {
  return fmt::format("{}.{}.{}.{}", f[at], f[at + 1], f[at + 2], f[at + 3]);
}
std::string hex(View bytes) {
  std::string text;
  for (const std::uint8_t b : bytes.first(std::min<std::size_t>(bytes.size(), 24)))
    text += fmt::format("{:02x}", b);
  return bytes.size() > 24 ? text + "..." : text;
}

std::string ip6(View f, std::size_t at) {
  char text[INET6_ADDRSTRLEN] = {};
  inet_ntop(AF_INET6, &f[at], text, sizeof text);
  return text;
}

std::string udp6_check(View f, const Ipv6Parts& p) {
  const std::uint16_t check = get16(f, p.udp + 6);
  if (check == 0) return "0x0000 (none)";
  if (p.frag != 0) return fmt::format("0x{:04x}", check);
  const View datagram = f.subspan(p.udp);
  std::uint32_t sum = sum_of(f.subspan(p.ip + 24, 16), sum_of(f.subspan(p.ip + 8, 16), 17));
  sum = fold(sum + static_cast<std::uint32_t>(datagram.size()));
  return fmt::format("0x{:04x} ({})", check, sum_of(datagram, sum) == 0xffff ? "right" : "wrong");
}

std::string ip_check(View f, const Ipv4Parts& p) {
  const bool right = sum_of(f.subspan(p.ip, p.hlen)) == 0xffff;
  return fmt::format("0x{:04x} ({})", get16(f, p.ip + 10), right ? "right" : "wrong");
}

// Only a whole datagram's can be judged.
std::string udp_check(View f, const Ipv4Parts& p) {
  const std::uint16_t check = get16(f, p.udp + 6);
  if (check == 0) return "0x0000 (none)";
  if (p.more()) return fmt::format("0x{:04x}", check);
  const View datagram = f.subspan(p.udp);
  std::uint32_t sum = sum_of(f.subspan(p.ip + 12, 8), 17);
  sum = fold(sum + static_cast<std::uint32_t>(datagram.size()));
  return fmt::format("0x{:04x} ({})", check, sum_of(datagram, sum) == 0xffff ? "right" : "wrong");
}

std::string flags_and_offset(const Ipv4Parts& p) {
  std::string text;
  if (p.dont_fragment()) text += "DF ";
  if (p.more()) text += "MF ";
  return text + fmt::format("offset {}", p.offset());
}

}  // namespace

bool is_arp(View f) { return f.size() >= 14 && get16(f, 12) == 0x0806; }

std::optional<Ipv4Parts> ipv4_parts(View f) {
  if (f.size() < 34 || get16(f, 12) != 0x0800 || (f[14] >> 4) != 4) return std::nullopt;
  Ipv4Parts p;
  p.hlen = (f[14] & 0xfU) * 4U;
  if (p.hlen < 20 || f.size() < p.ip + p.hlen) return std::nullopt;
  p.id = get16(f, 18);
  p.frag_off = get16(f, 20);
  p.proto = f[23];
  if (p.proto == 17 && p.offset() == 0 && f.size() >= p.ip + p.hlen + 8) {
    p.udp = p.ip + p.hlen;
    p.sport = get16(f, p.udp);
  }
  return p;
}

std::optional<Ipv6Parts> ipv6_parts(View f) {
  if (f.size() < 54 || get16(f, 12) != 0x86dd || (f[14] >> 4) != 6) return std::nullopt;
  Ipv6Parts p;
  p.proto = f[20];
  std::size_t at = 54;
  for (;;) {
    const bool options = p.proto == 0 || p.proto == 43 || p.proto == 60;
    if ((!options && p.proto != 44) || at + 8 > f.size()) break;
    const std::uint8_t next = f[at];
    if (p.proto == 44) {
      p.frag = at;
      p.frag_off = get16(f, at + 2);
    }
    at += p.proto == 44 ? 8 : (f[at + 1] + std::size_t{1}) * 8;
    p.proto = next;
    if (p.frag != 0 && p.offset() != 0) break;
  }
  p.transport = at;
  if (p.proto == 17 && p.offset() == 0 && at + 8 <= f.size()) {
    p.udp = at;
    p.sport = get16(f, at);
  }
  return p;
}

std::vector<Field> fields(View f) {
  std::vector<Field> all;
  std::size_t at = 0;
  const auto add = [&](const char* name, std::size_t len, std::string value) {
    all.push_back({name, at, len, std::move(value)});
    at += len;
  };
  const auto rest = [&](const char* name) {
    if (at < f.size()) add(name, f.size() - at, hex(f.subspan(at)));
  };
  if (f.size() < 14) {
    rest("eth");
    return all;
  }
  add("eth.dst", 6, mac(f, 0));
  add("eth.src", 6, mac(f, 6));
  add("eth.type", 2, fmt::format("0x{:04x}", get16(f, 12)));
  if (const std::optional<Ipv6Parts> six = ipv6_parts(f)) {
    add("ip6.flow", 4,
        fmt::format("tclass 0x{:02x} label 0x{:05x}", (get16(f, 14) >> 4) & 0xff,
                    (f[15] & 0xfU) << 16 | get16(f, 16)));
    add("ip6.payload_len", 2, fmt::format("{}", get16(f, 18)));
    add("ip6.nexthdr", 1, fmt::format("{}", f[20]));
    add("ip6.hop_limit", 1, fmt::format("{}", f[21]));
    add("ip6.saddr", 16, ip6(f, at));
    add("ip6.daddr", 16, ip6(f, at));
    if (six->frag != 0) {
      if (six->frag > at) add("ip6.exthdrs", six->frag - at, hex(f.subspan(at, six->frag - at)));
      add("ip6.frag", 8,
          fmt::format("next {} offset {}{} id {:08x}", f[at], six->offset(),
                      six->more() ? " MF" : "", get16(f, at + 4) * 65536U + get16(f, at + 6)));
    }
    if (six->transport > at)
      add("ip6.options", six->transport - at, hex(f.subspan(at, six->transport - at)));
    if (six->udp != 0) {
      add("udp.sport", 2, fmt::format("{}", six->sport));
      add("udp.dport", 2, fmt::format("{}", get16(f, at)));
      add("udp.len", 2, fmt::format("{}", get16(f, at)));
      add("udp.check", 2, udp6_check(f, *six));
    }
    rest("payload");
    return all;
  }
  const std::optional<Ipv4Parts> p = ipv4_parts(f);
  if (!p) {
    rest(is_arp(f) ? "arp" : "payload");
    return all;
  }
  add("ip.version_ihl", 1, fmt::format("0x{:02x}", f[14]));
  add("ip.tos", 1, fmt::format("0x{:02x}", f[15]));
  add("ip.tot_len", 2, fmt::format("{}", get16(f, 16)));
  add("ip.id", 2, fmt::format("{}", p->id));
  add("ip.frag_off", 2, flags_and_offset(*p));
  add("ip.ttl", 1, fmt::format("{}", f[22]));
  add("ip.protocol", 1, fmt::format("{}", p->proto));
  add("ip.check", 2, ip_check(f, *p));
  add("ip.saddr", 4, ip4(f, at));
  add("ip.daddr", 4, ip4(f, at));
  if (p->hlen > 20) add("ip.options", p->hlen - 20, hex(f.subspan(at, p->hlen - 20)));
  if (p->udp != 0) {
    add("udp.sport", 2, fmt::format("{}", p->sport));
    add("udp.dport", 2, fmt::format("{}", get16(f, at)));
    add("udp.len", 2, fmt::format("{}", get16(f, at)));
    add("udp.check", 2, udp_check(f, *p));
  }
  rest("payload");
  return all;
}

std::string summary(View f) {
  if (const std::optional<Ipv6Parts> six = ipv6_parts(f)) {
    std::string tail =
        six->frag != 0 ? fmt::format(", offset {}{}", six->offset(), six->more() ? " MF" : "") : "";
    tail += fmt::format(", hop limit {}, tclass 0x{:02x}, {} bytes", f[21],
                        (get16(f, 14) >> 4) & 0xff, f.size());
    if (six->udp == 0)
      return fmt::format("ip6 {} > {} protocol {}{}", ip6(f, 22), ip6(f, 38), six->proto, tail);
    return fmt::format("udp [{}]:{} > [{}]:{}{}", ip6(f, 22), six->sport, ip6(f, 38),
                       get16(f, six->udp + 2), tail);
  }
  const std::optional<Ipv4Parts> p = ipv4_parts(f);
  if (!p) {
    return fmt::format("{}, {} bytes",
                       is_arp(f)        ? "arp"
                       : f.size() >= 14 ? fmt::format("type 0x{:04x}", get16(f, 12))
                                        : "runt",
                       f.size());
  }
  const bool fragment = p->more() || p->offset() != 0;
  const std::string tail = fmt::format(
      "{}{}, ttl {}, tos 0x{:02x}, {} bytes", fragment ? ", " : "",
      fragment ? flags_and_offset(*p) : (p->dont_fragment() ? ", DF" : ""), f[22], f[15], f.size());
  if (p->udp == 0)
    return fmt::format("ip {} > {} protocol {}{}", ip4(f, 26), ip4(f, 30), p->proto, tail);
  return fmt::format("udp {}:{} > {}:{}{}", ip4(f, 26), p->sport, ip4(f, 30), get16(f, p->udp + 2),
                     tail);
}

// RFC 1624, equation 3: HC' = ~(~HC + ~m + m').
std::uint16_t adjusted(std::uint16_t check, std::uint16_t from, std::uint16_t to) {
  const std::uint32_t sum = fold((~check & 0xffffU) + (~from & 0xffffU) + to);
  return static_cast<std::uint16_t>(~sum);
}

void set_16(Bytes& f, std::size_t at, std::uint16_t value, std::size_t check_at) {
  put16(f, check_at, adjusted(get16(f, check_at), get16(f, at), value));
  put16(f, at, value);
}

void set_ip_id(Bytes& f, std::size_t ip, std::uint16_t id) { set_16(f, ip + 4, id, ip + 10); }

void set_udp_sport(Bytes& f, std::uint16_t port) {
  const std::optional<Ipv4Parts> p = ipv4_parts(f);
  if (!p || p->udp == 0) return;
  put16(f, p->udp, port);
  const std::uint16_t check = get16(f, p->udp + 6);
  if (check == 0) return;  // no checksum
  const std::uint16_t after = adjusted(check, p->sport, port);
  put16(f, p->udp + 6, after == 0 ? 0xffff : after);
}

void set_udp_sport6(Bytes& f, std::uint16_t port) {
  const std::optional<Ipv6Parts> p = ipv6_parts(f);
  if (!p || p->udp == 0) return;
  put16(f, p->udp, port);
  const std::uint16_t check = get16(f, p->udp + 6);
  if (check == 0) return;
  const std::uint16_t after = adjusted(check, p->sport, port);
  put16(f, p->udp + 6, after == 0 ? 0xffff : after);
}

std::string hexdumps(View left, View right, const std::string& left_name,
                     const std::string& right_name) {
  constexpr std::size_t kRow = 16;
  std::string text = fmt::format("    {:<6}{:<50}{}\n", "", left_name, right_name);
  const std::size_t n = std::max(left.size(), right.size());
  std::size_t same_rows = 0;
  for (std::size_t row = 0; row < n; row += kRow) {
    const auto side = [&](View mine, View other, bool& differs) {
      std::string s;
      for (std::size_t i = row; i < row + kRow; ++i) {
        const bool here = i < mine.size();
        const bool there = i < other.size();
        const bool mark = here != there || (here && mine[i] != other[i]);
        differs |= mark;
        s += here ? fmt::format("{:02x}{}", mine[i], mark ? '!' : ' ') : "   ";
      }
      return s;
    };
    bool differs = false;
    const std::string a = side(left, right, differs);
    const std::string b = side(right, left, differs);
    // The headers are always worth seeing; a long equal payload is not.
    if (!differs && row >= 64) {
      ++same_rows;
      continue;
    }
    if (same_rows != 0) text += fmt::format("    ... {} equal bytes\n", same_rows * kRow);
    same_rows = 0;
    text += fmt::format("    {:04x}  {}  {}\n", row, a, b);
  }
  if (same_rows != 0) text += "    ... the rest is equal\n";
  return text;
}

// Over IPv6, from 2001:db8:77::2.
static Bytes icmp6_about(const Bytes& frame, std::uint8_t type, std::uint8_t code,
                         std::uint32_t rest) {
  const std::optional<Ipv6Parts> p = ipv6_parts(frame);
  if (!p || p->udp == 0) return {};
  constexpr std::size_t kHeaders = 14 + 40 + 8;
  const std::size_t quoted = std::min<std::size_t>(frame.size() - p->ip, 1280 - 48);
  Bytes m(kHeaders + quoted);
  std::copy_n(frame.begin() + 6, 6, m.begin());
  std::copy_n(frame.begin(), 6, m.begin() + 6);
  put16(m, 12, 0x86dd);
  m[14] = 0x60;
  put16(m, 18, static_cast<std::uint16_t>(8 + quoted));
  m[20] = 58;
  m[21] = 64;
  const std::uint8_t peer[] = {0x20, 0x01, 0x0d, 0xb8, 0, 0x77, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2};
  std::copy_n(peer, 16, m.begin() + 22);
  std::copy_n(frame.begin() + 22, 16, m.begin() + 38);
  m[54] = type;
  m[55] = code;
  put16(m, 58, static_cast<std::uint16_t>(rest >> 16));
  put16(m, 60, static_cast<std::uint16_t>(rest));
  std::copy_n(frame.begin() + 14, quoted, m.begin() + kHeaders);
  std::uint32_t sum = sum_of(View(m).subspan(22, 32), 58);
  sum = fold(sum + static_cast<std::uint32_t>(8 + quoted));
  put16(m, 56, static_cast<std::uint16_t>(~sum_of(View(m).subspan(54), sum)));
  return m;
}

Bytes icmp_about(const Bytes& frame, std::uint8_t type, std::uint8_t code, std::uint32_t rest) {
  if (ipv6_parts(frame)) return icmp6_about(frame, type, code, rest);
  const std::optional<Ipv4Parts> p = ipv4_parts(frame);
  if (!p || p->udp == 0) return {};
  constexpr std::size_t kHeaders = 14 + 20 + 8;
  const std::size_t quoted = std::min<std::size_t>(frame.size() - p->ip, 576 - 28);
  Bytes m(kHeaders + quoted);
  std::copy_n(frame.begin() + 6, 6, m.begin());  // to the sender,
  std::copy_n(frame.begin(), 6, m.begin() + 6);  // from whom it sent to
  m[12] = 0x08;
  m[14] = 0x45;
  put16(m, 16, static_cast<std::uint16_t>(m.size() - 14));
  m[22] = 64;
  m[23] = 1;
  const std::uint8_t peer[] = {10, 77, 0, 2};
  std::copy_n(peer, 4, m.begin() + 26);
  std::copy_n(frame.begin() + 26, 4, m.begin() + 30);
  put16(m, 24, static_cast<std::uint16_t>(~sum_of(View(m).subspan(14, 20))));
  m[34] = type;
  m[35] = code;
  put16(m, 38, static_cast<std::uint16_t>(rest >> 16));
  put16(m, 40, static_cast<std::uint16_t>(rest));
  std::copy_n(frame.begin() + 14, quoted, m.begin() + kHeaders);
  put16(m, 36, static_cast<std::uint16_t>(~sum_of(View(m).subspan(34))));
  return m;
}

}  // namespace txp::kdiff
