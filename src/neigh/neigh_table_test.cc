// SPDX-License-Identifier: Apache-2.0
// Resolution, its queue and its failure, with exact times; configuration; the kernel's table.
#include <gtest/gtest.h>

#include "observe/trace.h"
#include "tests/support/two_nets.h"
#include "wire/arp.h"
#include "wire/ipv4.h"

namespace txp::test {
namespace {

std::vector<ArpPacket> arps_of(const std::vector<Bytes>& frames) {
  std::vector<ArpPacket> arps;
  for (const Bytes& f : frames)
    if (EthernetHeader::parse(f)->proto == kEthPArp)
      arps.push_back(*ArpPacket::parse(std::span(f).subspan(kEthHlen)));
  return arps;
}

TEST(Neigh, TwoNetsResolveEachOtherAndTheDatagramArrives) {
  TwoNets n;
  Sock& rx = n.b.bound(53);
  Sock& tx = n.a.sock();
  EXPECT_EQ(n.a.send(tx, "10.0.0.2", 53), 0);
  EXPECT_EQ(n.a.net.totals().queued, 1U);
  n.settle();
  EXPECT_EQ(n.a.state("10.0.0.2"), Nud::reachable);
  EXPECT_EQ(n.b.state("10.0.0.1"), Nud::stale);
  const auto d = udp_recvmsg(rx);
  ASSERT_TRUE(d);
  EXPECT_EQ(d->from.addr, ip("10.0.0.1"));
  EXPECT_EQ(d->payload, Bytes(4, 'x'));
  EXPECT_TRUE(n.a.net.totals().conserved());
  EXPECT_TRUE(n.b.net.totals().conserved());
}

TEST(Neigh, WaitingPacketsLeaveInOrder) {
  TwoNets n;
  Sock& rx = n.b.bound(53);
  Sock& tx = n.a.sock();
  for (std::size_t len = 1; len <= 20; ++len) n.a.send(tx, "10.0.0.2", 53, len);
  EXPECT_EQ(n.a.net.neigh->queued(), 20U);
  EXPECT_GT(tx.wmem_alloc.load(), 1U);
  n.settle();
  EXPECT_EQ(tx.wmem_alloc.load(), 1U);
  for (std::size_t len = 1; len <= 20; ++len) {
    const auto d = udp_recvmsg(rx);
    ASSERT_TRUE(d);
    EXPECT_EQ(d->payload.size(), len);
  }
}

TEST(Neigh, RequestIsTheKernelsFrame) {
  Host h("10.0.0.1", 1);
  h.send(h.sock(), "10.0.0.9", 9);
  ASSERT_EQ(h.wire.sent.size(), 1U);
  const Bytes& f = h.wire.sent[0];
  EXPECT_EQ(f.size(), 42U);
  const auto eth = EthernetHeader::parse(f);
  EXPECT_EQ(eth->dest, MacAddr::broadcast());
  EXPECT_EQ(eth->source, mac(1));
  const auto arp = ArpPacket::parse(std::span(f).subspan(kEthHlen));
  ASSERT_TRUE(arp);
  EXPECT_EQ(arp->op, kArpRequest);
  EXPECT_EQ(arp->sha, mac(1));
  EXPECT_EQ(arp->sip, ip("10.0.0.1"));
  EXPECT_EQ(arp->tha, MacAddr{});
  EXPECT_EQ(arp->tip, ip("10.0.0.9"));
}

TEST(Neigh, FailsAfterMcastSolicitProbesAndTellsTheSocket) {
  Host h("10.0.0.1", 1);
  Sock& sk = h.sock();
  ASSERT_TRUE(inet_dgram_connect(sk, {ip("10.0.0.9"), 9}));
  sk.recverr = true;  // a host unreachable is no hard error
  h.send_connected(sk);
  const Nanos begin = h.net.clock.now();
  std::vector<Nanos> at = {0};
  while (h.state("10.0.0.9") == Nud::incomplete) {
    const std::size_t before = h.wire.sent.size();
    h.net.clock.advance(h.net.timers.next() - h.net.clock.now());
    h.net.poll();
    if (h.wire.sent.size() > before) at.push_back(h.net.clock.now() - begin);
  }
  EXPECT_EQ(at, (std::vector<Nanos>{0, kSecond, 2 * kSecond}));
  EXPECT_EQ(h.net.clock.now() - begin, 3 * kSecond);
  EXPECT_EQ(h.state("10.0.0.9"), Nud::failed);
  EXPECT_EQ(h.drops(Stage::neigh_resolve_output, DropReason::NEIGH_FAILED), 1U);
  EXPECT_EQ(h.net.neigh->stats().res_failed, 1U);
  h.net.poll();
  EXPECT_EQ(sk.sk_err.load(), EHOSTUNREACH);
  EXPECT_EQ(h.snmp(Snmp::IcmpOutDestUnreachs), 1U);
  EXPECT_EQ(h.snmp(Snmp::IcmpInDestUnreachs), 1U);
  EXPECT_EQ(sk.wmem_alloc.load(), 1U);
  EXPECT_TRUE(h.net.totals().conserved());
}

TEST(Neigh, HostUnreachableIsNoErrorWithoutRecverr) {
  Host h("10.0.0.1", 1);
  Sock& sk = h.sock();
  ASSERT_TRUE(inet_dgram_connect(sk, {ip("10.0.0.9"), 9}));
  h.send_connected(sk);
  for (int i = 0; i < 4; ++i) h.advance(kSecond);
  EXPECT_EQ(h.snmp(Snmp::IcmpInDestUnreachs), 1U);
  EXPECT_EQ(sk.sk_err.load(), 0);
}

TEST(Neigh, QueueOverflowDropsTheOldest) {
  TwoNets n;
  NeighParms p;
  p.unres_qlen_bytes = 3 * skb_truesize(n.a.net, 64);
  n.a.parms(p);
  Sock& rx = n.b.bound(53);
  Sock& tx = n.a.sock();
  for (std::size_t len = 1; len <= 5; ++len) n.a.send(tx, "10.0.0.2", 53, len);
  const std::uint64_t lost = n.a.drops(Stage::neigh_resolve_output, DropReason::NEIGH_QUEUEFULL);
  EXPECT_GT(lost, 0U);
  EXPECT_EQ(n.a.net.neigh->queued(), 5 - lost);
  EXPECT_EQ(n.a.net.neigh->stats().unresolved_discards, lost);
  EXPECT_TRUE(n.a.net.totals().conserved());
  n.settle();
  const auto d = udp_recvmsg(rx);
  ASSERT_TRUE(d);
  EXPECT_EQ(d->payload.size(), lost + 1);
  EXPECT_TRUE(n.a.net.totals().conserved());
}

TEST(Neigh, AQueueTooSmallForAnyPacketStillHoldsOne) {
  Host h("10.0.0.1", 1);
  NeighParms p;
  p.unres_qlen_bytes = 0;
  h.parms(p);
  Sock& sk = h.sock();
  h.send(sk, "10.0.0.9", 9);
  h.send(sk, "10.0.0.9", 9);
  EXPECT_EQ(h.net.neigh->queued(), 1U);
  EXPECT_EQ(h.drops(Stage::neigh_resolve_output, DropReason::NEIGH_QUEUEFULL), 1U);
}

TEST(Neigh, WithoutSolicitationsThePacketFailsAtOnce) {
  Host h("10.0.0.1", 1);
  NeighParms p;
  p.mcast_solicit = 0;
  h.parms(p);
  EXPECT_EQ(h.send(h.sock(), "10.0.0.9", 9), 0);
  EXPECT_EQ(h.state("10.0.0.9"), Nud::failed);
  EXPECT_EQ(h.drops(Stage::neigh_resolve_output, DropReason::NEIGH_FAILED), 1U);
}

TEST(Neigh, WalksFromReachableToFailedWhenThePeerFallsSilent) {
  Host h("10.0.0.1", 1);
  Sock& sk = h.sock();
  h.set_neigh("10.0.0.9", Nud::reachable, mac(9));
  const Nanos reachable = h.net.timers.next() - h.net.clock.now();
  EXPECT_GE(reachable, 15 * kSecond);
  EXPECT_LT(reachable, 45 * kSecond);
  h.advance(reachable);
  EXPECT_EQ(h.state("10.0.0.9"), Nud::reachable);
  h.advance(10 * kMillisecond);
  EXPECT_EQ(h.state("10.0.0.9"), Nud::stale);
  h.advance(100 * kSecond);
  EXPECT_EQ(h.state("10.0.0.9"), Nud::stale);
  h.send(sk, "10.0.0.9", 9);
  EXPECT_EQ(h.state("10.0.0.9"), Nud::delay);
  h.advance(5 * kSecond - 1);
  EXPECT_EQ(h.state("10.0.0.9"), Nud::delay);
  h.wire.sent.clear();
  h.advance(1);
  EXPECT_EQ(h.state("10.0.0.9"), Nud::probe);
  h.advance(kSecond);
  h.advance(kSecond);
  EXPECT_EQ(h.state("10.0.0.9"), Nud::probe);
  EXPECT_EQ(arps_of(h.wire.sent).size(), 3U);
  for (const Bytes& f : h.wire.sent) EXPECT_EQ(EthernetHeader::parse(f)->dest, mac(9));
  h.advance(kSecond);
  EXPECT_EQ(h.state("10.0.0.9"), Nud::failed);
}

TEST(Neigh, AppAndMulticastProbesFollowUnicastOnes) {
  Host h("10.0.0.1", 1);
  NeighParms p;
  p.ucast_solicit = 2;
  p.app_solicit = 1;
  p.mcast_resolicit = 2;
  h.parms(p);
  h.set_neigh("10.0.0.9", Nud::stale, mac(9));
  h.send(h.sock(), "10.0.0.9", 9);
  h.wire.sent.clear();
  h.advance(5 * kSecond);
  for (int i = 0; i < 4; ++i) h.advance(kSecond);
  std::vector<MacAddr> dests;
  for (const Bytes& f : h.wire.sent) dests.push_back(EthernetHeader::parse(f)->dest);
  EXPECT_EQ(dests,
            (std::vector<MacAddr>{mac(9), mac(9), MacAddr::broadcast(), MacAddr::broadcast()}));
  EXPECT_EQ(h.state("10.0.0.9"), Nud::probe);
  h.advance(kSecond);
  EXPECT_EQ(h.state("10.0.0.9"), Nud::failed);
}

TEST(Neigh, LoopbackMulticastAndBroadcastNeedNoArp) {
  Host h("10.0.0.1", 1);
  Sock& sk = h.sock();
  sk.broadcast = true;
  h.send(sk, "10.0.0.255", 9);
  h.send(sk, "255.255.255.255", 9);
  ASSERT_GE(h.wire.sent.size(), 1U);
  EXPECT_EQ(EthernetHeader::parse(h.wire.sent[0])->dest, MacAddr::broadcast());
  EXPECT_EQ(h.state("10.0.0.255"), Nud::noarp);
  sk.mc_index = 2;
  h.wire.sent.clear();
  h.send(sk, "239.1.2.3", 9);
  ASSERT_EQ(h.wire.sent.size(), 1U);
  EXPECT_EQ(EthernetHeader::parse(h.wire.sent[0])->dest, (MacAddr{{0x01, 0x00, 0x5e, 1, 2, 3}}));
  h.send(sk, "127.0.0.1", 9);
  EXPECT_EQ(h.net.neigh->lookup(h.lo(), ip("127.0.0.1"))->nud_state.load(), Nud::noarp);
  EXPECT_TRUE(h.net.totals().conserved());
}

TEST(Neigh, TableFullIsCreatefail) {
  Host h("10.0.0.1", 1);
  h.net.neigh->set_gc(1, 1, 2);
  Sock& sk = h.sock();
  EXPECT_EQ(h.send(sk, "10.0.0.11", 9), 0);
  EXPECT_EQ(h.send(sk, "10.0.0.12", 9), 0);
  Trace trace(h.net.clock);
  EXPECT_EQ(h.send(sk, "10.0.0.13", 9, 4, &trace), 0) << "ENOBUFS is no error without IP_RECVERR";
  EXPECT_EQ(h.drops(Stage::ip_finish_output2, DropReason::NEIGH_CREATEFAIL), 1U);
  EXPECT_EQ(h.net.neigh->stats().table_fulls, 1U);
  // Failed entries make room.
  for (int i = 0; i < 5; ++i) h.advance(kSecond);
  EXPECT_EQ(h.send(sk, "10.0.0.13", 9), 0);
  EXPECT_EQ(h.state("10.0.0.13"), Nud::incomplete);
  h.net.poll();
  EXPECT_TRUE(h.net.totals().conserved());
}

TEST(Neigh, PeriodicCollectionTakesOldStaleEntries) {
  Host h("10.0.0.1", 1);
  h.net.neigh->set_gc(2, 512, 1024);
  for (int i = 0; i < 5; ++i)
    h.set_neigh("10.0.0.1" + std::to_string(i), i == 0 ? Nud::permanent : Nud::stale, mac(9));
  EXPECT_EQ(h.net.neigh->all().size(), 5U);
  for (int i = 0; i < 3; ++i) h.advance(15 * kSecond);
  EXPECT_EQ(h.net.neigh->all().size(), 5U) << "not yet gc_stale_time";
  for (int i = 0; i < 2; ++i) h.advance(15 * kSecond);
  EXPECT_EQ(h.net.neigh->all().size(), 1U);
  EXPECT_EQ(h.state("10.0.0.10"), Nud::permanent);
}

TEST(Neigh, TableGrowsAndStillFindsEveryone) {
  Host h("10.0.0.1", 1);
  for (int i = 2; i < 250; ++i)
    h.set_neigh("10.0.0." + std::to_string(i), Nud::stale, mac(static_cast<std::uint8_t>(i)));
  for (int i = 2; i < 250; ++i) {
    Neighbour* n = h.neigh("10.0.0." + std::to_string(i));
    ASSERT_NE(n, nullptr);
    EXPECT_EQ(n->mac(), mac(static_cast<std::uint8_t>(i)));
  }
  EXPECT_GT(h.net.neigh->stats().hash_grows, 3U);
}

TEST(Neigh, DeviceThatGoesTakesItsWaitingPackets) {
  Host h("10.0.0.1", 1);
  h.send(h.sock(), "10.0.0.9", 9);
  {
    const std::lock_guard guard(h.net.rtnl);
    h.net.neigh->flush_dev(2);
  }
  EXPECT_EQ(h.neigh("10.0.0.9"), nullptr);
  EXPECT_EQ(h.drops(Stage::neigh_resolve_output, DropReason::QUEUE_PURGE), 1U);
  EXPECT_TRUE(h.net.totals().conserved());
  EXPECT_EQ(h.net.timers.next(), -1);
}

TEST(Neigh, ADeadEntryDropsWhatStillFindsIt) {
  Host h("10.0.0.1", 1);
  const RcuReader reader;
  h.send(h.sock(), "10.0.0.9", 9);
  Neighbour* n = h.neigh("10.0.0.9");
  {
    const std::lock_guard guard(h.net.rtnl);
    h.net.neigh->flush_dev(2);
  }
  SkbPtr skb = alloc_skb(h.net, 128);
  skb->reserve(64);
  skb->put(28);
  skb->set_network_header();
  skb->protocol = kEthPIp;
  skb->dev = &h.dev();
  born(h.net);
  EXPECT_TRUE(neigh_output(h.net, std::move(skb), *n).ok());
  EXPECT_EQ(h.drops(Stage::neigh_resolve_output, DropReason::NEIGH_DEAD), 1U);
}

TEST(Neigh, DeletionFailsWhatWaits) {
  Host h("10.0.0.1", 1);
  h.send(h.sock(), "10.0.0.9", 9);
  {
    const std::lock_guard guard(h.net.rtnl);
    h.net.neigh->remove(2, ip("10.0.0.9"));
  }
  EXPECT_EQ(h.drops(Stage::neigh_resolve_output, DropReason::NEIGH_FAILED), 1U);
  EXPECT_EQ(h.neigh("10.0.0.9"), nullptr);
}

TEST(Neigh, TraceNamesTheNeighbourAndTheWait) {
  const Clock clock = Clock::manual();
  Trace trace(clock);  // outlives the packet that waits
  Host h("10.0.0.1", 1);
  h.send(h.sock(), "10.0.0.9", 9, 4, &trace);
  EXPECT_EQ(trace.queued_at(), Stage::neigh_resolve_output);
  bool named = false;
  for (const TraceStage& s : trace.stages())
    for (const Deciding& d : s.by)
      if (const auto* spec = std::get_if<NeighSpec>(&d); spec && s.stage == Stage::neigh_output)
        named = spec->dst == ip("10.0.0.9");
  EXPECT_TRUE(named);
}

// A send with MSG_CONFIRM while the entry is in doubt spares the probe.
TEST(Neigh, AConfirmedNeighbourIsNotProbed) {
  for (const bool confirmed : {false, true}) {
    Host h("10.0.0.1", 1);
    Sock& sk = h.sock();
    h.set_neigh("10.0.0.9", Nud::stale, mac(9));
    h.send(sk, "10.0.0.9", 9);
    ASSERT_EQ(h.state("10.0.0.9"), Nud::delay);
    h.net.clock.advance(kSecond);
    MsgHdr m;
    m.name = SockAddr4{ip("10.0.0.9"), 9};
    m.flags = kMsgProbe | (confirmed ? MSG_CONFIRM : 0);
    ASSERT_TRUE(sock_sendmsg(h.net, sk, m));
    h.net.clock.advance(5 * kSecond);
    h.net.poll();
    EXPECT_EQ(h.state("10.0.0.9"), confirmed ? Nud::reachable : Nud::probe);
  }
}

class KernelOwned : public ::testing::Test {
 protected:
  KernelOwned() {
    host.net.neigh->owner = NeighOwner::kernel;
    host.net.neigh->ask_kernel = [this](int ifindex, Ip4 addr) {
      EXPECT_EQ(ifindex, 2);
      asked.push_back(addr);
    };
  }
  Host host{"10.0.0.1", 1};
  Sock& sk = host.sock();
  std::vector<Ip4> asked;
};

TEST_F(KernelOwned, UnresolvedPacketsWaitForTheKernelsAnswer) {
  host.send(sk, "10.0.0.9", 9);
  host.send(sk, "10.0.0.9", 9);
  EXPECT_EQ(asked, std::vector<Ip4>{ip("10.0.0.9")});
  EXPECT_TRUE(host.wire.sent.empty());
  EXPECT_EQ(host.net.timers.next(), -1);
  host.net.clock.advance(kSecond);
  host.send(sk, "10.0.0.9", 9);
  EXPECT_EQ(asked.size(), 2U) << "asked again after retrans_time";
  host.set_neigh("10.0.0.9", Nud::reachable, mac(9));
  EXPECT_EQ(host.wire.sent.size(), 3U);
  EXPECT_EQ(host.net.timers.next(), -1) << "no engine timer ages the kernel's entries";
  EXPECT_TRUE(host.net.totals().conserved());
}

TEST_F(KernelOwned, FailureFromTheKernelDropsWhatWaits) {
  host.send(sk, "10.0.0.9", 9);
  host.set_neigh("10.0.0.9", Nud::failed, MacAddr{});
  EXPECT_EQ(host.drops(Stage::neigh_resolve_output, DropReason::NEIGH_FAILED), 1U);
}

TEST_F(KernelOwned, UseOfAStaleEntryIsToldToTheKernel) {
  host.set_neigh("10.0.0.9", Nud::stale, mac(9));
  host.send(sk, "10.0.0.9", 9);
  host.send(sk, "10.0.0.9", 9);
  EXPECT_EQ(asked.size(), 1U);
  EXPECT_EQ(host.state("10.0.0.9"), Nud::delay);
  EXPECT_EQ(host.wire.sent.size(), 2U);
}

TEST_F(KernelOwned, ForgottenWhileWaitedForIsAskedAgain) {
  host.send(sk, "10.0.0.9", 9);
  host.net.clock.advance(2 * kSecond);
  {
    const std::lock_guard guard(host.net.rtnl);
    host.net.neigh->remove(2, ip("10.0.0.9"));
  }
  EXPECT_EQ(asked.size(), 2U);
  EXPECT_EQ(host.net.neigh->queued(), 1U);
}

TEST_F(KernelOwned, NoArpIsAnswered) {
  ArpPacket p;
  p.op = kArpRequest;
  p.sha = mac(9);
  p.sip = ip("10.0.0.9");
  p.tip = ip("10.0.0.1");
  Bytes frame(kEthHlen + kArpLen);
  EthernetHeader{MacAddr::broadcast(), mac(9), kEthPArp}.emit(frame.data());
  p.emit(frame.data() + kEthHlen);
  host.receive(frame);
  EXPECT_TRUE(host.wire.sent.empty());
  EXPECT_EQ(host.neigh("10.0.0.9"), nullptr);
}

TEST_F(KernelOwned, IsToldOfConfirmations) {
  std::vector<Ip4> confirmed;
  host.net.neigh->confirm_kernel = [&](int, Ip4 addr) { confirmed.push_back(addr); };
  host.set_neigh("10.0.0.9", Nud::reachable, mac(9));
  host.send(sk, "10.0.0.9", 9);
  EXPECT_TRUE(confirmed.empty());
  MsgHdr m;
  m.name = SockAddr4{ip("10.0.0.9"), 9};
  m.flags = MSG_CONFIRM;
  ASSERT_TRUE(sock_sendmsg(host.net, sk, m));
  EXPECT_EQ(confirmed, std::vector<Ip4>{ip("10.0.0.9")});
}

}  // namespace
}  // namespace txp::test
