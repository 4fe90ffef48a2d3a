// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <sys/socket.h>
#include <unistd.h>

#include <bit>
#include <cstdlib>
#include <thread>

#include "drivers/af_packet.h"
#include "drivers/fault.h"
#include "drivers/registry.h"
#include "drivers/scripted_driver.h"
#include "softirq/net_tx_action.h"

namespace txp {
namespace {

using testing::Bed;
using testing::fifo_limit;
using testing::root_qdisc;
using testing::ScriptedDriver;
using testing::test_link;
using Numbers = std::vector<int>;

std::string refusal(std::string_view spec) {
  Bed bed;
  auto driver = make_driver(bed.net, *bed.dev, spec);
  return driver ? "" : driver.error().what;
}

TEST(DriverRegistry, OneClearErrorForAnythingElse) {
  EXPECT_EQ(refusal("null"), "");
  EXPECT_EQ(refusal("fault(drop=0.5,seed=3)/null"), "");
  EXPECT_EQ(refusal("fault()/fault(dup=1)/null"), "");
  EXPECT_NE(refusal(""), "");
  EXPECT_NE(refusal("nul"), "");
  EXPECT_NE(refusal("null:x"), "");
  EXPECT_NE(refusal("pcap"), "");
  EXPECT_NE(refusal("pcap:"), "");
  EXPECT_NE(refusal("pcap:/nonexistent/x"), "");
  EXPECT_NE(refusal("capture(/nonexistent/x)/null"), "");
  EXPECT_NE(refusal("fault(drop=0.5"), "");
  EXPECT_NE(refusal("fault(drop=0.5)"), "");
  EXPECT_NE(refusal("fault(drop=1.5)/null"), "");
  EXPECT_NE(refusal("fault(drop=-1)/null"), "");
  EXPECT_NE(refusal("fault(drop=nan)/null"), "");
  EXPECT_NE(refusal("fault(drop)/null"), "");
  EXPECT_NE(refusal("fault(dorp=1)/null"), "");
  EXPECT_NE(refusal("fault(seed=x)/null"), "");
  EXPECT_NE(refusal("fault(drop=0.1)/"), "");
  std::string deep;
  for (int i = 0; i < 1000; ++i) deep += "fault()/";
  EXPECT_NE(refusal(deep + "null"), "");
}

// A fault wrapper round the bed's scripted driver.
struct FaultBed : Bed {
  explicit FaultBed(const FaultOptions& options) {
    auto inner = std::make_unique<ScriptedDriver>();
    driver = inner.get();
    net.dev->attach(*dev, make_fault(net, std::move(inner), options));
  }
};

TEST(Fault, DroppedFramesAreCountedNotDelivered) {
  FaultBed bed({.drop = 0.5, .seed = 7});
  for (std::uint8_t i = 0; i < 100; ++i) EXPECT_TRUE(bed.send(i).ok());
  const std::uint64_t lost = bed.drops(Stage::ndo_start_xmit, DropReason::TXPATH_FAULT_INJECTED);
  EXPECT_GT(lost, 30U);
  EXPECT_LT(lost, 70U);
  EXPECT_EQ(bed.driver->frames.size(), 100 - lost);
  EXPECT_EQ(bed.net.totals().delivered, 100 - lost);
  EXPECT_TRUE(bed.net.totals().conserved());
}

TEST(Fault, DoubledFramesAreBornOnTheWay) {
  FaultBed bed({.dup = 1});
  EXPECT_TRUE(bed.send(1).ok());
  EXPECT_EQ(bed.sent(), (Numbers{1, 1}));
  EXPECT_EQ(bed.net.totals().sent, 2U);
  EXPECT_TRUE(bed.net.totals().conserved());
}

TEST(Fault, ReorderedFrameFollowsTheNextOrThePoll) {
  FaultBed bed({.reorder = 1});
  EXPECT_TRUE(bed.send(1).ok());
  EXPECT_EQ(bed.net.totals().queued, 1U);
  EXPECT_TRUE(bed.net.totals().conserved());
  EXPECT_TRUE(bed.send(2).ok());
  EXPECT_EQ(bed.sent(), (Numbers{2, 1}));
  EXPECT_TRUE(bed.send(3).ok());
  EXPECT_TRUE(bed.net.drain(kSecond));
  EXPECT_EQ(bed.sent(), (Numbers{2, 1, 3}));
  EXPECT_TRUE(bed.net.totals().conserved());
}

TEST(Fault, CorruptionFlipsOneBitBehindTheMacHeader) {
  FaultBed bed({.corrupt = 1});
  Bed good;
  EXPECT_TRUE(bed.send(1).ok());
  EXPECT_TRUE(good.send(1).ok());
  const auto& a = bed.driver->frames[0];
  const auto& b = good.driver->frames[0];
  ASSERT_EQ(a.size(), b.size());
  int bits = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (a[i] != b[i]) {
      EXPECT_GE(i, kEthHlen);
    }
    bits += std::popcount(static_cast<unsigned>(a[i] ^ b[i]));
  }
  EXPECT_EQ(bits, 1);
}

TEST(Fault, BusyIsRequeuedByTheDiscipline) {
  FaultBed bed({.busy = 0.5, .seed = 2});
  bed.qdisc(root_qdisc("pfifo", fifo_limit(100)));
  for (std::uint8_t i = 0; i < 50; ++i) EXPECT_TRUE(bed.send(i).ok());
  for (int i = 0; i < 1000 && bed.net.totals().queued > 0; ++i) bed.net.poll();
  Numbers wanted;
  for (int i = 0; i < 50; ++i) wanted.push_back(i);
  EXPECT_EQ(bed.sent(), wanted);
  EXPECT_GT(bed.q().stats.requeues.get(), 5U);
  EXPECT_TRUE(bed.net.totals().conserved());
}

TEST(Fault, SameSeedSameFaults) {
  const auto run = [] {
    FaultBed bed({.drop = 0.2, .dup = 0.2, .reorder = 0.2, .seed = 11});
    for (std::uint8_t i = 0; i < 100; ++i) (void)bed.send(i);
    return bed.sent();
  };
  EXPECT_EQ(run(), run());
}

// Runs `test` in a network namespace of its own with d0 and d1 up, joined.
void in_namespace(const std::function<void()>& test) {
  bool made = false;
  std::thread([&] {
    if (::unshare(CLONE_NEWNET) != 0) return;
    if (std::system("ip link add d0 type veth peer name d1 && ip link set d0 up && "
                    "ip link set d1 up") != 0)
      return;
    made = true;
    test();
  }).join();
  if (!made) GTEST_SKIP() << "no right to make a network namespace";
}

int listen_on(const char* dev) {
  const int fd = ::socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  sockaddr_ll to{};
  to.sll_family = AF_PACKET;
  to.sll_protocol = __builtin_bswap16(0x0800);
  to.sll_ifindex = static_cast<int>(::if_nametoindex(dev));
  if (::bind(fd, static_cast<sockaddr*>(static_cast<void*>(&to)), sizeof to) != 0) return -1;
  return fd;
}

std::vector<std::vector<std::uint8_t>> received(int fd, std::size_t count) {
  std::vector<std::vector<std::uint8_t>> frames;
  std::vector<std::uint8_t> bytes(70000);
  while (frames.size() < count) {
    pollfd p{fd, POLLIN, 0};
    if (::poll(&p, 1, 2000) <= 0) break;
    const ssize_t n = ::recv(fd, bytes.data(), bytes.size(), 0);
    if (n > 0) frames.emplace_back(bytes.begin(), bytes.begin() + n);
  }
  return frames;
}

TEST(AfPacket, FramesArriveInOrderAndUnchanged) {
  in_namespace([] {
    Bed bed(test_link("veth"), {});
    bed.qdisc(root_qdisc("pfifo", fifo_limit(1000)));
    auto driver = make_af_packet(*bed.dev);
    ASSERT_TRUE(driver) << driver.error().what;
    bed.net.dev->attach(*bed.dev, std::move(*driver));
    const int fd = listen_on("d1");
    ASSERT_GE(fd, 0);
    bed.dev->tx[0]->stopped = true;  // so that they leave in batches
    for (std::uint8_t i = 0; i < 100; ++i) ASSERT_TRUE(bed.send(i).ok());
    netif_tx_wake_queue(bed.net, *bed.dev->tx[0]);
    EXPECT_TRUE(bed.net.drain(kSecond));
    const auto frames = received(fd, 100);
    ::close(fd);
    Bed plain;
    for (std::uint8_t i = 0; i < 100; ++i) ASSERT_TRUE(plain.send(i).ok());
    EXPECT_EQ(frames, plain.driver->frames);
    EXPECT_TRUE(bed.net.totals().conserved());
    EXPECT_EQ(bed.net.totals().delivered, 100U);
    for (const auto& [name, n] : bed.dev->driver->stats())
      if (name == "af_packet_doorbells") {
        EXPECT_LE(n, 5U);
      }
  });
}

TEST(AfPacket, FrameThatTheKernelRefusesIsLostAndTheRestGoes) {
  in_namespace([] {
    Bed bed(test_link("veth"));
    auto driver = make_af_packet(*bed.dev);
    ASSERT_TRUE(driver) << driver.error().what;
    bed.net.dev->attach(*bed.dev, std::move(*driver));
    const int fd = listen_on("d1");
    EXPECT_TRUE(bed.send(1).ok());
    EXPECT_TRUE(bed.send(bed.frame(std::vector<std::uint8_t>(3000))).ok());  // EMSGSIZE
    EXPECT_TRUE(bed.send(2).ok());
    EXPECT_EQ(received(fd, 2).size(), 2U);
    ::close(fd);
    EXPECT_EQ(bed.drops(Stage::ndo_start_xmit, DropReason::TXPATH_DRIVER_ERROR), 1U);
    EXPECT_EQ(bed.net.totals().delivered, 2U);
    EXPECT_TRUE(bed.net.totals().conserved());
  });
}

TEST(AfPacket, KernelWithoutRoomKeepsFramesQueued) {
  in_namespace([] {
    // A shaper of the kernel's own, which the driver may not pass by: the socket's buffer fills.
    if (std::system("tc qdisc add dev d0 root tbf rate 1mbit burst 2k limit 10m") != 0) {
      GTEST_SKIP() << "no tbf";
    }
    Bed bed(test_link());
    bed.qdisc(root_qdisc("cake"));
    AfPacketOptions options;
    options.ring = 32;
    auto driver = make_af_packet(*bed.dev, options);  // sees that cake is not ours: no bypass
    ASSERT_TRUE(driver) << driver.error().what;
    bed.net.dev->attach(*bed.dev, std::move(*driver));
    bed.qdisc(root_qdisc("pfifo", fifo_limit(2000)));
    const std::vector<std::uint8_t> payload(1000);
    for (int i = 0; i < 1000; ++i) ASSERT_TRUE(bed.send(bed.frame(payload)).ok());
    const CounterTotals t = bed.net.totals();
    EXPECT_GT(t.queued, 500U);
    EXPECT_TRUE(t.conserved());
    EXPECT_TRUE(bed.dev->tx[0]->stopped.load());
    ASSERT_EQ(std::system("tc qdisc del dev d0 root"), 0);
    for (int i = 0; i < 1000 && bed.net.totals().queued > 0; ++i) bed.net.poll();
    EXPECT_EQ(bed.net.totals().queued, 0U);
    EXPECT_EQ(bed.net.totals().delivered, 1000U);
    EXPECT_TRUE(bed.net.totals().conserved());
  });
}

TEST(AfPacket, MissingInterfaceIsAClearError) {
  Link link = test_link();
  link.name = "no-such-dev";
  Bed bed(link);
  auto driver = make_af_packet(*bed.dev);
  ASSERT_FALSE(driver);
  EXPECT_TRUE(driver.error().what.starts_with("af_packet on no-such-dev: ")) << driver.error().what;
}

}  // namespace
}  // namespace txp
