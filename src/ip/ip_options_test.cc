// SPDX-License-Identifier: Apache-2.0
#include "ip/ip_options.h"

#include <gtest/gtest.h>

#include <string_view>
#include <vector>

#include "net.h"
#include "wire/ipv4.h"

namespace txp {
namespace {

using Bytes = std::vector<std::uint8_t>;

Bytes bytes(std::string_view hex) {
  Bytes all;
  for (std::size_t i = 0; i + 1 < hex.size(); i += 2)
    all.push_back(static_cast<std::uint8_t>(std::stoi(std::string(hex.substr(i, 2)), nullptr, 16)));
  return all;
}

class IpOptionsTest : public ::testing::Test {
 protected:
  SockResult<IpOptions> get(std::string_view hex, bool privileged = true) {
    const RcuReader reader;
    return ip_options_get(net, bytes(hex), privileged);
  }
  Net net{Net::Options{Clock::manual(3'600'000 * kMillisecond), 1}};
};

TEST_F(IpOptionsTest, AreReadBackAsTheyWereGiven) {
  for (const char* hex :
       {"070b04000000000000000000", "018307040a4d000200", "01830b040a4d00020a4d0009",
        "440c0501000000000000000000000000", "4408050000000000", "94040000", "01010101"}) {
    auto opt = get(hex);
    ASSERT_TRUE(opt.has_value()) << hex;
    ip_options_undo(*opt);
    const Bytes given = bytes(hex);
    EXPECT_EQ(Bytes(opt->data.begin(), opt->data.begin() + static_cast<long>(given.size())), given)
        << hex;
  }
}

TEST_F(IpOptionsTest, ASourceRouteLosesItsFirstHop) {
  const auto opt = get("01830b040a4d00020a4d0009");
  ASSERT_TRUE(opt.has_value());
  EXPECT_EQ(opt->srr, 21);
  EXPECT_EQ(opt->faddr, Ip4{0x0a4d0002});
  EXPECT_FALSE(opt->is_strictroute);
  EXPECT_EQ(load_be32(&opt->data[4]), 0x0a4d0009U);
}

TEST_F(IpOptionsTest, WhatNeedsACapabilityIsRefusedWithout) {
  EXPECT_EQ(get("018307040a4d000200", false).error().code, EPERM);
  EXPECT_EQ(get("8203aa", false).error().code, EINVAL);
  EXPECT_TRUE(get("8203aa").has_value());
  EXPECT_TRUE(get("94040000", false).has_value());
}

TEST_F(IpOptionsTest, BuildFillsInWhatIsOurs) {
  const auto opt = get("070704000000004408050000000000");
  ASSERT_TRUE(opt.has_value());
  SkbPtr skb = alloc_skb(net, 64);
  skb->set_network_header();
  skb->put(kIpHlen + opt->optlen);
  Ipv4Header h;
  h.ihl = static_cast<std::uint8_t>(5 + opt->optlen / 4);
  h.saddr = Ip4{0x0a000001};
  h.emit(skb->network());
  ip_options_build(net, *skb, *opt, Ip4{0x0a000002});
  const Bytes want = bytes(
      "0707080a00000144080900"
      "0036ee80"
      "00");
  EXPECT_EQ(Bytes(skb->network() + kIpHlen, skb->network() + kIpHlen + opt->optlen), want);
  ip_options_fragment(*skb);
  EXPECT_EQ(Bytes(skb->network() + kIpHlen, skb->network() + kIpHlen + opt->optlen),
            bytes("01010101010101010101010101010100"));
  free_skb(std::move(skb));
}

}  // namespace
}  // namespace txp
