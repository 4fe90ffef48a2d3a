// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <netinet/udp.h>

#include <algorithm>

#include "observe/trace.h"
#include "tests/support/small_net.h"
#include "wire/ethernet.h"
#include "wire/ipv4.h"
#include "wire/udp.h"

namespace txp::test {
namespace {

struct Parsed {
  EthernetHeader eth;
  Ipv4Header ip;
  UdpHeader udp;
  std::vector<std::uint8_t> payload;
};

// A frame that holds one whole datagram; its checksums are checked.
Parsed parse(const std::vector<std::uint8_t>& frame) {
  const std::span bytes(frame);
  Parsed p{*EthernetHeader::parse(bytes),
           *Ipv4Header::parse(bytes.subspan(14)),
           *UdpHeader::parse(bytes.subspan(34)),
           {}};
  EXPECT_EQ(ip_fast_csum(bytes.subspan(14, 20)), 0);
  EXPECT_EQ(p.ip.tot_len, frame.size() - 14);
  EXPECT_EQ(p.udp.len, frame.size() - 34);
  if (p.udp.check != 0) {
    EXPECT_EQ(csum_fold(csum_tcpudp_nofold(p.ip.saddr.host, p.ip.daddr.host, p.udp.len, kIpProtoUdp,
                                           csum_partial(bytes.subspan(34), 0))),
              0);
  }
  p.payload.assign(frame.begin() + 42, frame.end());
  return p;
}

class UdpSendmsg : public ::testing::Test {
 protected:
  ~UdpSendmsg() override { EXPECT_TRUE(small.net.totals().conserved()); }
  std::uint64_t snmp(Snmp s) { return small.net.totals().snmp[static_cast<std::size_t>(s)]; }
  SmallNet small;
};

TEST_F(UdpSendmsg, ADatagramReachesTheDriverWhole) {
  TestSocket s(small.net);
  ASSERT_TRUE(s.bind("0.0.0.0", 4000));
  const auto payload = pattern(101);
  ASSERT_EQ(s.send_to("10.77.0.2", 53, payload).value(), 101U);
  ASSERT_EQ(small.va.frames.size(), 1U);
  const Parsed p = parse(small.va.frames[0]);
  EXPECT_EQ(p.eth.dest.str(), "02:00:00:00:00:02");
  EXPECT_EQ(p.eth.source.str(), "02:00:00:00:00:01");
  EXPECT_EQ(p.eth.proto, kEthPIp);
  EXPECT_EQ(p.ip.saddr.str(), "10.77.0.1");
  EXPECT_EQ(p.ip.ttl, 64);
  EXPECT_EQ(p.ip.frag_off, kIpDf);
  EXPECT_EQ(p.udp.source, 4000);
  EXPECT_EQ(p.udp.dest, 53);
  EXPECT_NE(p.udp.check, 0);
  EXPECT_EQ(p.payload, payload);
  EXPECT_EQ(snmp(Snmp::UdpOutDatagrams), 1U);
  EXPECT_EQ(snmp(Snmp::IpOutRequests), 1U);
  EXPECT_EQ(snmp(Snmp::IpOutTransmits), 1U);
  EXPECT_EQ(snmp(Snmp::IpExtOutOctets), 129U);
}

TEST_F(UdpSendmsg, APacketIsWalkedThroughEveryStageInOrder) {
  TestSocket s(small.net);
  Trace trace(small.net.clock);
  ASSERT_TRUE(s.send_to("10.77.0.2", 53, pattern(8), 0, &trace));
  std::vector<Stage> seen;
  for (const TraceStage& t : trace.stages()) seen.push_back(t.stage);
  EXPECT_TRUE(std::ranges::is_sorted(seen)) << "stages out of the path's order";
  for (const Stage must :
       {Stage::sock_sendmsg, Stage::inet_sendmsg, Stage::inet_autobind, Stage::udp_sendmsg,
        Stage::ip_route_output_flow, Stage::ip_make_skb, Stage::udp_send_skb, Stage::ip_send_skb,
        Stage::ip_local_out, Stage::nf_local_out, Stage::dst_output, Stage::ip_output,
        Stage::nf_post_routing, Stage::ip_finish_output, Stage::ip_finish_output2,
        Stage::neigh_output, Stage::dev_queue_xmit, Stage::dev_hard_start_xmit,
        Stage::ndo_start_xmit})
    EXPECT_TRUE(std::ranges::count(seen, must) == 1) << name(must);
  ASSERT_EQ(trace.frames().size(), 1U);
  EXPECT_EQ(trace.frames()[0].bytes, small.va.frames[0]);
}

TEST_F(UdpSendmsg, ErrorsOfTheCallAreTheKernels) {
  TestSocket s(small.net);
  const auto one = pattern(1);
  EXPECT_EQ(s.send(one).error().name(), "EDESTADDRREQ");
  EXPECT_EQ(s.send_to("10.77.0.2", 0, one).error().name(), "EINVAL");
  EXPECT_EQ(s.send_to("10.77.0.2", 53, one, MSG_OOB).error().name(), "EOPNOTSUPP");
  EXPECT_EQ(s.send_to("10.77.0.2", 53, pattern(65536)).error().name(), "EMSGSIZE");
  EXPECT_EQ(s.send_to("10.77.0.2", 53, pattern(65508)).error().name(), "EMSGSIZE");
  EXPECT_EQ(s.send_to("10.77.0.255", 53, one).error().name(), "EACCES");
  EXPECT_EQ(s.send_to("192.0.2.1", 53, one).error().name(), "ENETUNREACH");
  EXPECT_EQ(snmp(Snmp::IpOutNoRoutes), 1U);
  EXPECT_TRUE(small.va.frames.empty());
}

TEST_F(UdpSendmsg, BroadcastIsAllowedBySoBroadcast) {
  TestSocket s(small.net);
  ASSERT_TRUE(s.set(SOL_SOCKET, SO_BROADCAST, 1));
  ASSERT_TRUE(s.send_to("10.77.0.255", 53, pattern(5)));
  ASSERT_EQ(small.va.frames.size(), 1U);
  EXPECT_EQ(parse(small.va.frames[0]).eth.dest.str(), "ff:ff:ff:ff:ff:ff");
  EXPECT_EQ(snmp(Snmp::IpExtOutBcastPkts), 1U);
}

TEST_F(UdpSendmsg, ALargeDatagramIsFragmentedWithTheKernelsGeometry) {
  TestSocket s(small.net);
  const auto payload = pattern(4000);
  ASSERT_TRUE(s.send_to("10.77.0.2", 53, payload));
  ASSERT_EQ(small.va.frames.size(), 3U);
  std::vector<std::uint8_t> datagram;
  for (std::size_t i = 0; i < 3; ++i) {
    const auto& frame = small.va.frames[i];
    const auto ip = *Ipv4Header::parse(std::span(frame).subspan(14));
    EXPECT_EQ(ip_fast_csum(std::span(frame).subspan(14, 20)), 0);
    EXPECT_EQ(ip.frag_off & kIpDf, 0);
    EXPECT_EQ((ip.frag_off & kIpMf) != 0, i < 2);
    EXPECT_EQ((ip.frag_off & kIpOffset) * 8U, datagram.size());
    EXPECT_EQ(ip.tot_len, i < 2 ? 1500 : 20 + 4008 - 2960);
    datagram.insert(datagram.end(), frame.begin() + 34, frame.end());
  }
  EXPECT_TRUE(std::equal(payload.begin(), payload.end(), datagram.begin() + 8));
  EXPECT_EQ(csum_fold(csum_tcpudp_nofold(0x0a4d0001, 0x0a4d0002, 4008, kIpProtoUdp,
                                         csum_partial(datagram, 0))),
            0);
  EXPECT_EQ(snmp(Snmp::IpFragOKs), 1U);
  EXPECT_EQ(snmp(Snmp::IpFragCreates), 3U);
}

TEST_F(UdpSendmsg, OddMtusAndSizesKeepTheChecksum) {
  for (const std::uint32_t mtu : {68U, 576U, 1499U, 1497U}) {
    small.set_mtu(mtu);
    for (const std::size_t size :
         {std::size_t{mtu} - 28, std::size_t{mtu} - 27, std::size_t{2001}}) {
      small.va.frames.clear();
      TestSocket s(small.net);
      ASSERT_TRUE(s.send_to("10.77.0.2", 53, pattern(size))) << mtu << " " << size;
      std::vector<std::uint8_t> datagram;
      for (const auto& frame : small.va.frames) {
        EXPECT_LE(frame.size(), mtu + 14);
        datagram.insert(datagram.end(), frame.begin() + 34, frame.end());
      }
      ASSERT_EQ(datagram.size(), size + 8);
      EXPECT_EQ(csum_fold(csum_tcpudp_nofold(0x0a4d0001, 0x0a4d0002,
                                             static_cast<std::uint32_t>(datagram.size()),
                                             kIpProtoUdp, csum_partial(datagram, 0))),
                0)
          << mtu << " " << size;
    }
  }
}

TEST_F(UdpSendmsg, DfForbidsFragments) {
  TestSocket s(small.net);
  ASSERT_TRUE(s.set(IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DO));
  EXPECT_EQ(s.send_to("10.77.0.2", 53, pattern(1473)).error().name(), "EMSGSIZE");
  EXPECT_TRUE(s.send_to("10.77.0.2", 53, pattern(1472)));
  EXPECT_EQ(small.va.frames.size(), 1U);
}

TEST_F(UdpSendmsg, CorkedPartsMakeOneDatagram) {
  TestSocket s(small.net);
  ASSERT_TRUE(s.connect("10.77.0.2", 53));
  const auto payload = pattern(60);
  ASSERT_TRUE(s.send(std::span(payload).first(11), MSG_MORE));
  ASSERT_TRUE(s.send(std::span(payload).subspan(11, 20), MSG_MORE));
  EXPECT_TRUE(small.va.frames.empty());
  ASSERT_TRUE(s.send(std::span(payload).subspan(31)));
  ASSERT_EQ(small.va.frames.size(), 1U);
  EXPECT_EQ(parse(small.va.frames[0]).payload, payload);
  EXPECT_EQ(snmp(Snmp::UdpOutDatagrams), 1U);
}

TEST_F(UdpSendmsg, CorkedPartsBeyondTheMtuAreFragments) {
  small.set_mtu(1499);  // not a multiple of 8: the overshoot moves to the next part
  TestSocket s(small.net);
  ASSERT_TRUE(s.set(SOL_UDP, UDP_CORK, 1));
  const auto payload = pattern(3333);
  for (std::size_t at = 0; at < payload.size(); at += 303)
    ASSERT_TRUE(s.send_to("10.77.0.2", 53, std::span(payload).subspan(at, 303)));
  ASSERT_TRUE(s.set(SOL_UDP, UDP_CORK, 0));
  ASSERT_EQ(small.va.frames.size(), 3U);
  std::vector<std::uint8_t> datagram;
  for (const auto& frame : small.va.frames)
    datagram.insert(datagram.end(), frame.begin() + 34, frame.end());
  ASSERT_EQ(datagram.size(), 3341U);
  EXPECT_TRUE(std::equal(payload.begin(), payload.end(), datagram.begin() + 8));
  EXPECT_EQ(csum_fold(csum_tcpudp_nofold(0x0a4d0001, 0x0a4d0002, 3341, kIpProtoUdp,
                                         csum_partial(datagram, 0))),
            0);
}

TEST_F(UdpSendmsg, ACorkedSocketThatClosesLosesItsPartsSilently) {
  TestSocket s(small.net);
  ASSERT_TRUE(s.send_to("10.77.0.2", 53, pattern(10), MSG_MORE));
}

TEST_F(UdpSendmsg, SegmentsAreDatagramsOfTheirOwn) {
  TestSocket s(small.net);
  ASSERT_TRUE(s.bind("10.77.0.1", 4000));
  ASSERT_TRUE(s.set(SOL_UDP, UDP_SEGMENT, 500));
  const auto payload = pattern(1201);
  ASSERT_EQ(s.send_to("10.77.0.2", 53, payload).value(), 1201U);
  ASSERT_EQ(small.va.frames.size(), 3U);
  std::vector<std::uint8_t> all;
  for (std::size_t i = 0; i < 3; ++i) {
    const Parsed p = parse(small.va.frames[i]);
    EXPECT_EQ(p.payload.size(), i < 2 ? 500U : 201U);
    all.insert(all.end(), p.payload.begin(), p.payload.end());
  }
  EXPECT_EQ(all, payload);
  EXPECT_EQ(small.net.totals().sent, 3U);
}

TEST_F(UdpSendmsg, SegmentationRefusals) {
  TestSocket s(small.net);
  ASSERT_TRUE(s.set(SOL_UDP, UDP_SEGMENT, 1473));
  EXPECT_EQ(s.send_to("10.77.0.2", 53, pattern(3000)).error().name(), "EMSGSIZE");
  ASSERT_TRUE(s.set(SOL_UDP, UDP_SEGMENT, 10));
  EXPECT_EQ(s.send_to("10.77.0.2", 53, pattern(1281)).error().name(), "EINVAL");
  ASSERT_TRUE(s.set(SOL_SOCKET, SO_NO_CHECK, 1));
  EXPECT_EQ(s.send_to("10.77.0.2", 53, pattern(20)).error().name(), "EINVAL");
}

TEST_F(UdpSendmsg, NoCheckSendsZero) {
  TestSocket s(small.net);
  ASSERT_TRUE(s.set(SOL_SOCKET, SO_NO_CHECK, 1));
  ASSERT_TRUE(s.send_to("10.77.0.2", 53, pattern(20)));
  EXPECT_EQ(parse(small.va.frames.at(0)).udp.check, 0);
}

TEST_F(UdpSendmsg, AFullSendBufferIsEagainWithoutWaiting) {
  small.net.neigh->owner = NeighOwner::kernel;  // 10.77.0.9 is never resolved: packets stay charged
  TestSocket s(small.net);
  s->nonblocking = true;
  ASSERT_TRUE(s.set(SOL_SOCKET, SO_SNDBUF, 1));
  SockResult<std::size_t> last;
  int sent = 0;
  while ((last = s.send_to("10.77.0.9", 53, pattern(500)))) ASSERT_LT(++sent, 100);
  EXPECT_EQ(last.error().name(), "EAGAIN");
  EXPECT_GT(sent, 1);
  EXPECT_EQ(snmp(Snmp::UdpSndbufErrors), 1U);
  EXPECT_EQ(snmp(Snmp::IpOutDiscards), 1U);
  const std::lock_guard guard(small.net.rtnl);
  small.net.neigh->flush_dev(2);
}

TEST_F(UdpSendmsg, ControlMessagesDecideForOneDatagram) {
  TestSocket s(small.net);
  alignas(cmsghdr) std::uint8_t control[CMSG_SPACE(sizeof(int)) * 2] = {};
  msghdr m{};
  m.msg_control = control;
  m.msg_controllen = sizeof control;
  cmsghdr* c = CMSG_FIRSTHDR(&m);
  *c = {CMSG_LEN(sizeof(int)), IPPROTO_IP, IP_TTL};
  const int ttl = 3;
  std::memcpy(CMSG_DATA(c), &ttl, sizeof ttl);
  c = CMSG_NXTHDR(&m, c);
  *c = {CMSG_LEN(sizeof(int)), IPPROTO_IP, IP_TOS};
  const int tos = 0x10;
  std::memcpy(CMSG_DATA(c), &tos, sizeof tos);
  MsgHdr msg;
  auto payload = pattern(4);
  const iovec v{payload.data(), payload.size()};
  msg.name = SockAddr4{*Ip4::parse("10.77.0.2"), 53, AF_INET};
  msg.iov = {&v, 1};
  msg.control = control;
  ASSERT_TRUE(sock_sendmsg(small.net, *s, msg));
  const Parsed p = parse(small.va.frames.at(0));
  EXPECT_EQ(p.ip.ttl, 3);
  EXPECT_EQ(p.ip.tos, 0x10);
  // Cut short anywhere, a control list is EINVAL or simply ends; it is never read past its end.
  for (std::size_t n = 0; n <= sizeof control; ++n) {
    const std::vector<std::uint8_t> cut(control, control + n);
    msg.control = cut;
    const auto r = sock_sendmsg(small.net, *s, msg);
    EXPECT_TRUE(r || r.error().name() == "EINVAL");
  }
}

}  // namespace
}  // namespace txp::test
