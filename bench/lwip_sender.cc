// SPDX-License-Identifier: Apache-2.0
#include "lwip_sender.h"

#include <lwip/etharp.h>
#include <lwip/init.h>
#include <lwip/netif.h>
#include <lwip/pbuf.h>
#include <lwip/prot/etharp.h>
#include <lwip/prot/ethernet.h>
#include <lwip/prot/iana.h>
#include <lwip/udp.h>
#include <netif/ethernet.h>

#include <cstring>
#include <stdexcept>

// What the driver saw.
struct Seen {
  std::uint64_t frames = 0;
  std::uint64_t bytes = 0;
};

struct LwipSender::State {
  netif nif{};
  udp_pcb* unconnected = nullptr;
  udp_pcb* connected = nullptr;
  ip_addr_t peer{};
  Seen seen;
};

namespace {
constexpr std::uint16_t kPort = 9;

err_t linkoutput(netif* nif, pbuf* p) {
  auto* seen = static_cast<Seen*>(nif->state);
  ++seen->frames;
  seen->bytes += p->tot_len;
  return ERR_OK;
}

err_t init(netif* nif) {
  nif->name[0] = 'n';
  nif->name[1] = 'u';
  nif->mtu = 1500;
  nif->hwaddr_len = 6;
  const std::uint8_t mac[6] = {2, 0, 0, 0, 0, 1};
  std::memcpy(nif->hwaddr, mac, sizeof mac);
  nif->flags = NETIF_FLAG_BROADCAST | NETIF_FLAG_ETHARP | NETIF_FLAG_LINK_UP;
  nif->output = etharp_output;
  nif->linkoutput = linkoutput;
  return ERR_OK;
}

// Teaches lwIP the peer's address as the wire would: an ARP reply comes in. (Debian's build has no
// static entries.)
void learn(netif& nif, const ip4_addr_t& us, const ip4_addr_t& peer) {
  pbuf* p = pbuf_alloc(PBUF_RAW, SIZEOF_ETH_HDR + SIZEOF_ETHARP_HDR, PBUF_RAM);
  auto* eth = static_cast<eth_hdr*>(p->payload);
  auto* arp =
      reinterpret_cast<etharp_hdr*>(static_cast<std::uint8_t*>(p->payload) + SIZEOF_ETH_HDR);
  const std::uint8_t peer_mac[6] = {2, 0, 0, 0, 0, 2};
  std::memcpy(&eth->dest, nif.hwaddr, 6);
  std::memcpy(&eth->src, peer_mac, 6);
  eth->type = PP_HTONS(ETHTYPE_ARP);
  arp->hwtype = PP_HTONS(LWIP_IANA_HWTYPE_ETHERNET);
  arp->proto = PP_HTONS(ETHTYPE_IP);
  arp->hwlen = 6;
  arp->protolen = 4;
  arp->opcode = PP_HTONS(ARP_REPLY);
  std::memcpy(&arp->shwaddr, peer_mac, 6);
  std::memcpy(&arp->sipaddr, &peer, 4);
  std::memcpy(&arp->dhwaddr, nif.hwaddr, 6);
  std::memcpy(&arp->dipaddr, &us, 4);
  if (ethernet_input(p, &nif) != ERR_OK) pbuf_free(p);
}

pbuf* copy_of(std::span<const std::uint8_t> payload) {
  pbuf* p = pbuf_alloc(PBUF_TRANSPORT, static_cast<u16_t>(payload.size()), PBUF_RAM);
  if (p != nullptr) std::memcpy(p->payload, payload.data(), payload.size());
  return p;
}
}  // namespace

LwipSender::LwipSender() : state_(std::make_unique<State>()) {
  State& s = *state_;
  lwip_init();
  ip4_addr_t us;
  ip4_addr_t mask;
  ip4_addr_t gateway;
  IP4_ADDR(&us, 10, 9, 0, 1);
  IP4_ADDR(&mask, 255, 255, 255, 0);
  IP4_ADDR(&gateway, 10, 9, 0, 254);
  IP_ADDR4(&s.peer, 10, 9, 0, 2);
  if (netif_add(&s.nif, &us, &mask, &gateway, &s.seen, init, ethernet_input) == nullptr)
    throw std::runtime_error("lwIP: netif_add failed");
  netif_set_default(&s.nif);
  netif_set_up(&s.nif);
  s.unconnected = udp_new();
  s.connected = udp_new();
  if (udp_bind(s.unconnected, IP4_ADDR_ANY, 40000) != ERR_OK ||
      udp_bind(s.connected, IP4_ADDR_ANY, 40001) != ERR_OK ||
      udp_connect(s.connected, &s.peer, kPort) != ERR_OK)
    throw std::runtime_error("lwIP: bind or connect failed");
  // The first send makes the entry and asks; the reply resolves it.
  const std::uint8_t first[1] = {0};
  sendto(first);
  learn(s.nif, us, *ip_2_ip4(&s.peer));
  sendto(first);
}

LwipSender::~LwipSender() {
  udp_remove(state_->unconnected);
  udp_remove(state_->connected);
  netif_remove(&state_->nif);
}

bool LwipSender::sendto(std::span<const std::uint8_t> payload) {
  pbuf* p = copy_of(payload);
  if (p == nullptr) return false;
  const err_t err = udp_sendto(state_->unconnected, p, &state_->peer, kPort);
  pbuf_free(p);
  return err == ERR_OK;
}

bool LwipSender::send(std::span<const std::uint8_t> payload) {
  pbuf* p = copy_of(payload);
  if (p == nullptr) return false;
  const err_t err = udp_send(state_->connected, p);
  pbuf_free(p);
  return err == ERR_OK;
}

std::uint64_t LwipSender::frames() const { return state_->seen.frames; }
std::uint64_t LwipSender::bytes() const { return state_->seen.bytes; }
