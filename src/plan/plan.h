// SPDX-License-Identifier: Apache-2.0
// Flow plans: the first packet of a flow walks, the rest fly.
//
// A plan is what a walk decided that did not depend on that one datagram: the frame's headers, the
// packet's metadata at the device, what was counted on the way, and the state of the tables it
// rests on (generations.h). While that state holds, fly() makes the flow's next datagram from it
// and hands it over where the walk would, at the end of dev_queue_xmit(). From there on everything
// walks: the discipline, taps, the driver.
//
// What cannot be planned walks, and is counted by its reason (reasons.h).
//
// Threads: a plan is used by the thread that recorded it, and by no other. A connected socket holds
// the plan of the first thread that sends on it; all others are in their thread's own table, which
// is bounded: of those that were not used since the last time one makes room.
#pragma once

#include <sys/socket.h>

#include <array>
#include <cstdint>
#include <memory>
#include <span>

#include "base/checksum.h"
#include "plan/generations.h"
#include "skb/skb.h"
#include "wire/ip4.h"

namespace txp {

struct Cpu;
struct SockAddr4;
struct Neighbour;
class NftCounter;
class Net;
class Sock;

struct Plan {
  // Whose it is.
  std::uint64_t socket = 0;  // Sock::plan_generation; 0: an empty place
  Ip4 daddr;                 // of the call; zero: to the connected peer
  std::uint16_t dport = 0;
  std::uint8_t parts = 1;      // into so many fragments are its datagrams cut
  Walk refused = Walk::first;  // another: the flow walks, and why
  bool used = false;           // since it was last passed over for a place

  // What it rests on.
  std::uint64_t epoch = 0;  // when it was last found to hold
  Generations::Seen seen{};
  Ip4 next_hop;
  bool every_neighbour = false;  // a choice of paths looked at more neighbours than the next hop's
  // The next hop's neighbour, while it is DELAY or PROBE and so wants to know when it is used. As
  // the device, it lives while `epoch` is the Net's.
  Neighbour* in_doubt = nullptr;

  // What it says.
  enum class Id : std::uint8_t { zero, socket, net } id = Id::zero;
  enum class Check : std::uint8_t { none, software, device } check = Check::none;
  std::uint8_t shape = 0;         // Cpu::shapes
  std::uint8_t sent_shape = 0;    // the same with what a frame counts that its driver takes at once
  std::uint8_t part_shape = 0;    // of each fragment but the first
  std::uint8_t tail_shape = 0;    // of what is counted after the last
  std::uint8_t header_len = 0;    // link, IP and UDP
  std::uint16_t max_payload = 0;  // bytes that stay one frame
  // How the frames come to their driver: as the walk's; at once, as the device has no queue; past
  // its discipline while that is empty.
  enum class Way : std::uint8_t { walk, straight, past_queue } way = Way::walk;
  static constexpr std::size_t kMostCounters = 3;
  std::uint8_t counter_count = 0;
  std::array<std::uint8_t, kMostCounters>
      counter_of{};                                   // bytes that each counts beside the payload
  std::array<NftCounter*, kMostCounters> counters{};  // of rules that accepted
  Csum ip_sum = 0;                                    // of the IP header without length and id
  Csum udp_sum = 0;  // of what UDP's checksum covers, without lengths and payload
  std::array<std::uint8_t, 48> header{};  // its last `header_len` bytes
  std::span<const std::uint8_t> headers() const { return std::span(header).last(header_len); }
  Skb skb;  // as it came to the device; its bytes and owner are another's
};
static_assert(sizeof(Plan) <= 512);

// How many fragments a datagram of `payload` bytes becomes, by ip_append_data()'s rule, where
// `max_payload` bytes stay whole; how much of it each takes but the last, UDP's header included.
constexpr std::size_t plan_part(std::size_t max_payload) {
  return (max_payload + 8) & ~std::size_t{7};
}
constexpr std::size_t plan_parts(std::size_t max_payload, std::size_t payload) {
  if (payload <= max_payload) return 1;
  const std::size_t part = plan_part(max_payload);
  return 1 + (payload - max_payload + part - 1) / part;
}
inline constexpr std::size_t kPlanMostParts = 64;

// The plan that a connected socket holds; only `owner` is another thread's business.
struct SockPlan {
  const Cpu* const owner;
  Plan plan;
};

// The plans of one thread in one Net, but for those that sockets hold.
class Plans {
 public:
  static constexpr std::size_t kWays = 4;
  static constexpr std::size_t kSets = 256;
  // The flow's plan, or null.
  Plan* find(std::uint64_t socket, Ip4 daddr, std::uint16_t dport, std::size_t parts = 1);
  // Whether a flow that has none should be recorded: while there is room, or when it was here
  // before, so that a crowd of flows that come once neither pays for plans nor ends those of
  // others.
  bool worth_recording(std::uint64_t socket, Ip4 daddr, std::uint16_t dport);
  // A place for a flow that has none.
  Plan& place(std::uint64_t socket, Ip4 daddr, std::uint16_t dport, std::size_t parts = 1);

 private:
  struct Set {
    std::array<Plan, kWays> ways;
    std::uint8_t hand = 0;
    std::uint8_t seen_hand = 0;
    std::array<std::uint16_t, kWays> seen{};  // marks of flows that were not recorded
  };
  static std::uint64_t hash(std::uint64_t socket, Ip4 daddr, std::uint16_t dport,
                            std::size_t parts);
  Set& set_of(std::uint64_t hash) { return sets_[static_cast<std::size_t>(hash >> 40) % kSets]; }
  std::array<Set, kSets> sets_;
};

// Flags of a call that change nothing but whether it waits.
inline constexpr int kPlainFlags = MSG_DONTWAIT | MSG_NOSIGNAL;
// The plan for `len` bytes to `to` (null: the connected peer): null when they must walk, and `why`.
// Inside an RcuReader, as what follows.
Plan* find_plan(Net& net, Cpu& cpu, Sock& sk, const SockAddr4* to, std::size_t len, Walk& why);
// The whole of a call: of `run`, blocks of a datagram each for `to`, what flies together. Answers
// how many were sent; when `code` is not 0 it is the errno of the next, otherwise that one must
// walk. Not inside an RcuReader.
std::size_t fly_run(Net& net, Sock& sk, const SockAddr4* to, std::span<const iovec> run, int& code);
// Sends datagrams of one flow, each of which may fly whole. Answers how many were sent; when `code`
// is not 0 it is the errno of the next, otherwise that one must walk.
std::size_t fly(Net& net, Cpu& cpu, Sock& sk, const Plan& plan, std::span<const iovec> run,
                int& code);
// The same for one datagram that lies in pieces, or is cut into fragments (fly_fragments.cc).
bool fly_pieces(Net& net, Cpu& cpu, Sock& sk, const Plan& plan, std::span<const iovec> pieces,
                std::size_t len, int& code);
bool fly_fragments(Net& net, Cpu& cpu, Sock& sk, const Plan& plan, std::span<const iovec> pieces,
                   std::size_t len, int& code);
// A frame whose payload of `len` bytes its owner fills in place, from skb->data on; null: no
// memory. Then its flight, with as many of them as are wanted: the call's errno.
SkbPtr reserve_frame(Net& net, std::size_t len);
int fly_frame(Net& net, Cpu& cpu, Sock& sk, const Plan& plan, SkbPtr skb, std::size_t len);
// Whether the plan's next hop has the address that its header says, for certain or in doubt as the
// plan has it.
bool neighbour_holds(Net& net, Plan& plan);

}  // namespace txp
