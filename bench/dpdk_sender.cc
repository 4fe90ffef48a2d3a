// SPDX-License-Identifier: Apache-2.0
#include "dpdk_sender.h"

#include <rte_config.h>
#include <rte_eal.h>
#include <rte_ethdev.h>
#include <rte_ip.h>
#include <rte_mbuf.h>
#include <rte_udp.h>

#include <sched.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <vector>

namespace {

constexpr std::uint16_t kPort = 0;
constexpr std::size_t kMtu = 1500;
constexpr std::size_t kPart = (kMtu - sizeof(rte_ipv4_hdr)) / 8 * 8;
rte_mempool* pool = nullptr;

// Ethernet and IP headers; `len` bytes follow the latter.
rte_ipv4_hdr* headers(rte_mbuf* m, std::size_t len, std::uint16_t id, std::uint16_t offset) {
  auto* eth = static_cast<rte_ether_hdr*>(rte_pktmbuf_mtod(m, rte_ether_hdr*));
  static constexpr std::uint8_t kDest[6] = {2, 0, 0, 0, 0, 2};
  static constexpr std::uint8_t kSource[6] = {2, 0, 0, 0, 0, 1};
  std::memcpy(&eth->dst_addr, kDest, 6);
  std::memcpy(&eth->src_addr, kSource, 6);
  eth->ether_type = RTE_BE16(RTE_ETHER_TYPE_IPV4);
  auto* ip = reinterpret_cast<rte_ipv4_hdr*>(eth + 1);
  ip->version_ihl = 0x45;
  ip->type_of_service = 0;
  ip->total_length = rte_cpu_to_be_16(static_cast<std::uint16_t>(sizeof *ip + len));
  ip->packet_id = rte_cpu_to_be_16(id);
  ip->fragment_offset = rte_cpu_to_be_16(offset);
  ip->time_to_live = 64;
  ip->next_proto_id = IPPROTO_UDP;
  ip->hdr_checksum = 0;
  ip->src_addr = RTE_BE32(0x0a090001);
  ip->dst_addr = RTE_BE32(0x0a090002);
  ip->hdr_checksum = rte_ipv4_cksum(ip);
  m->data_len = static_cast<std::uint16_t>(sizeof *eth + sizeof *ip + len);
  m->pkt_len = m->data_len;
  return ip;
}

rte_udp_hdr* udp_header(rte_ipv4_hdr* ip, std::size_t payload) {
  auto* udp = reinterpret_cast<rte_udp_hdr*>(ip + 1);
  udp->src_port = RTE_BE16(40000);
  udp->dst_port = RTE_BE16(9);
  udp->dgram_len = rte_cpu_to_be_16(static_cast<std::uint16_t>(sizeof *udp + payload));
  udp->dgram_cksum = 0;
  return udp;
}

bool burst(rte_mbuf** m, std::size_t n) {
  return rte_eth_tx_burst(kPort, 0, m, static_cast<std::uint16_t>(n)) == n;
}

}  // namespace

DpdkSender::DpdkSender() {
  std::string cpu = std::to_string(std::max(0, sched_getcpu()));
  std::vector<std::string> words = {"bench", "--no-huge",     "--no-pci",       "-m",
                                    "64",    "--no-shconf",   "--no-telemetry", "-l",
                                    cpu,     "--log-level=1", "--vdev",         "net_null0"};
  std::vector<char*> args;
  for (std::string& w : words) args.push_back(w.data());
  if (rte_eal_init(static_cast<int>(args.size()), args.data()) < 0) {
    why_not_ = "rte_eal_init() failed";
    return;
  }
  pool = rte_pktmbuf_pool_create("bench", 4095, 256, 0, RTE_MBUF_DEFAULT_BUF_SIZE, 0);
  const rte_eth_conf conf{};
  if (pool == nullptr || rte_eth_dev_configure(kPort, 1, 1, &conf) != 0 ||
      rte_eth_rx_queue_setup(kPort, 0, 512, 0, nullptr, pool) != 0 ||
      rte_eth_tx_queue_setup(kPort, 0, 512, 0, nullptr) != 0 || rte_eth_dev_start(kPort) != 0)
    why_not_ = "net_null could not be set up";
}

bool DpdkSender::send_batch(std::span<const std::uint8_t> payload) {
  std::array<rte_mbuf*, kBatch> m;
  if (payload.size() + sizeof(rte_udp_hdr) + sizeof(rte_ipv4_hdr) <= kMtu) {
    if (rte_pktmbuf_alloc_bulk(pool, m.data(), kBatch) != 0) return false;
    for (rte_mbuf* one : m) {
      rte_ipv4_hdr* ip = headers(one, sizeof(rte_udp_hdr) + payload.size(), ++id_, 0);
      rte_udp_hdr* udp = udp_header(ip, payload.size());
      rte_memcpy(udp + 1, payload.data(), payload.size());
      udp->dgram_cksum = rte_ipv4_udptcp_cksum(ip, udp);
    }
    return burst(m.data(), kBatch);
  }
  const std::size_t total = sizeof(rte_udp_hdr) + payload.size();
  const std::size_t parts = (total + kPart - 1) / kPart;
  for (std::size_t d = 0; d < kBatch; ++d) {
    if (parts > m.size() ||
        rte_pktmbuf_alloc_bulk(pool, m.data(), static_cast<unsigned>(parts)) != 0)
      return false;
    ++id_;
    std::uint32_t sum = 0;
    rte_udp_hdr* udp = nullptr;
    std::size_t from = 0;
    for (std::size_t p = 0; p < parts; ++p) {
      const std::size_t len = std::min(kPart, total - p * kPart);
      const std::uint16_t more = p + 1 < parts ? RTE_IPV4_HDR_MF_FLAG : 0;
      rte_ipv4_hdr* ip = headers(m[p], len, id_, static_cast<std::uint16_t>(p * kPart / 8 | more));
      auto* to = reinterpret_cast<std::uint8_t*>(ip + 1);
      std::size_t n = len;
      if (p == 0) {
        udp = udp_header(ip, payload.size());
        to += sizeof *udp;
        n -= sizeof *udp;
      }
      rte_memcpy(to, payload.data() + from, n);
      sum += rte_raw_cksum(to, n);
      from += n;
      if (p == 0) {
        sum += rte_raw_cksum(udp, sizeof *udp);
        rte_ipv4_hdr whole = *ip;
        whole.total_length = rte_cpu_to_be_16(static_cast<std::uint16_t>(sizeof *ip + total));
        sum += rte_ipv4_phdr_cksum(&whole, 0);
      }
    }
    const auto folded = static_cast<std::uint16_t>(~__rte_raw_cksum_reduce(sum));
    udp->dgram_cksum = folded != 0 ? folded : 0xffff;
    if (!burst(m.data(), parts)) return false;
  }
  return true;
}
