// SPDX-License-Identifier: Apache-2.0
// meta: what is known of the packet beside its bytes (mark, devices, socket, length, time), and
// mark, priority and type set.
// Kernel twin: net/netfilter/nft_meta.c.
// Differs: rtclassid, secmark, cgroup, secpath, sdif and the kind of a device's driver are unknown.
#include <sched.h>

#include <array>
#include <ctime>

#include <fmt/format.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>

#include "base/byteorder.h"
#include "dev/netdevice.h"
#include "net.h"
#include "netfilter/nf_hook.h"
#include "netfilter/registry.h"
#include "socket/sock.h"
#include "wire/ipv4.h"

namespace txp {
namespace {

constexpr std::size_t kIfNameSize = 16;  // IFNAMSIZ

constexpr std::array kMetaNames{"len",     "protocol", "priority", "mark",     "iif",      "oif",
                                "iifname", "oifname",  "iiftype",  "oiftype",  "skuid",    "skgid",
                                "nftrace", "rtclass",  "secmark",  "nfproto",  "l4proto",  "bri",
                                "bri",     "pkttype",  "cpu",      "iifgroup", "oifgroup", "cgroup",
                                "random",  "secpath",  "iifkind",  "oifkind",  "bri",      "bri",
                                "time",    "day",      "hour",     "sdif",     "sdifname"};

// A device's name in 16 bytes, zeros behind it.
void store_name(NftRegs& regs, unsigned reg, std::string_view name) {
  std::array<char, kIfNameSize> padded{};
  name.copy(padded.data(), padded.size() - 1);
  std::memcpy(&regs.data[reg], padded.data(), padded.size());
}

// A packet that comes back to this host (meta pkttype of PACKET_LOOPBACK).
PacketType type_of(const NftPkt& pkt) {
  if (pkt.skb.pkt_type != PacketType::loopback) return pkt.skb.pkt_type;
  return Ipv4View(pkt.skb.network()).daddr().is_multicast() ? PacketType::multicast
                                                            : PacketType::broadcast;
}

// Seconds since midnight, and the day of the week, both UTC as the kernel's time zone is.
std::uint32_t seconds_of_day(std::int64_t secs) {
  return static_cast<std::uint32_t>(secs % (24 * 60 * 60));
}
std::uint8_t day_of_week(std::int64_t secs) {
  return static_cast<std::uint8_t>((4 + secs / (24 * 60 * 60)) % 7);
}

class NftMetaGet final : public NfExpr {
 public:
  NftMetaGet(std::uint32_t key, std::uint8_t dreg) : key_(key), dreg_(dreg) {}

  void eval(NftRegs& regs, NftPkt& pkt) const override {
    const Skb& skb = pkt.skb;
    switch (key_) {
      case NFT_META_LEN: regs.data[dreg_] = skb.len; return;
      case NFT_META_PROTOCOL: regs.store_be16(dreg_, skb.protocol); return;
      case NFT_META_NFPROTO: regs.store8(dreg_, pkt.pf); return;
      case NFT_META_L4PROTO:
        if (!pkt.l4proto) return regs.no_match();
        regs.store8(dreg_, pkt.tprot);
        return;
      case NFT_META_PRIORITY: regs.data[dreg_] = skb.priority; return;
      case NFT_META_MARK: regs.data[dreg_] = skb.mark; return;
      case NFT_META_IIF:
      case NFT_META_OIF: {
        const NetDevice* dev = device(pkt, NFT_META_IIF);
        regs.data[dreg_] = dev != nullptr ? static_cast<std::uint32_t>(dev->ifindex) : 0;
        return;
      }
      case NFT_META_IIFNAME:
      case NFT_META_OIFNAME: {
        const NetDevice* dev = device(pkt, NFT_META_IIFNAME);
        store_name(regs, dreg_, dev != nullptr ? dev->name() : std::string_view());
        return;
      }
      case NFT_META_IIFTYPE:
      case NFT_META_OIFTYPE: {
        // The kernel's iiftype asks for skb->dev, which output has not set yet.
        const bool unset = pkt.pf == NFPROTO_IPV4 && pkt.hooknum == NF_INET_LOCAL_OUT;
        const NetDevice* own = unset ? nullptr : skb.dev;
        const NetDevice* dev = key_ == NFT_META_IIFTYPE ? own : pkt.out;
        if (dev == nullptr) return regs.no_match();
        regs.store16(dreg_, dev->link().type);
        return;
      }
      case NFT_META_IIFGROUP:
      case NFT_META_OIFGROUP: {
        const NetDevice* dev = device(pkt, NFT_META_IIFGROUP);
        if (dev == nullptr) return regs.no_match();
        regs.data[dreg_] = dev->link().group;
        return;
      }
      case NFT_META_SKUID:
      case NFT_META_SKGID:
        if (skb.sk == nullptr) return regs.no_match();
        regs.data[dreg_] = key_ == NFT_META_SKUID ? skb.sk->uid : skb.sk->gid;
        return;
      case NFT_META_PKTTYPE: regs.store8(dreg_, static_cast<std::uint8_t>(type_of(pkt))); return;
      case NFT_META_CPU: regs.data[dreg_] = static_cast<std::uint32_t>(sched_getcpu()); break;
      case NFT_META_PRANDOM: regs.data[dreg_] = pkt.net.random.u32(); break;
      case NFT_META_TIME_NS:
        regs.store64(dreg_, static_cast<std::uint64_t>(pkt.net.clock.wall()));
        return;
      case NFT_META_TIME_DAY:
        regs.store8(dreg_, day_of_week(pkt.net.clock.wall() / kSecond));
        return;
      case NFT_META_TIME_HOUR:
        regs.data[dreg_] = seconds_of_day(pkt.net.clock.wall() / kSecond);
        return;
      default: return regs.unknown();
    }
    // Chance: a report must not say what comes of it.
    if (!pkt.net.nf->chance) regs.unknown();
  }

  NftDepends depends() const override {
    switch (key_) {
      case NFT_META_LEN: return NftDepends::packet;
      case NFT_META_CPU:
      case NFT_META_PRANDOM:
      case NFT_META_TIME_NS:
      case NFT_META_TIME_DAY:
      case NFT_META_TIME_HOUR: return NftDepends::state;
      default: return NftDepends::flow;
    }
  }

  std::string words(const NftRegs& regs) const override {
    const std::string_view name = key_ < kMetaNames.size() ? kMetaNames[key_] : "?";
    if (key_ == NFT_META_IIFNAME || key_ == NFT_META_OIFNAME) {
      std::array<char, kIfNameSize> text{};
      std::memcpy(text.data(), &regs.data[dreg_], text.size() - 1);
      return fmt::format("meta load {}: \"{}\"", name, text.data());
    }
    return fmt::format("meta load {}: {:#010x}", name, regs.data[dreg_]);
  }

  static bool known(std::uint32_t key) {
    switch (key) {
      case NFT_META_LEN:
      case NFT_META_PROTOCOL:
      case NFT_META_NFPROTO:
      case NFT_META_L4PROTO:
      case NFT_META_PRIORITY:
      case NFT_META_MARK:
      case NFT_META_IIF:
      case NFT_META_OIF:
      case NFT_META_IIFNAME:
      case NFT_META_OIFNAME:
      case NFT_META_IIFTYPE:
      case NFT_META_OIFTYPE:
      case NFT_META_IIFGROUP:
      case NFT_META_OIFGROUP:
      case NFT_META_SKUID:
      case NFT_META_SKGID:
      case NFT_META_PKTTYPE:
      case NFT_META_CPU:
      case NFT_META_PRANDOM:
      case NFT_META_TIME_NS:
      case NFT_META_TIME_DAY:
      case NFT_META_TIME_HOUR: return true;
      default: return false;
    }
  }
  static std::size_t length(std::uint32_t key) {
    if (key == NFT_META_IIFNAME || key == NFT_META_OIFNAME) return kIfNameSize;
    return key == NFT_META_TIME_NS ? 8 : 4;
  }

 private:
  // `in_key` is the key that asks for the device it came in by; the other asks for the way out.
  const NetDevice* device(const NftPkt& pkt, std::uint32_t in_key) const {
    return key_ == in_key ? pkt.in : pkt.out;
  }
  std::uint32_t key_;
  std::uint8_t dreg_;
};

class NftMetaSet final : public NfExpr {
 public:
  NftMetaSet(std::uint32_t key, std::uint8_t sreg) : key_(key), sreg_(sreg) {}
  void eval(NftRegs& regs, NftPkt& pkt) const override {
    const std::uint32_t v = regs.data[sreg_];
    switch (key_) {
      case NFT_META_MARK: pkt.skb.mark = v; return;
      case NFT_META_PRIORITY: pkt.skb.priority = v; return;
      case NFT_META_PKTTYPE: {
        // skb_pkt_type_ok(): host to otherhost only.
        const auto type = static_cast<std::uint8_t>(v);
        constexpr auto kMost = static_cast<std::uint8_t>(PacketType::otherhost);
        if (type <= kMost && static_cast<std::uint8_t>(pkt.skb.pkt_type) <= kMost)
          pkt.skb.pkt_type = static_cast<PacketType>(type);
        return;
      }
      default: return;  // nftrace: for `nft monitor trace` only
    }
  }
  NftDepends depends() const override { return NftDepends::flow; }
  std::string words(const NftRegs& regs) const override {
    return fmt::format("meta set {} with {:#010x}", kMetaNames[key_], regs.data[sreg_]);
  }

 private:
  std::uint32_t key_;
  std::uint8_t sreg_;
};

}  // namespace

Result<void> make_nft_meta(NftCompiler& c, Bytes data) {
  Attrs<NFTA_META_MAX> a(data, "meta");
  const std::uint32_t key = a.be32(NFTA_META_KEY).value_or(999);
  if (a.has(NFTA_META_SREG)) {
    const auto sreg = nft_register(a.be32(NFTA_META_SREG), 4);
    if (!sreg) return std::unexpected(sreg.error());
    if (key != NFT_META_MARK && key != NFT_META_PRIORITY && key != NFT_META_PKTTYPE &&
        key != NFT_META_NFTRACE)
      return fail("meta: this key cannot be set");
    c.emplace<NftMetaSet>(key, *sreg);
    return {};
  }
  if (!NftMetaGet::known(key)) return fail("meta: no such key");
  const auto dreg = nft_register(a.be32(NFTA_META_DREG), NftMetaGet::length(key));
  if (!dreg) return std::unexpected(dreg.error());
  c.emplace<NftMetaGet>(key, *dreg);
  return {};
}

}  // namespace txp
