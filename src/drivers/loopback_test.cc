// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <netinet/in.h>
#include <netinet/udp.h>

#include "tests/support/two_nets.h"

namespace txp::test {
namespace {

class Loopback : public ::testing::Test {
 protected:
  ~Loopback() override { EXPECT_TRUE(host.net.totals().conserved()); }
  Host host{"10.0.0.1", 1};
  Sock& rx = host.bound(53);
  Sock& tx = host.sock();
};

TEST_F(Loopback, DatagramIsThereWhenTheSendReturns) {
  EXPECT_EQ(host.send(tx, "127.0.0.1", 53, 100), 0);
  const auto d = udp_recvmsg(rx);
  ASSERT_TRUE(d);
  EXPECT_EQ(d->payload.size(), 100U);
  EXPECT_EQ(d->from.addr, ip("127.0.0.1"));
  EXPECT_EQ(tx.wmem_alloc.load(), 1U);
  const auto at = static_cast<std::size_t>(Stage::loopback_xmit);
  EXPECT_EQ(host.net.totals().stages[at].packets, 1U);
  EXPECT_EQ(host.net.totals().delivered, 1U);
}

TEST_F(Loopback, CountsBytesWithoutTheLinksHeader) {
  host.send(tx, "127.0.0.1", 53, 100);
  EXPECT_EQ(host.lo().tx[0]->tx_bytes(), 128U);
  EXPECT_EQ(host.lo().rx_bytes.load(), 128U);
  EXPECT_EQ(host.lo().rx_packets.load(), 1U);
}

TEST_F(Loopback, OurOwnAddressIsReachedOverIt) {
  EXPECT_EQ(host.send(tx, "10.0.0.1", 53), 0);
  const auto d = udp_recvmsg(rx);
  ASSERT_TRUE(d);
  EXPECT_EQ(d->from.addr, ip("10.0.0.1"));
  EXPECT_TRUE(host.wire.sent.empty());
}

TEST_F(Loopback, ClosedPortRefusesTheNextSend) {
  ASSERT_TRUE(inet_dgram_connect(tx, {ip("127.0.0.1"), 9}));
  EXPECT_EQ(host.send_connected(tx), 0);
  EXPECT_EQ(host.send_connected(tx), ECONNREFUSED);
  EXPECT_EQ(host.send_connected(tx), 0);
}

TEST_F(Loopback, SegmentationPacketBecomesItsDatagrams) {
  tx.gso_size = 100;
  EXPECT_EQ(host.send(tx, "127.0.0.1", 53, 250), 0);
  std::vector<std::size_t> sizes;
  while (const auto d = udp_recvmsg(rx)) sizes.push_back(d->payload.size());
  EXPECT_EQ(sizes, (std::vector<std::size_t>{100, 100, 50}));
  EXPECT_EQ(host.snmp(Snmp::UdpInDatagrams), 3U);
  EXPECT_EQ(host.lo().rx_packets.load(), 1U);
}

TEST_F(Loopback, LargeDatagramComesWhole) {
  EXPECT_EQ(host.send(tx, "127.0.0.1", 53, 65000), 0);
  const auto d = udp_recvmsg(rx);
  ASSERT_TRUE(d);
  EXPECT_EQ(d->payload, Bytes(65000, 'x'));
}

TEST_F(Loopback, MulticastAndBroadcastComeBackToOurOwnListeners) {
  tx.broadcast = true;
  EXPECT_EQ(host.send(tx, "10.0.0.255", 53), 0);
  EXPECT_TRUE(udp_recvmsg(rx));
  EXPECT_EQ(host.wire.sent.size(), 1U);
  {
    const std::lock_guard guard(host.net.rtnl);
    host.net.dev->set_mc_groups(2, {ip("239.1.2.3")});
  }
  tx.mc_index = 2;
  EXPECT_EQ(host.send(tx, "239.1.2.3", 53), 0);
  EXPECT_TRUE(udp_recvmsg(rx));
  tx.mc_loop = false;
  EXPECT_EQ(host.send(tx, "239.1.2.3", 53), 0);
  EXPECT_FALSE(udp_recvmsg(rx));
}

TEST_F(Loopback, AFullBacklogIsAReceiveDrop) {
  const RcuReader reader;
  for (int i = 0; i < 1001; ++i) {
    SkbPtr skb = alloc_skb(host.net, 64);
    skb->dev = &host.lo();
    netif_rx(host.net, std::move(skb));
  }
  EXPECT_EQ(host.rx_drops(DropReason::CPU_BACKLOG), 1U);
  run_backlog(host.net);
}

}  // namespace
}  // namespace txp::test
