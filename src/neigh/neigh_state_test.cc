// SPDX-License-Identifier: Apache-2.0
// Enumerates the state machine drawn in neighbour.h: every state meets every event.
#include <gtest/gtest.h>

#include "tests/support/two_nets.h"
#include "wire/arp.h"

namespace txp::test {
namespace {

const char* const kPeer = "10.0.0.9";

enum class Event : std::uint8_t {
  packet,
  timer,
  timer_confirmed,  // the entry was confirmed in the meantime
  timer_used,       // a packet used it in the meantime
  reply,            // an ARP reply to us
  reply_broadcast,
  request,        // the peer asks for us
  other_reply,    // with another address, after locktime
  other_request,  // likewise
  locked_reply,   // with another address, within locktime
};
const char* const kEventNames[] = {
    "packet",          "timer",   "timer_confirmed", "timer_used",    "reply",
    "reply_broadcast", "request", "other_reply",     "other_request", "locked_reply"};

// What an event leads to: state, ARP requests sent, UDP datagrams sent, packets that wait. Sending
// what waited on an entry that became STALE makes it DELAY.
struct Row {
  Nud from;
  Event event;
  Nud to;
  unsigned arps;
  unsigned datagrams;
  unsigned waiting;
  bool other_address = false;
};

// INCOMPLETE begins with one packet that waits. The answer to a request for us is no ARP request.
const Row kTable[] = {
    {Nud::none, Event::packet, Nud::incomplete, 1, 0, 1},
    {Nud::none, Event::request, Nud::stale, 0, 0, 0, true},
    {Nud::none, Event::other_request, Nud::stale, 0, 0, 0, true},
    {Nud::failed, Event::packet, Nud::incomplete, 1, 0, 1},
    {Nud::failed, Event::reply, Nud::reachable, 0, 0, 0, true},
    {Nud::failed, Event::reply_broadcast, Nud::stale, 0, 0, 0, true},
    {Nud::failed, Event::request, Nud::stale, 0, 0, 0, true},
    {Nud::incomplete, Event::packet, Nud::incomplete, 0, 0, 2},
    {Nud::incomplete, Event::timer, Nud::incomplete, 1, 0, 1},
    {Nud::incomplete, Event::reply, Nud::reachable, 0, 1, 0, true},
    {Nud::incomplete, Event::reply_broadcast, Nud::delay, 0, 1, 0, true},
    {Nud::incomplete, Event::request, Nud::delay, 0, 1, 0, true},
    {Nud::stale, Event::packet, Nud::delay, 0, 1, 0},
    {Nud::stale, Event::reply, Nud::reachable, 0, 0, 0},
    {Nud::stale, Event::reply_broadcast, Nud::stale, 0, 0, 0},
    {Nud::stale, Event::request, Nud::stale, 0, 0, 0},
    {Nud::stale, Event::other_reply, Nud::reachable, 0, 0, 0, true},
    {Nud::stale, Event::other_request, Nud::stale, 0, 0, 0, true},
    {Nud::stale, Event::locked_reply, Nud::stale, 0, 0, 0},
    {Nud::delay, Event::packet, Nud::delay, 0, 1, 0},
    {Nud::delay, Event::timer, Nud::probe, 1, 0, 0},
    {Nud::delay, Event::timer_confirmed, Nud::reachable, 0, 0, 0},
    {Nud::delay, Event::reply, Nud::reachable, 0, 0, 0},
    {Nud::delay, Event::reply_broadcast, Nud::delay, 0, 0, 0},
    {Nud::delay, Event::request, Nud::delay, 0, 0, 0},
    {Nud::delay, Event::locked_reply, Nud::delay, 0, 0, 0},
    {Nud::probe, Event::packet, Nud::probe, 0, 1, 0},
    {Nud::probe, Event::timer, Nud::probe, 1, 0, 0},
    {Nud::probe, Event::reply, Nud::reachable, 0, 0, 0},
    {Nud::probe, Event::reply_broadcast, Nud::probe, 0, 0, 0},
    {Nud::probe, Event::request, Nud::probe, 0, 0, 0},
    {Nud::reachable, Event::packet, Nud::reachable, 0, 1, 0},
    {Nud::reachable, Event::timer, Nud::stale, 0, 0, 0},
    {Nud::reachable, Event::timer_confirmed, Nud::reachable, 0, 0, 0},
    {Nud::reachable, Event::timer_used, Nud::delay, 0, 0, 0},
    {Nud::reachable, Event::reply, Nud::reachable, 0, 0, 0},
    {Nud::reachable, Event::reply_broadcast, Nud::reachable, 0, 0, 0},
    {Nud::reachable, Event::request, Nud::reachable, 0, 0, 0},
    {Nud::reachable, Event::other_reply, Nud::reachable, 0, 0, 0, true},
    {Nud::reachable, Event::other_request, Nud::stale, 0, 0, 0, true},
    {Nud::reachable, Event::locked_reply, Nud::reachable, 0, 0, 0},
    {Nud::permanent, Event::packet, Nud::permanent, 0, 1, 0},
    {Nud::permanent, Event::reply, Nud::permanent, 0, 0, 0},
    {Nud::permanent, Event::request, Nud::permanent, 0, 0, 0},
    {Nud::permanent, Event::other_reply, Nud::permanent, 0, 0, 0},
    {Nud::noarp, Event::packet, Nud::noarp, 0, 1, 0},
    {Nud::noarp, Event::other_reply, Nud::noarp, 0, 0, 0},
};

const MacAddr kKnown = mac(0x50);
const MacAddr kOther = mac(0x51);

class NeighState : public ::testing::TestWithParam<Row> {
 protected:
  void arp(std::uint16_t op, const MacAddr& sha, bool broadcast) {
    ArpPacket p;
    p.op = op;
    p.sha = sha;
    p.sip = ip(kPeer);
    p.tha = op == kArpReply ? mac(1) : MacAddr{};
    p.tip = ip("10.0.0.1");
    Bytes frame(kEthHlen + kArpLen);
    EthernetHeader{broadcast ? MacAddr::broadcast() : mac(1), sha, kEthPArp}.emit(frame.data());
    p.emit(frame.data() + kEthHlen);
    host.receive(frame);
  }
  void begin(Nud state) {
    if (state == Nud::incomplete) {
      ASSERT_EQ(host.send(sk, kPeer, 9), 0);
    } else if (state != Nud::none) {
      host.set_neigh(kPeer, state, kKnown);
    }
    ASSERT_EQ(host.state(kPeer), state);
    host.wire.sent.clear();
  }
  void to_timer() { host.net.clock.advance(host.net.timers.next() - host.net.clock.now()); }
  void happen(Event e) {
    constexpr Nanos kPastLocktime = kSecond + 1;
    Neighbour* n = host.neigh(kPeer);
    switch (e) {
      case Event::packet: host.send(sk, kPeer, 9); break;
      case Event::timer_confirmed:
        to_timer();
        n->confirmed = host.net.clock.now();
        host.net.poll();
        break;
      case Event::timer_used:
        to_timer();
        n->used = host.net.clock.now();
        fire(n);
        break;
      case Event::timer: fire(n); break;
      case Event::reply: arp(kArpReply, first(n), false); break;
      case Event::reply_broadcast: arp(kArpReply, first(n), true); break;
      case Event::request: arp(kArpRequest, first(n), true); break;
      case Event::other_reply:
        host.net.clock.advance(kPastLocktime);
        arp(kArpReply, kOther, false);
        break;
      case Event::other_request:
        host.net.clock.advance(kPastLocktime);
        arp(kArpRequest, kOther, true);
        break;
      case Event::locked_reply: arp(kArpReply, kOther, false); break;
    }
  }
  // A state without an address learns kOther, so that the row can tell that it was taken.
  static MacAddr first(const Neighbour* n) {
    return n != nullptr && nud_valid(n->nud_state.load()) ? kKnown : kOther;
  }
  // The kernel looks again HZ/100 after the moment itself, which still counts as in time.
  void fire(Neighbour* n) {
    const Nud state = n->nud_state.load();
    to_timer();
    host.net.poll();
    if (state != Nud::reachable || n->nud_state.load() != state) return;
    to_timer();
    host.net.poll();
  }

  Host host{"10.0.0.1", 1};
  Sock& sk = host.sock();
};

TEST_P(NeighState, IsAsTheTableSays) {
  const Row& row = GetParam();
  if (row.from == Nud::delay) {
    // By the way that leads there: a packet to a stale entry.
    begin(Nud::stale);
    host.send(sk, kPeer, 9);
    ASSERT_EQ(host.state(kPeer), Nud::delay);
    host.wire.sent.clear();
  } else {
    begin(row.from);
  }
  happen(row.event);
  EXPECT_EQ(name(host.state(kPeer)), name(row.to));
  unsigned arps = 0;
  unsigned datagrams = 0;
  for (const Bytes& f : host.wire.sent) {
    const auto eth = EthernetHeader::parse(f);
    if (eth->proto == kEthPIp) ++datagrams;
    if (eth->proto == kEthPArp && load_be16(&f[kEthHlen + 6]) == kArpRequest) ++arps;
  }
  EXPECT_EQ(arps, row.arps);
  EXPECT_EQ(datagrams, row.datagrams);
  EXPECT_EQ(host.net.neigh->queued(), row.waiting);
  if (nud_valid(row.to) && row.from != Nud::noarp) {
    EXPECT_EQ(host.neigh(kPeer)->mac(), row.other_address ? kOther : kKnown);
  }
  EXPECT_TRUE(host.net.totals().conserved());
}

INSTANTIATE_TEST_SUITE_P(Table, NeighState, ::testing::ValuesIn(kTable),
                         [](const ::testing::TestParamInfo<Row>& i) {
                           return std::string(name(i.param.from)) + "_" +
                                  kEventNames[static_cast<std::size_t>(i.param.event)];
                         });

}  // namespace
}  // namespace txp::test
