// SPDX-License-Identifier: Apache-2.0
// The TAP driver against the kernel: what the device sends, a UDP socket of the kernel receives.
#include "drivers/tap.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sched.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>
#include <thread>

#include "drivers/scripted_driver.h"

namespace txp {
namespace {

using testing::Bed;
using testing::test_link;

std::uint64_t stat_of(const Driver& driver, std::string_view name) {
  for (const auto& [n, value] : driver.stats())
    if (n == name) return value;
  return ~std::uint64_t{0};
}

// In a network namespace of its own, with an interface tap0 at 10.0.0.2 and a receiver on port 2.
template <typename Body>
void with_tap(Body body) {
  std::thread([&] {
    if (::unshare(CLONE_NEWNET) != 0) GTEST_SKIP() << "needs the permission to make a namespace";
    auto driver = make_tap("tap0");
    if (!driver) GTEST_SKIP() << driver.error().what;
    ASSERT_EQ(std::system("ip addr add 10.0.0.2/24 dev tap0 && ip link set tap0 address "
                          "02:00:00:00:00:02 up && sysctl -qw net.ipv4.conf.all.rp_filter=0"),
              0);
    const int receiver = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    sockaddr_in here{};
    here.sin_family = AF_INET;
    here.sin_port = htons(2);
    ASSERT_EQ(::bind(receiver, reinterpret_cast<const sockaddr*>(&here), sizeof here), 0);
    Bed bed(test_link());
    Driver* tap = driver->get();
    bed.net.dev->attach(*bed.dev, std::move(*driver));
    body(bed, *tap, [receiver] {
      pollfd fd{receiver, POLLIN, 0};
      std::vector<std::uint8_t> bytes(65536);
      if (::poll(&fd, 1, 1000) != 1) return std::vector<std::uint8_t>{};
      const ssize_t n = ::recv(receiver, bytes.data(), bytes.size(), 0);
      bytes.resize(n < 0 ? 0 : static_cast<std::size_t>(n));
      return bytes;
    });
    EXPECT_TRUE(bed.net.totals().conserved());
    ::close(receiver);
  }).join();
}

TEST(TapDriver, LeavesTheChecksumToTheKernel) {
  with_tap([](Bed& bed, Driver& tap, auto receive) {
    const std::vector<std::uint8_t> payload{1, 2, 3, 4, 5};
    ASSERT_TRUE(bed.send(bed.frame(payload)).ok());
    EXPECT_EQ(receive(), payload);
    EXPECT_EQ(stat_of(tap, "tap_sent"), 1U);
    EXPECT_EQ(bed.net.totals().delivered, 1U);
  });
}

TEST(TapDriver, SendsASuperframeWhole) {
  with_tap([](Bed& bed, Driver& tap, auto receive) {
    if (!tap.features().gso_udp_l4) GTEST_SKIP() << "this kernel takes no UDP superframes";
    std::vector<std::uint8_t> payload(2500);
    for (std::size_t i = 0; i < payload.size(); ++i) payload[i] = static_cast<std::uint8_t>(i * 7);
    SkbPtr skb = bed.frame(payload);
    skb->gso_size = 1000;
    skb->gso_segs = 3;
    skb->gso_type = GsoType::udp_l4;
    ASSERT_TRUE(bed.send(std::move(skb)).ok());
    std::vector<std::uint8_t> all;
    for (const std::size_t len : {1000U, 1000U, 500U}) {
      const auto part = receive();
      EXPECT_EQ(part.size(), len);
      all.insert(all.end(), part.begin(), part.end());
    }
    EXPECT_EQ(all, payload);
    EXPECT_EQ(stat_of(tap, "tap_superframes"), 1U);
    EXPECT_EQ(bed.dev->tx[0]->tx_packets(), 1U) << "one packet to the device";
  });
}

TEST(TapDriver, AFrameThatTheKernelRefusesIsLostAndCounted) {
  with_tap([](Bed& bed, Driver& tap, auto) {
    ASSERT_EQ(std::system("ip link set tap0 down"), 0);
    EXPECT_TRUE(bed.send(1).ok());
    EXPECT_EQ(stat_of(tap, "tap_errors"), 1U);
    EXPECT_EQ(bed.drops(Stage::ndo_start_xmit, DropReason::TXPATH_DRIVER_ERROR), 1U);
  });
}

TEST(TapDriver, ReceivesWhatTheKernelSends) {
  with_tap([](Bed& bed, Driver& tap, auto) {
    ASSERT_EQ(std::system("ip neigh add 10.0.0.1 lladdr 02:00:00:00:00:01 dev tap0 nud permanent"),
              0);
    ASSERT_EQ(std::system("echo hello > /dev/udp/10.0.0.1/9 2>/dev/null || "
                          "bash -c 'echo hello > /dev/udp/10.0.0.1/9'"),
              0);
    pollfd fd{tap.fd(), POLLIN, 0};
    ASSERT_EQ(::poll(&fd, 1, 1000), 1);
    for (int i = 0; i < 10; ++i) bed.net.poll();
    EXPECT_GE(stat_of(tap, "tap_received"), 1U);
    EXPECT_GE(bed.dev->rx_packets.load(), 1U);
  });
}

TEST(TapDriver, ABadNameIsOneError) {
  EXPECT_FALSE(make_tap(""));
  EXPECT_FALSE(make_tap("a-name-that-is-too-long"));
}

}  // namespace
}  // namespace txp
