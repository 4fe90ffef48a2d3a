// SPDX-License-Identifier: Apache-2.0
#include "skb/skb.h"

#include <cassert>
#include <cstdlib>
#include <cstring>
#include <new>
#include <utility>

#include "base/byteorder.h"
#include "dev/link_info.h"
#include "net.h"
#include "socket/sock.h"
#include "wire/ethernet.h"

namespace txp {
namespace {

// SKB_DATA_ALIGN(): to a cache line.
std::uint32_t data_align(std::uint32_t n) { return (n + 63) & ~63U; }

}  // namespace

std::uint32_t skb_truesize(const Net& net, std::uint32_t linear_size) {
  // __alloc_skb(): a small head, else kmalloc_size_roundup(SKB_DATA_ALIGN(size) +
  // SKB_DATA_ALIGN(skb_shared_info)), and the aligned sk_buff.
  constexpr std::uint32_t kSharedInfo = 320;
  const std::uint32_t sk_buff = net.sk_buff_size.load(std::memory_order_relaxed);
  const std::uint32_t small_head = net.skb_small_head.load(std::memory_order_relaxed);
  const std::uint32_t want = data_align(linear_size) + kSharedInfo;
  if (want <= small_head) return sk_buff + small_head;
  std::uint32_t slab = 1024;
  while (slab < want) slab *= 2;
  return sk_buff + slab;
}

void SkbDeleter::operator()(Skb* skb) const {
#ifndef NDEBUG
  assert(false && "an skb was destroyed outside consume() and drop()");
#endif
  Net& net = *skb->net;
  drop(net, Stage::sock_sendmsg, SkbPtr(skb), DropReason::NOT_SPECIFIED);
}

SkbPool::~SkbPool() {
  for (Free& f : free_) {
    while (f.head != nullptr) {
      Skb* skb = std::exchange(f.head, f.head->next);
      give_back(skb);
    }
  }
}

Skb* SkbPool::make(std::size_t size_class) {
  if (size_class >= kClasses) return nullptr;
  void* block =
      ::operator new(kBytesAt + kClassSize[size_class], std::align_val_t{kAlign}, std::nothrow);
  if (block == nullptr) return nullptr;
  ++allocations_;
  Skb* skb = ::new (block) Skb;
  skb->pool_class = static_cast<std::uint8_t>(size_class);
  return skb;
}

void SkbPool::give_back(Skb* skb) {
  skb->~Skb();
  ::operator delete(skb, std::align_val_t{kAlign});
}

Skb* SkbPool::get(std::size_t size) {
  Skb* skb = take(size);
  if (skb == nullptr) return nullptr;
  const std::uint8_t pool_class = skb->pool_class;
  ::new (skb) Skb;
  skb->pool_class = pool_class;
  skb->head = skb->data = skb->tail = bytes_of(*skb);
  // `end` is where the caller asked it to be, so that a write past it shows in tests.
  skb->end = skb->head + size;
  return skb;
}

SkbQueue::SkbQueue(SkbQueue&& o) noexcept
    : head_(std::exchange(o.head_, nullptr)),
      tail_(std::exchange(o.tail_, nullptr)),
      qlen_(std::exchange(o.qlen_, 0)) {}

SkbQueue::~SkbQueue() {
  while (!empty()) pop_front().reset();  // SkbDeleter says that this is a bug
}

void SkbQueue::push_back(SkbPtr skb) {
  Skb* p = skb.release();
  p->next = nullptr;
  if (tail_ != nullptr)
    tail_->next = p;
  else
    head_ = p;
  tail_ = p;
  ++qlen_;
}

void SkbQueue::push_front(SkbPtr skb) {
  Skb* p = skb.release();
  p->next = head_;
  head_ = p;
  if (tail_ == nullptr) tail_ = p;
  ++qlen_;
}

SkbPtr SkbQueue::pop_front() {
  Skb* p = head_;
  if (p == nullptr) return nullptr;
  head_ = p->next;
  if (head_ == nullptr) tail_ = nullptr;
  p->next = nullptr;
  --qlen_;
  return SkbPtr(p);
}

Skb* SkbQueue::release_chain() {
  tail_ = nullptr;
  qlen_ = 0;
  return std::exchange(head_, nullptr);
}

SkbPtr alloc_skb(Net& net, std::size_t size, std::uint32_t charged) {
  Cpu& cpu = net.this_cpu();
  Skb* skb = cpu.pool.get(size);
  if (skb == nullptr) return nullptr;
  skb->net = &net;
  skb->began = cpu.call_began;
  skb->truesize = skb_truesize(net, charged);
  return SkbPtr(skb);
}

void free_skb(SkbPtr owned) {
  Skb* skb = owned.release();
  SkbPool& pool = skb->net->this_cpu().pool;
  for (Skb* f = skb->frag_list; f != nullptr;) {  // its entries have no lists of their own
    Skb* next = f->next;
    skb_orphan(*f);
    pool.put(f);
    f = next;
  }
  skb_orphan(*skb);
  pool.put(skb);
}

void skb_copy_metadata(const Skb& from, Skb& to) {
  to.dev = from.dev;
  to.trace = from.trace;
  to.began = from.began;
  to.protocol = from.protocol;
  to.mark = from.mark;
  to.priority = from.priority;
  to.hash = from.hash;
  to.queue_mapping = from.queue_mapping;
  to.pkt_len = from.pkt_len;
  to.pkt_type = from.pkt_type;
  to.ignore_df = from.ignore_df;
  to.redirected_loop = from.redirected_loop;
  to.opt = from.opt;
  to.frag_max_size = from.frag_max_size;
  to.layer = from.layer;
  to.encaps = from.encaps;
  to.encapsulation = from.encapsulation;
  to.vlan_proto = from.vlan_proto;
  to.vlan_tci = from.vlan_tci;
  to.tstamp = from.tstamp;
  nf_conn_get(from.nfct);
  nf_conn_put(std::exchange(to.nfct, from.nfct));
  to.ctinfo = from.ctinfo;
  to.rt = from.rt;
  to.gateway6 = from.gateway6;
  to.fl4 = from.fl4;
}

namespace {

// Header offsets and offload state, for a copy whose bytes lie `moved` further from its head.
void copy_offsets(const Skb& from, Skb& to, std::ptrdiff_t moved) {
  auto shifted = [moved](std::uint16_t offset) {
    return offset == 0 ? std::uint16_t{0} : static_cast<std::uint16_t>(offset + moved);
  };
  to.mac_header = shifted(from.mac_header);
  to.network_header = shifted(from.network_header);
  to.transport_header = shifted(from.transport_header);
  to.inner_network_header = shifted(from.inner_network_header);
  to.csum_start = shifted(from.csum_start);
  to.csum_offset = from.csum_offset;
  to.csum = from.csum;
  to.gso_size = from.gso_size;
  to.gso_segs = from.gso_segs;
  to.gso_type = from.gso_type;
  to.ip_summed = from.ip_summed;
  to.csum_for_device = from.csum_for_device;
  to.tx_flags = from.tx_flags;
  to.tskey = from.tskey;
}

}  // namespace

SkbPtr skb_copy(Net& net, const Skb& skb, std::size_t extra_headroom) {
  const std::size_t headroom = skb.headroom() + extra_headroom;
  SkbPtr copy = alloc_skb(net, headroom + skb.len + skb.tailroom());
  if (!copy && skb.tailroom() > 0) copy = alloc_skb(net, headroom + skb.len);
  if (!copy) return nullptr;
  copy->reserve(headroom);
  skb_copy_metadata(skb, *copy);
  copy_offsets(skb, *copy, static_cast<std::ptrdiff_t>(extra_headroom));
  // The MAC header may lie before data; take the whole headroom along.
  std::memcpy(copy->head + extra_headroom, skb.head, skb.headroom());
  std::memcpy(copy->put(skb.headlen()), skb.data, skb.headlen());
  for (const Skb* f = skb.frag_list; f != nullptr; f = f->next)
    std::memcpy(copy->put(f->len), f->data, f->len);
  return copy;
}

bool skb_linearize(Net& net, SkbPtr& skb) {
  if (skb->frag_list == nullptr) return true;
  SkbPtr whole = skb_copy(net, *skb);
  if (!whole) return false;
  if (skb->sk != nullptr) {
    // The charge moves with the bytes, as the kernel's pskb_expand_head() leaves it on the head.
    std::uint32_t size = 0;
    size += skb->truesize;
    for (Skb* f = skb->frag_list; f != nullptr; f = f->next)
      if (f->sk != nullptr) {
        size += f->truesize;
        f->sk = nullptr;
      }
    whole->sk = std::exchange(skb->sk, nullptr);
    whole->truesize = size;
  }
  free_skb(std::exchange(skb, std::move(whole)));
  return true;
}

bool skb_cow_head(Net& net, SkbPtr& skb, std::size_t headroom) {
  if (skb->headroom() >= headroom) [[likely]]
    return true;
  // A copy is linear and keeps what the socket was charged (pskb_expand_head()).
  if (!skb_linearize(net, skb)) return false;
  SkbPtr roomy = skb_copy(net, *skb, headroom - skb->headroom());
  if (!roomy) return false;
  roomy->truesize = skb->truesize;
  roomy->sk = std::exchange(skb->sk, nullptr);
  roomy->next = skb->next;
  free_skb(std::exchange(skb, std::move(roomy)));
  return true;
}

bool vlan_push_inside(Net& net, SkbPtr& skb) {
  if (skb->headlen() < kEthHlen || !skb_cow_head(net, skb, kVlanHlen)) return false;
  const std::uint16_t proto = std::exchange(skb->vlan_proto, std::uint16_t{0});
  skb->push(kVlanHlen);
  std::memmove(skb->data, skb->data + kVlanHlen, kEthMacs);
  store_be16(skb->data + kEthMacs, proto);
  store_be16(skb->data + kEthMacs + 2, skb->vlan_tci);
  skb->set_mac_header();
  skb->protocol = proto;
  return true;
}

void skb_set_owner_w(Skb& skb, Sock& sk) {
  skb_orphan(skb);
  skb.sk = &sk;
  sk.wmem_alloc.fetch_add(skb.truesize, std::memory_order_relaxed);
}

void skb_uncharge(Skb& skb) { sk_wfree(*std::exchange(skb.sk, nullptr), skb.truesize); }

}  // namespace txp
