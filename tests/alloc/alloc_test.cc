// SPDX-License-Identifier: Apache-2.0
// No allocation per packet on the path after warm-up: every one is counted here.
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <netinet/udp.h>

#include <cstdlib>
#include <new>
#include <vector>

#include "txpath/txpath.h"

namespace {
std::size_t allocations = 0;  // one thread
}

extern "C" {
void* __real_malloc(std::size_t size);
void* __real_calloc(std::size_t n, std::size_t size);
void* __real_realloc(void* p, std::size_t size);
void* __wrap_malloc(std::size_t size) {
  ++allocations;
  return __real_malloc(size);
}
void* __wrap_calloc(std::size_t n, std::size_t size) {
  ++allocations;
  return __real_calloc(n, size);
}
void* __wrap_realloc(void* p, std::size_t size) {
  ++allocations;
  return __real_realloc(p, size);
}
}

void* operator new(std::size_t size) {
  ++allocations;
  if (void* p = __real_malloc(size)) return p;
  throw std::bad_alloc();
}
void* operator new(std::size_t size, const std::nothrow_t&) noexcept {
  ++allocations;
  return __real_malloc(size);
}
void* operator new(std::size_t size, std::align_val_t align, const std::nothrow_t&) noexcept {
  ++allocations;
  const auto a = static_cast<std::size_t>(align);
  return std::aligned_alloc(a, (size + a - 1) / a * a);
}
void* operator new(std::size_t size, std::align_val_t align) {
  if (void* p = operator new(size, align, std::nothrow)) return p;
  throw std::bad_alloc();
}
void operator delete(void* p) noexcept { std::free(p); }
void operator delete(void* p, std::size_t) noexcept { std::free(p); }
void operator delete(void* p, std::align_val_t) noexcept { std::free(p); }
void operator delete(void* p, std::size_t, std::align_val_t) noexcept { std::free(p); }

namespace txpath {
namespace {

const Endpoint kPeer{{0x0a090002}, 9};

Net made(const std::string& qdisc) {
  Net net = Net::create();
  EXPECT_TRUE(net.add_link({.name = "null0", .qdisc = qdisc}));
  EXPECT_TRUE(net.add_address("null0", "10.9.0.1/24"));
  EXPECT_TRUE(net.add_neighbour("null0", kPeer.address, "02:00:00:00:00:02"));
  return net;
}

// Allocations of 1000 sends after 100.
template <typename Send>
std::size_t after_warm_up(const Send& send) {
  for (int i = 0; i < 100; ++i) send();
  const std::size_t before = allocations;
  for (int i = 0; i < 1000; ++i) send();
  return allocations - before;
}

class Alloc : public testing::TestWithParam<const char*> {};
INSTANTIATE_TEST_SUITE_P(Qdiscs, Alloc, testing::Values("noqueue", "pfifo_fast", "pfifo", "bfifo"),
                         [](const auto& info) { return std::string(info.param); });

TEST_P(Alloc, TheCounterCounts) {
  const std::size_t before = allocations;
  std::vector<int> v(100);
  EXPECT_GT(allocations, before) << v.size();
}

TEST_P(Alloc, NoneForADatagram) {
  Net net = made(GetParam());
  UdpSocket socket = *net.udp_socket();
  const std::vector<std::uint8_t> payload(1400);
  EXPECT_EQ(after_warm_up([&] { ASSERT_TRUE(socket.send_to(payload, kPeer)); }), 0U);
  EXPECT_EQ(net.stats().delivered, 1100U);
}

TEST_P(Alloc, NoneForAConnectedDatagram) {
  Net net = made(GetParam());
  UdpSocket socket = *net.udp_socket();
  ASSERT_TRUE(socket.connect(kPeer));
  const std::vector<std::uint8_t> payload(64);
  EXPECT_EQ(after_warm_up([&] { ASSERT_TRUE(socket.send(payload)); }), 0U);
}

TEST_P(Alloc, NoneForFragments) {
  Net net = made(GetParam());
  UdpSocket socket = *net.udp_socket();
  const std::vector<std::uint8_t> payload(4000);
  EXPECT_EQ(after_warm_up([&] { ASSERT_TRUE(socket.send_to(payload, kPeer)); }), 0U);
  EXPECT_EQ(net.stats().delivered, 3300U);
}

TEST_P(Alloc, NoneForSegments) {
  Net net = made(GetParam());
  UdpSocket socket = *net.udp_socket();
  ASSERT_TRUE(socket.set_option(SOL_UDP, UDP_SEGMENT, 1000));
  const std::vector<std::uint8_t> payload(8000);
  EXPECT_EQ(after_warm_up([&] { ASSERT_TRUE(socket.send_to(payload, kPeer)); }), 0U);
  EXPECT_EQ(net.stats().delivered, 8800U);
}

TEST_P(Alloc, NoneForABatch) {
  Net net = made(GetParam());
  UdpSocket socket = *net.udp_socket();
  const std::vector<std::uint8_t> payload(64);
  const std::vector<Message> batch(32, Message{&kPeer, payload});
  EXPECT_EQ(after_warm_up([&] { ASSERT_TRUE(socket.send_batch(batch)); }), 0U);
}

// A packet without a route ends without one either.
TEST_P(Alloc, NoneForARefusedDatagram) {
  Net net = made(GetParam());
  UdpSocket socket = *net.udp_socket();
  const std::vector<std::uint8_t> payload(64);
  const Endpoint nowhere{{0xc0000201}, 9};
  EXPECT_EQ(after_warm_up([&] { ASSERT_FALSE(socket.send_to(payload, nowhere)); }), 0U);
  EXPECT_TRUE(net.stats().conserved());
}

}  // namespace
}  // namespace txpath
