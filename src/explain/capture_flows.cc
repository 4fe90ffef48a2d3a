// SPDX-License-Identifier: Apache-2.0
#include "explain/capture_flows.h"

#include <fmt/format.h>
#include <netinet/in.h>
#include <pcap/pcap.h>

#include <memory>
#include <optional>

#include "base/byteorder.h"
#include "wire/ethernet.h"
#include "wire/ipv4.h"
#include "wire/tcp.h"
#include "wire/udp.h"

namespace txp {
namespace {

using Bytes = std::span<const std::uint8_t>;

constexpr std::uint16_t kEthP8021Q = 0x8100;
constexpr std::uint16_t kEthP8021Ad = 0x88a8;
constexpr std::size_t kVlanHlen = 4;

// Link layers whose header has a fixed length and the EtherType at a fixed place.
struct LinkLayer {
  int dlt;
  std::size_t header;    // bytes
  std::size_t protocol;  // offset of the EtherType
  bool has_protocol;
};
constexpr LinkLayer kLinkLayers[] = {
    {DLT_EN10MB, 14, 12, true}, {DLT_LINUX_SLL, 16, 14, true}, {DLT_LINUX_SLL2, 20, 0, true},
    {DLT_RAW, 0, 0, false},     {DLT_IPV4, 0, 0, false},       {DLT_NULL, 4, 0, false},
    {DLT_LOOP, 4, 0, false},
};

const LinkLayer* link_layer(int dlt) {
  for (const LinkLayer& l : kLinkLayers)
    if (l.dlt == dlt) return &l;
  return nullptr;
}

// The IPv4 packet in a frame; `len` becomes its bytes on the wire.
std::optional<Bytes> ipv4_of(int dlt, Bytes frame, std::size_t& len) {
  const LinkLayer* link = link_layer(dlt);
  if (link == nullptr || frame.size() < link->header) return std::nullopt;
  std::size_t at = link->header;
  if (link->has_protocol) {
    std::uint16_t protocol = load_be16(&frame[link->protocol]);
    while ((protocol == kEthP8021Q || protocol == kEthP8021Ad) && frame.size() >= at + kVlanHlen) {
      protocol = load_be16(&frame[at + 2]);
      at += kVlanHlen;
    }
    if (protocol != kEthPIp) return std::nullopt;
  }
  len = len > at ? len - at : 0;
  return frame.subspan(at);
}

FlowQuestion question_of(const Ipv4Header& ip) {
  FlowQuestion q;
  q.from = ip.saddr;
  q.to = ip.daddr;
  if (ip.tos != 0) q.tos = ip.tos;
  q.ttl = ip.ttl;
  q.df = (ip.frag_off & kIpDf) != 0 ? IP_PMTUDISC_WANT : IP_PMTUDISC_DONT;
  return q;
}

struct PcapCloser {
  void operator()(pcap_t* p) const { pcap_close(p); }
};

}  // namespace

bool knows_link_type(int link_type) { return link_layer(link_type) != nullptr; }

std::expected<CapturedFlow, std::string_view> captured_flow(int link_type, Bytes bytes,
                                                            std::size_t len) {
  const auto packet = ipv4_of(link_type, bytes, len);
  if (!packet) return std::unexpected("not IPv4");
  const auto ip = Ipv4Header::parse(*packet);
  if (!ip) return std::unexpected("not IPv4");
  if ((ip->frag_off & (kIpMf | kIpOffset)) != 0) return std::unexpected("fragments");
  if (ip->protocol != kIpProtoUdp && ip->protocol != kIpProtoTcp)
    return std::unexpected("neither UDP nor TCP");
  // A capture on a segmenting host may say zero: then the frame's length counts.
  const std::size_t whole = ip->tot_len != 0 ? ip->tot_len : len;
  if (whole < ip->hlen()) return std::unexpected("malformed");
  if (packet->size() < whole) return std::unexpected("cut short by the capture");
  const Bytes transport = packet->subspan(ip->hlen(), whole - ip->hlen());
  CapturedFlow flow{question_of(*ip), {}, {}};
  if (ip->hlen() > kIpHlen) flow.unknown = "a packet with IP options";
  if (ip->protocol == kIpProtoUdp) {
    const auto udp = UdpHeader::parse(transport);
    if (!udp || udp->len < kUdpHlen || udp->len > transport.size())
      return std::unexpected("malformed");
    flow.question.from_port = udp->source;
    flow.question.to_port = udp->dest;
    flow.question.broadcast = true;  // whoever sent it may have asked for it
    flow.payload.assign(transport.begin() + kUdpHlen, transport.begin() + udp->len);
    return flow;
  }
  const auto tcp = TcpHeader::parse(transport);
  if (!tcp) return std::unexpected("malformed");
  flow.question.proto = FlowProto::tcp;
  flow.question.from_port = tcp->source;
  flow.question.to_port = tcp->dest;
  if (tcp->flags != kTcpSyn && tcp->flags != (kTcpSyn | kTcpEce | kTcpCwr))
    flow.unknown = "a segment that is not the first SYN of its connection";
  return flow;
}

Result<PassedOver> read_capture(const std::string& path,
                                const std::function<bool(CapturedFlow&&)>& ask) {
  char why[PCAP_ERRBUF_SIZE] = "";
  const std::unique_ptr<pcap_t, PcapCloser> capture(pcap_open_offline(path.c_str(), why));
  if (!capture) {
    const std::string text(why);  // libpcap begins some of its sentences with the file's name
    return fail(text.starts_with(path) ? text : fmt::format("{}: {}", path, text));
  }
  const int link_type = pcap_datalink(capture.get());
  if (!knows_link_type(link_type)) {
    const char* name = pcap_datalink_val_to_name(link_type);
    return fail(fmt::format("{}: frames of the link layer {} are not understood", path,
                            name != nullptr ? name : std::to_string(link_type)));
  }
  PassedOver passed_over;
  pcap_pkthdr* header = nullptr;
  const std::uint8_t* bytes = nullptr;
  int got = 0;
  while ((got = pcap_next_ex(capture.get(), &header, &bytes)) == 1) {
    auto flow = captured_flow(link_type, {bytes, header->caplen}, header->len);
    if (!flow)
      ++passed_over[flow.error()];
    else if (!ask(std::move(*flow)))
      return passed_over;
  }
  if (got == PCAP_ERROR) return fail(fmt::format("{}: {}", path, pcap_geterr(capture.get())));
  return passed_over;
}

}  // namespace txp
