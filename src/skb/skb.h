// SPDX-License-Identifier: Apache-2.0
// The packet. Kernel twin: include/linux/skbuff.h, struct sk_buff.
//
// An Skb and its bytes are one block from its Net's pool; a datagram beyond one MTU is a head skb
// with the rest on frag_list, as __ip_make_skb() chains it. SkbPtr owns; a packet ends only in
// consume() or drop() (observe/counters.h): destroying a non-empty SkbPtr is a bug of ours, which
// aborts a debug build and counts NOT_SPECIFIED in a release.
//
// Differs from sk_buff: no page fragments and no clones (a copy is a copy); the route is held by
// value instead of by a counted dst_entry.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <utility>

#include "base/clock.h"
#include "netfilter/nf_conn.h"
#include "route/rtable.h"
#include "skb/drop_reason.h"
#include "wire/ip6.h"
#include "wire/ip_options.h"

namespace txp {

class Net;
class Sock;
class Trace;
struct Skb;

enum class IpSummed : std::uint8_t {
  none,     // CHECKSUM_NONE: the checksum in the packet is final
  partial,  // CHECKSUM_PARTIAL: sum from csum_start still has to go to csum_offset
};

enum class GsoType : std::uint8_t { none, udp_l4 };

enum class PacketType : std::uint8_t { host, broadcast, multicast, otherhost, loopback, outgoing };

struct SkbDeleter {
  void operator()(Skb* skb) const;  // the bug path; see the head of this file
};
using SkbPtr = std::unique_ptr<Skb, SkbDeleter>;

void trace_hold(Trace& trace);  // observe/trace.cc
void trace_release(Trace& trace);

// A packet's trace: the trace knows how many packets still tell it. Null: not traced, which costs
// a predictable branch.
class TraceRef {
 public:
  TraceRef() = default;
  TraceRef(const TraceRef& o) : TraceRef() { *this = o.trace_; }
  TraceRef& operator=(const TraceRef& o) {  // NOLINT(bugprone-unhandled-self-assignment): below
    return *this = o.trace_;
  }
  TraceRef& operator=(Trace* trace) {
    if (trace != trace_) [[unlikely]] {
      if (trace != nullptr) trace_hold(*trace);
      if (trace_ != nullptr) trace_release(*trace_);
      trace_ = trace;
    }
    return *this;
  }
  ~TraceRef() { *this = nullptr; }
  operator Trace*() const { return trace_; }  // NOLINT(google-explicit-constructor): a pointer
  Trace* operator->() const { return trace_; }

 private:
  Trace* trace_ = nullptr;
};

struct Skb {
  Skb* next = nullptr;       // link while on a queue, a frag_list or a segment list
  Skb* frag_list = nullptr;  // skb_shinfo(skb)->frag_list: owned
  Net* net = nullptr;
  Sock* sk = nullptr;  // charged socket; skb_set_owner_w() sets, skb_orphan() clears
  NetDevice* dev = nullptr;
  TraceRef trace;
  NfConn* nfct = nullptr;  // its connection, one reference

  // Bytes: head <= data <= tail <= end. Offsets below count from head; 0 is unset.
  std::uint8_t* head = nullptr;
  std::uint8_t* data = nullptr;
  std::uint8_t* tail = nullptr;
  std::uint8_t* end = nullptr;
  std::uint32_t len = 0;       // bytes here and on frag_list
  std::uint32_t data_len = 0;  // bytes on frag_list
  std::uint32_t truesize = 0;  // bytes charged to sk, as the kernel would count them
  std::uint16_t mac_header = 0;
  std::uint16_t network_header = 0;
  std::uint16_t transport_header = 0;
  std::uint16_t inner_network_header = 0;  // the packet that a tunnel carries
  std::uint16_t protocol = 0;              // kEthPIp, kEthPIpv6, kEthPArp

  std::uint32_t mark = 0;
  std::uint32_t priority = 0;
  std::uint32_t hash = 0;
  std::uint16_t queue_mapping = 0;
  std::uint16_t csum_start = 0;   // from head
  std::uint16_t csum_offset = 0;  // from csum_start
  std::uint16_t gso_size = 0;     // payload bytes a segment; 0: not GSO
  std::uint16_t gso_segs = 0;
  GsoType gso_type = GsoType::none;
  IpSummed ip_summed = IpSummed::none;
  PacketType pkt_type = PacketType::host;
  std::uint8_t pool_class = 0;
  CtInfo ctinfo = CtInfo::established;
  bool ignore_df = false;
  bool csum_for_device = false;      // the kernel leaves its UDP checksum to the route's device
  bool redirected_loop = false;      // a multicast loop copy: accepted without a route on receive
  bool dst_pending_confirm = false;  // MSG_CONFIRM: the neighbour is known to be there
  std::uint8_t tx_flags = 0;         // kSkbTx*: stamps asked for
  std::uint8_t layer = 0;            // devices on devices that it has come through
  std::uint8_t encaps = 0;           // IP headers of tunnels before its own
  bool encapsulation = false;        // skb->encapsulation: inner_network_header stays as it is
  std::uint16_t vlan_proto = 0;      // kEthP8021q, kEthP8021ad: a tag beside the bytes; 0: none
  std::uint16_t vlan_tci = 0;
  IpOptionPlaces opt;  // IPCB(skb)->opt: of the options in the header
  std::uint16_t frag_max_size = 0;
  std::uint32_t csum = 0;     // payload's sum while the skb waits for its UDP header
  std::uint64_t began = 0;    // Clock::ticks() at the call, when latency is measured; else 0
  std::uint32_t pkt_len = 0;  // qdisc_skb_cb: bytes as disciplines count them
  std::uint32_t tskey = 0;    // of its send stamps
  Nanos tstamp = 0;           // SO_TXTIME or receive time, ns
  Nanos qdisc_time = 0;       // the discipline's own: when it came, or when it may leave
  Rtable rt;                  // skb_dst()
  Ip6 gateway6;               // of an IPv6 packet (rt6i_gateway); any: its destination is on link
  Flow4 fl4;                  // the flow that rt answers, for re-routing (ip_route_me_harder)

  std::span<std::uint8_t> bytes() { return {data, tail}; }
  std::span<const std::uint8_t> bytes() const { return {data, tail}; }
  std::uint32_t headlen() const { return len - data_len; }
  std::size_t headroom() const { return static_cast<std::size_t>(data - head); }
  std::size_t tailroom() const { return static_cast<std::size_t>(end - tail); }
  std::uint8_t* mac() const { return head + mac_header; }
  std::uint8_t* network() const { return head + network_header; }
  std::uint8_t* transport() const { return head + transport_header; }
  bool is_gso() const { return gso_size != 0; }

  void reserve(std::size_t n) {
    data += n;
    tail += n;
  }
  std::uint8_t* put(std::size_t n) {  // skb_put()
    std::uint8_t* p = tail;
    tail += n;
    len += static_cast<std::uint32_t>(n);
    return p;
  }
  std::uint8_t* push(std::size_t n) {  // skb_push()
    data -= n;
    len += static_cast<std::uint32_t>(n);
    return data;
  }
  std::uint8_t* pull(std::size_t n) {  // skb_pull()
    data += n;
    len -= static_cast<std::uint32_t>(n);
    return data;
  }
  void set_mac_header() { mac_header = static_cast<std::uint16_t>(data - head); }
  void set_network_header() { network_header = static_cast<std::uint16_t>(data - head); }
  void set_transport_header() { transport_header = static_cast<std::uint16_t>(data - head); }
};

// A FIFO of skbs through Skb::next (struct sk_buff_head without its lock). Owns what it holds; it
// must be empty when destroyed, as an SkbPtr must.
class SkbQueue {
 public:
  SkbQueue() = default;
  SkbQueue(SkbQueue&& o) noexcept;
  SkbQueue& operator=(SkbQueue&&) = delete;
  ~SkbQueue();

  bool empty() const { return head_ == nullptr; }
  std::size_t qlen() const { return qlen_; }
  Skb* peek() const { return head_; }
  Skb* peek_tail() const { return tail_; }
  void push_back(SkbPtr skb);   // __skb_queue_tail()
  void push_front(SkbPtr skb);  // __skb_queue_head()
  SkbPtr pop_front();           // __skb_dequeue(); null when empty
  Skb* release_chain();         // gives up the linked list, head first

 private:
  Skb* head_ = nullptr;
  Skb* tail_ = nullptr;
  std::size_t qlen_ = 0;
};

// What the kernel would charge for an skb with `linear_size` bytes of room: SKB_TRUESIZE(size)
// (include/linux/skbuff.h), with the sizes that its build has.
std::uint32_t skb_truesize(const Net& net, std::uint32_t linear_size);

// Blocks in three sizes. One pool a thread and Net, so no lock; a block freed by another thread
// joins that thread's pool, bounded, the surplus going back to the allocator.
class SkbPool {
 public:
  SkbPool() = default;
  ~SkbPool();
  SkbPool(const SkbPool&) = delete;
  SkbPool& operator=(const SkbPool&) = delete;

  // An skb with at least `size` bytes between head and end, all header fields clear. Null when the
  // allocator fails or size exceeds kMaxSize.
  Skb* get(std::size_t size);
  // The same with only pool_class set.
  Skb* take(std::size_t size) {
    const std::size_t c = class_for(size);
    if (c >= kClasses || free_[c].head == nullptr) [[unlikely]]
      return make(c);
    --free_[c].count;
    return std::exchange(free_[c].head, free_[c].head->next);
  }
  void put(Skb* skb) {
    skb->trace = nullptr;
    if (skb->nfct != nullptr) [[unlikely]]
      nf_conn_put(std::exchange(skb->nfct, nullptr));
    Free& f = free_[skb->pool_class];
    if (f.count >= kKeep[skb->pool_class]) [[unlikely]]
      return give_back(skb);
    skb->next = std::exchange(f.head, skb);
    ++f.count;
  }
  // A block's bytes begin so that behind a UDP datagram's headers, with the room that
  // ip_append_data() leaves before them, the payload begins a cache line.
  static constexpr std::size_t kAlign = 64;
  static constexpr std::size_t kBytesAt = (sizeof(Skb) + kAlign - 1) / kAlign * kAlign + 4;
  static std::uint8_t* bytes_of(Skb& skb) {
    return static_cast<std::uint8_t*>(static_cast<void*>(&skb)) + kBytesAt;
  }

  static constexpr std::size_t kMaxSize = 68 * 1024;
  // Allocator calls so far: constant after warm-up (a test holds this).
  std::uint64_t allocations() const { return allocations_; }

 private:
  static constexpr std::size_t kClasses = 3;
  // Skb and its bytes, one block. The sizes: one Ethernet MTU, a jumbo frame, the largest datagram.
  static constexpr std::size_t kClassSize[kClasses] = {2048, 10 * 1024, kMaxSize};
  static constexpr std::size_t kKeep[kClasses] = {1024, 64, 32};  // blocks kept for reuse
  static std::size_t class_for(std::size_t size) {
    std::size_t c = 0;
    while (c < kClasses && size > kClassSize[c]) ++c;
    return c;
  }
  Skb* make(std::size_t size_class);
  static void give_back(Skb* skb);

  struct Free {
    Skb* head = nullptr;
    std::size_t count = 0;
  };
  Free free_[kClasses];
  std::uint64_t allocations_ = 0;
};

// alloc_skb(): from the calling thread's pool of `net`. Null when memory is short. A packet begins
// its life on the path only with net.born() (observe/counters.h). `charged`: bytes that the kernel
// would allocate, which truesize counts.
SkbPtr alloc_skb(Net& net, std::size_t size, std::uint32_t charged);
inline SkbPtr alloc_skb(Net& net, std::size_t size) {
  return alloc_skb(net, size, static_cast<std::uint32_t>(size));
}
// skb_copy(): bytes, header fields, route; not the socket. frag_list is copied too. Null: memory.
SkbPtr skb_copy(Net& net, const Skb& skb, std::size_t extra_headroom = 0);
// What a fragment, segment or copy shares with its packet (ip_copy_metadata(),
// __copy_skb_header()): everything but bytes, offsets, checksum and segmentation state and owner.
void skb_copy_metadata(const Skb& from, Skb& to);
// Makes the packet one linear block (__skb_linearize()); false when memory is short.
bool skb_linearize(Net& net, SkbPtr& skb);
// Room for `headroom` bytes before data (skb_cow_head()); false when memory is short.
bool skb_cow_head(Net& net, SkbPtr& skb, std::size_t headroom);
// The tag beside the packet into its Ethernet header (__vlan_hwaccel_push_inside()); false when
// there is no Ethernet header or memory is short.
bool vlan_push_inside(Net& net, SkbPtr& skb);
// Charges `skb` to `sk` (skb_set_owner_w()); undoes it (skb_orphan()).
void skb_set_owner_w(Skb& skb, Sock& sk);
void skb_uncharge(Skb& skb);
inline void skb_orphan(Skb& skb) {
  if (skb.sk != nullptr) skb_uncharge(skb);
}
// Frees without counting: for the ends in observe/ and for copies that never joined the path.
void free_skb(SkbPtr skb);

}  // namespace txp
