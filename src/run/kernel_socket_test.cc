// SPDX-License-Identifier: Apache-2.0
#include "run/kernel_socket.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net.h"
#include "socket/sock.h"

namespace txp {
namespace {

struct Descriptor {
  explicit Descriptor(int n) : fd(n) {}
  ~Descriptor() { ::close(fd); }
  Descriptor(const Descriptor&) = delete;
  const int fd;
};

TEST(KernelSocket, SaysWhatTheShadowSendsBy) {
  const Descriptor s(::socket(AF_INET, SOCK_DGRAM, 0));
  const auto set = [&](int level, int name, int value) {
    return ::setsockopt(s.fd, level, name, &value, sizeof value);
  };
  ASSERT_EQ(set(IPPROTO_IP, IP_TOS, 0x48), 0);
  ASSERT_EQ(set(IPPROTO_IP, IP_TTL, 9), 0);
  ASSERT_EQ(set(IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_PROBE), 0);
  ASSERT_EQ(set(SOL_SOCKET, SO_BROADCAST, 1), 0);
  ASSERT_EQ(set(SOL_UDP, UDP_SEGMENT, 1000), 0);
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(9);
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  ASSERT_EQ(::connect(s.fd, reinterpret_cast<sockaddr*>(&to), sizeof to), 0);

  const KernelSocket k = read_kernel_socket(s.fd);
  EXPECT_TRUE(k.is_udp);
  EXPECT_EQ(k.refused, Fallback::none);
  EXPECT_NE(k.cookie, 0U);
  EXPECT_EQ(k, read_kernel_socket(s.fd));

  Net net({.clock = Clock::manual(), .seed = 1});
  Sock* sk = make_shadow(net, k);
  ASSERT_NE(sk, nullptr);
  EXPECT_TRUE(sk->connected);
  EXPECT_EQ(sk->inet_daddr.host, INADDR_LOOPBACK);
  EXPECT_EQ(sk->inet_saddr.host, INADDR_LOOPBACK);
  EXPECT_EQ(sk->inet_dport, 9);
  EXPECT_NE(sk->inet_num, 0);
  EXPECT_EQ(sk->tos, 0x48);
  EXPECT_EQ(sk->uc_ttl, 9);
  EXPECT_EQ(sk->pmtudisc, IP_PMTUDISC_PROBE);
  EXPECT_EQ(sk->gso_size, 1000);
  EXPECT_EQ(sk->uid, ::geteuid());
  EXPECT_TRUE(sk->broadcast);
  inet_release(*sk);
}

TEST(KernelSocket, ADuplicateIsTheSameAndAnotherIsNot) {
  const Descriptor a(::socket(AF_INET, SOCK_DGRAM, 0));
  const Descriptor b(::socket(AF_INET, SOCK_DGRAM, 0));
  const Descriptor twin(::dup(a.fd));
  EXPECT_EQ(read_kernel_socket(a.fd), read_kernel_socket(twin.fd));
  EXPECT_NE(read_kernel_socket(a.fd).cookie, read_kernel_socket(b.fd).cookie);
}

TEST(KernelSocket, OnlyUdpOverIpv4IsTaken) {
  const Descriptor tcp(::socket(AF_INET, SOCK_STREAM, 0));
  const Descriptor file(::open("/dev/null", O_WRONLY));
  EXPECT_FALSE(read_kernel_socket(tcp.fd).is_udp);
  EXPECT_FALSE(read_kernel_socket(file.fd).is_udp);
  EXPECT_FALSE(read_kernel_socket(-1).is_udp);
  const Descriptor six(::socket(AF_INET6, SOCK_DGRAM, 0));
  if (six.fd < 0) return;  // a kernel without IPv6
  EXPECT_EQ(read_kernel_socket(six.fd).refused, Fallback::NOT_IPV4);
}

TEST(KernelSocket, OptionsThatTheEngineLacksAreRefused) {
  const Descriptor s(::socket(AF_INET, SOCK_DGRAM, 0));
  const int stamps = 1 << 1;  // SOF_TIMESTAMPING_TX_SOFTWARE
  ASSERT_EQ(::setsockopt(s.fd, SOL_SOCKET, SO_TIMESTAMPING, &stamps, sizeof stamps), 0);
  const KernelSocket k = read_kernel_socket(s.fd);
  EXPECT_EQ(k.refused, Fallback::SOCKET_OPTION);
  EXPECT_EQ(k.refused_by, "SO_TIMESTAMPING");
}

}  // namespace
}  // namespace txp
