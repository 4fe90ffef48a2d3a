// SPDX-License-Identifier: Apache-2.0
#include "drivers/pair.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "tests/support/two_nets.h"

namespace txp::test {
namespace {

void know_each_other(TwoNets& n) {
  n.a.set_neigh("10.0.0.2", Nud::permanent, mac(2));
  n.b.set_neigh("10.0.0.1", Nud::permanent, mac(1));
}

TEST(Pair, AFullRingIsBusyAndThePacketsComeAgainInOrder) {
  TwoNets n(2);
  know_each_other(n);
  Sock& rx = n.b.bound(53);
  Sock& tx = n.a.sock();
  for (std::size_t len = 1; len <= 6; ++len) EXPECT_EQ(n.a.send(tx, "10.0.0.2", 53, len), 0);
  EXPECT_EQ(n.a.net.totals().delivered, 2U);
  EXPECT_EQ(n.a.net.totals().queued, 4U);
  EXPECT_TRUE(n.a.net.totals().conserved());
  n.settle();
  for (std::size_t len = 1; len <= 6; ++len) {
    const auto d = udp_recvmsg(rx);
    ASSERT_TRUE(d);
    EXPECT_EQ(d->payload.size(), len);
  }
  EXPECT_TRUE(n.a.net.totals().conserved());
}

TEST(Pair, FramesForAnEndThatIsGoneAreLost) {
  Host a("10.0.0.1", 1);
  {
    auto [x, y] = make_pair_drivers();
    const std::lock_guard guard(a.net.rtnl);
    a.net.dev->attach(a.dev(), std::move(x));
  }
  a.set_neigh("10.0.0.2", Nud::permanent, mac(2));
  a.send(a.sock(), "10.0.0.2", 53);
  EXPECT_EQ(a.drops(Stage::ndo_start_xmit, DropReason::DEV_READY), 1U);
  EXPECT_TRUE(a.net.totals().conserved());
}

TEST(Pair, TwoThreadsExchangeEverythingInOrder) {
  constexpr std::uint32_t kCount = 20000;
  TwoNets n(64);
  know_each_other(n);
  Sock& rx = n.b.bound(53);
  rx.rcvbuf = 1 << 30;
  Sock& tx = n.a.sock();
  std::atomic<bool> failed{false};
  std::thread sender([&] {
    for (std::uint32_t i = 0; i < kCount && !failed;) {
      Bytes payload(4);
      store_be32(payload.data(), i);
      const iovec iov{payload.data(), payload.size()};
      MsgHdr msg;
      msg.name = SockAddr4{ip("10.0.0.2"), 53};
      msg.iov = {&iov, 1};
      const auto sent = sock_sendmsg(n.a.net, tx, msg);
      if (sent)
        ++i;
      else if (sent.error().code != EAGAIN)
        failed = true;
      n.a.net.poll();
    }
    while (!failed && n.a.net.totals().queued != 0) n.a.net.poll();
  });
  std::uint32_t next = 0;
  while (next < kCount && !failed) {
    n.b.net.poll();
    while (const auto d = udp_recvmsg(rx)) {
      if (load_be32(d->payload.data()) != next++) failed = true;
    }
    std::this_thread::yield();
  }
  sender.join();
  EXPECT_FALSE(failed) << "after " << next;
  EXPECT_TRUE(n.a.net.totals().conserved());
  EXPECT_TRUE(n.b.net.totals().conserved());
}

}  // namespace
}  // namespace txp::test
