// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <vector>

#include "tcp/tcp.h"

namespace txp {
namespace {

constexpr std::uint32_t kMss = 1460;
constexpr std::uint32_t kMost = 6291456;

TEST(TcpSelectInitialWindow, IsAMultipleOfTheSegmentSize) {
  const TcpWindow w = tcp_select_initial_window(65536, kMss, 0, true, kMost, false, 0);
  EXPECT_EQ(w.rcv_wnd, 64240U);  // 44 segments: what Linux hosts are known by
  EXPECT_EQ(w.rcv_wscale, 7);
}

TEST(TcpSelectInitialWindow, AWindowClampBoundsBoth) {
  const TcpWindow w = tcp_select_initial_window(65536, 900, 5000, true, kMost, false, 0);
  EXPECT_EQ(w.rcv_wnd, 4500U);
  EXPECT_EQ(w.rcv_wscale, 0);
}

TEST(TcpSelectInitialWindow, InitrwndCountsSegments) {
  EXPECT_EQ(tcp_select_initial_window(65536, 900, 0, true, kMost, false, 3).rcv_wnd, 2700U);
}

TEST(TcpSelectInitialWindow, SignedWindowsEndAt32767) {
  EXPECT_EQ(tcp_select_initial_window(65536, kMss, 0, true, kMost, true, 0).rcv_wnd, 32767U);
}

TEST(TcpSelectInitialWindow, LessThanASegmentStays) {
  EXPECT_EQ(tcp_select_initial_window(1000, kMss, 0, false, kMost, false, 0).rcv_wnd, 1000U);
}

std::vector<std::uint8_t> bytes(const TcpSynOptions& o) {
  std::uint8_t room[40];
  const std::size_t n = o.emit(room);
  return {room, room + n};
}

TEST(TcpSynOptions, AreLaidOutAsTheKernelDoes) {
  TcpSynOptions o;
  o.mss = kMss;
  EXPECT_EQ(bytes(o), (std::vector<std::uint8_t>{2, 4, 5, 0xb4}));
  o.sack_perm = true;
  EXPECT_EQ(bytes(o), (std::vector<std::uint8_t>{2, 4, 5, 0xb4, 1, 1, 4, 2}));
  o.tsval = 0x01020304;
  o.wscale = 7;
  EXPECT_EQ(bytes(o), (std::vector<std::uint8_t>{2, 4, 5, 0xb4, 4, 2, 8, 10, 1, 2,
                                                 3, 4, 0, 0,    0, 0, 1, 3,  3, 7}));
  o.sack_perm = false;
  EXPECT_EQ(bytes(o)[4], 1);
}

}  // namespace
}  // namespace txp
