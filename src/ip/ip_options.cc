// SPDX-License-Identifier: Apache-2.0
// IP options: checked, compiled, written into headers, mended for fragments.
//
// Kernel twin: net/ipv4/ip_options.c, __ip_options_compile(), ip_options_get(), ip_options_undo(),
// ip_options_build(), ip_options_fragment(); net/ipv4/af_inet.c, inet_current_timestamp().
// Differs: CIPSO labels are refused, as a host without NetLabel domains does. Drops: none.
#include "ip/ip_options.h"

#include <algorithm>
#include <cstring>

#include "net.h"
#include "route/ip_route.h"
#include "wire/ipv4.h"

namespace txp {
namespace {

// One pass of __ip_options_compile(). Places are offsets into `o`, which begins behind the fixed
// header.
class Compiler {
 public:
  // `skb`: a received packet, whose bytes `o` are; null: options of a send.
  Compiler(Net& net, std::span<std::uint8_t> o, Skb* skb, bool privileged, IpOptions& opt)
      : net_(net), o_(o), skb_(skb), privileged_(privileged), opt_(opt) {}

  bool run() {
    std::size_t at = 0;
    while (at < o_.size()) {
      if (o_[at] == kIpOptEnd) {
        std::ranges::fill(o_.subspan(at), kIpOptEnd);
        return true;
      }
      if (o_[at] == kIpOptNoop) {
        ++at;
        continue;
      }
      const std::size_t left = o_.size() - at;
      if (left < 2 || o_[at + 1] < 2 || o_[at + 1] > left) return wrong(at);
      const std::size_t len = o_[at + 1];
      if (!one(at, len)) return false;
      at += len;
    }
    return true;
  }
  std::uint8_t bad() const { return bad_; }

 private:
  static std::uint8_t place(std::size_t at) { return static_cast<std::uint8_t>(at + kIpHlen); }
  bool wrong(std::size_t at) {
    bad_ = place(at);
    return false;
  }

  bool one(std::size_t at, std::size_t len) {
    switch (o_[at]) {
      case kIpOptSsrr:
      case kIpOptLsrr: return source_route(at, len);
      case kIpOptRr: return record_route(at, len);
      case kIpOptTimestamp: return timestamp(at, len);
      case kIpOptRa: return len >= 4 || wrong(at + 1);
      case kIpOptCipso:
        if ((skb_ == nullptr && !privileged_) || opt_.cipso != 0) return wrong(at);
        return wrong(at + (len < 8 ? 1 : 2));  // cipso_v4_validate(): no such domain
      default: return skb_ != nullptr || privileged_ || wrong(at);
    }
  }

  bool source_route(std::size_t at, std::size_t len) {
    if (len < 3) return wrong(at + 1);
    if (o_[at + 2] < 4) return wrong(at + 2);
    if (opt_.srr != 0) return wrong(at);  // RFC 1812, 5.2.4.1
    if (skb_ == nullptr) {
      if (o_[at + 2] != 4 || len < 7 || ((len - 3) & 3) != 0) return wrong(at + 1);
      // The first hop becomes the packet's destination; the others move up.
      opt_.faddr = Ip4{load_be32(&o_[at + 3])};
      std::memmove(&o_[at + 3], &o_[at] + 7, len - 7);
    }
    opt_.is_strictroute = o_[at] == kIpOptSsrr;
    opt_.srr = place(at);
    return true;
  }

  bool record_route(std::size_t at, std::size_t len) {
    if (opt_.rr != 0) return wrong(at);
    if (len < 3) return wrong(at + 1);
    const std::size_t pointer = o_[at + 2];
    if (pointer < 4) return wrong(at + 2);
    if (pointer <= len) {
      if (pointer + 3 > len) return wrong(at + 2);
      if (skb_ != nullptr) store_be32(&o_[at + pointer - 1], own_address().host);
      o_[at + 2] = static_cast<std::uint8_t>(pointer + 4);
      opt_.rr_needaddr = true;
    }
    opt_.rr = place(at);
    return true;
  }

  bool timestamp(std::size_t at, std::size_t len) {
    if (opt_.ts != 0) return wrong(at);
    if (len < 4) return wrong(at + 1);
    const std::size_t pointer = o_[at + 2];
    const std::uint8_t flag = o_[at + 3] & 0xf;
    if (pointer < 5) return wrong(at + 2);
    if (pointer <= len) {
      if (pointer + 3 > len) return wrong(at + 2);
      if (!stamp(at, len, pointer, flag)) return false;
    } else if (flag != kIpOptTsPrespec) {
      const unsigned overflow = o_[at + 3] >> 4;
      if (overflow == 15) return wrong(at + 3);
      if (skb_ != nullptr) o_[at + 3] = static_cast<std::uint8_t>(flag | ((overflow + 1) << 4));
    }
    opt_.ts = place(at);
    return true;
  }

  bool stamp(std::size_t at, std::size_t len, std::size_t pointer, std::uint8_t flag) {
    std::size_t time = 0;  // where our time goes; 0: nowhere
    switch (flag) {
      case kIpOptTsOnly:
        time = at + pointer - 1;
        opt_.ts_needtime = true;
        o_[at + 2] = static_cast<std::uint8_t>(pointer + 4);
        break;
      case kIpOptTsAndAddr:
        if (pointer + 7 > len) return wrong(at + 2);
        if (skb_ != nullptr) store_be32(&o_[at + pointer - 1], own_address().host);
        time = at + pointer + 3;
        opt_.ts_needaddr = true;
        opt_.ts_needtime = true;
        o_[at + 2] = static_cast<std::uint8_t>(pointer + 8);
        break;
      case kIpOptTsPrespec:
        if (pointer + 7 > len) return wrong(at + 2);
        if (inet_addr_type(net_, Ip4{load_be32(&o_[at + pointer - 1])}) != RouteType::unicast)
          time = at + pointer + 3;
        if (time == 0) return true;  // it is somebody else's turn
        opt_.ts_needtime = true;
        o_[at + 2] = static_cast<std::uint8_t>(pointer + 8);
        break;
      default: return skb_ != nullptr || privileged_ || wrong(at + 3);
    }
    if (skb_ != nullptr) store_be32(&o_[time], inet_current_timestamp(net_));
    return true;
  }

  Ip4 own_address() { return fib_compute_spec_dst(net_, *skb_); }

  Net& net_;
  std::span<std::uint8_t> o_;
  Skb* skb_;
  bool privileged_;
  IpOptions& opt_;
  std::uint8_t bad_ = 0;
};

// Bytes of `opt` at a place that counts from the IP header.
std::uint8_t* at_place(IpOptions& opt, std::uint8_t place) { return &opt.data[place - kIpHlen]; }

}  // namespace

std::uint32_t inet_current_timestamp(const Net& net) {
  constexpr Nanos kDay = 86'400 * kSecond;
  return static_cast<std::uint32_t>(net.clock.wall() % kDay / kMillisecond);
}

SockResult<IpOptions> ip_options_get(Net& net, std::span<const std::uint8_t> bytes,
                                     bool privileged) {
  IpOptions opt;
  std::ranges::copy(bytes, opt.data.begin());
  opt.optlen = static_cast<std::uint8_t>((bytes.size() + 3) & ~std::size_t{3});
  Compiler compiler(net, std::span(opt.data).first(opt.optlen), nullptr, privileged, opt);
  if (!compiler.run()) return err(EINVAL);
  if (opt.srr != 0 && !privileged) return err(EPERM);
  return opt;
}

void ip_options_undo(IpOptions& opt) {
  if (opt.srr != 0) {
    std::uint8_t* o = at_place(opt, opt.srr);
    std::memmove(o + 7, o + 3, o[1] - std::size_t{7});
    store_be32(o + 3, opt.faddr.host);
  }
  if (opt.rr_needaddr) {
    std::uint8_t* o = at_place(opt, opt.rr);
    o[2] = static_cast<std::uint8_t>(o[2] - 4);
    store_be32(&o[o[2] - 1], 0);
  }
  if (opt.ts == 0) return;
  std::uint8_t* o = at_place(opt, opt.ts);
  if (opt.ts_needtime) {
    o[2] = static_cast<std::uint8_t>(o[2] - 4);
    store_be32(&o[o[2] - 1], 0);
    if ((o[3] & 0xf) == kIpOptTsPrespec) o[2] = static_cast<std::uint8_t>(o[2] - 4);
  }
  if (opt.ts_needaddr) {
    o[2] = static_cast<std::uint8_t>(o[2] - 4);
    store_be32(&o[o[2] - 1], 0);
  }
}

void ip_options_build(Net& net, Skb& skb, const IpOptions& opt, Ip4 daddr) {
  std::uint8_t* iph = skb.network();
  std::memcpy(iph + kIpHlen, opt.data.data(), opt.optlen);
  skb.opt = static_cast<const IpOptionPlaces&>(opt);
  const Ip4 own = Ipv4View(iph).saddr();  // ip_rt_get_source() of an output route
  if (opt.srr != 0) store_be32(iph + opt.srr + iph[opt.srr + 1] - 4, daddr.host);
  if (opt.rr_needaddr) store_be32(iph + opt.rr + iph[opt.rr + 2] - 5, own.host);
  if (opt.ts_needaddr) store_be32(iph + opt.ts + iph[opt.ts + 2] - 9, own.host);
  if (opt.ts_needtime) store_be32(iph + opt.ts + iph[opt.ts + 2] - 5, inet_current_timestamp(net));
}

void ip_options_fragment(Skb& skb) {
  std::uint8_t* o = skb.network() + kIpHlen;
  std::size_t left = Ipv4View(skb.network()).hlen() - kIpHlen;
  while (left > 0 && *o != kIpOptEnd) {
    if (*o == kIpOptNoop) {
      ++o;
      --left;
      continue;
    }
    if (left < 2) return;
    const std::size_t len = o[1];
    if (len < 2 || len > left) return;
    if ((*o & kIpOptCopied) == 0) std::memset(o, kIpOptNoop, len);
    o += len;
    left -= len;
  }
}

std::expected<void, std::uint8_t> ip_options_compile(Net& net, Skb& skb) {
  IpOptions opt;
  opt.optlen = static_cast<std::uint8_t>(Ipv4View(skb.network()).hlen() - kIpHlen);
  Compiler compiler(net, {skb.network() + kIpHlen, opt.optlen}, &skb, true, opt);
  if (!compiler.run()) return std::unexpected(compiler.bad());
  skb.opt = static_cast<const IpOptionPlaces&>(opt);
  return {};
}

}  // namespace txp
