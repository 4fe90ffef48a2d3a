// SPDX-License-Identifier: Apache-2.0
// One packet through a base chain: linear rules, sets and maps. The ruleset is written as the
// kernel would send it.
#include <benchmark/benchmark.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>

#include <memory>
#include <vector>

#include "base/rcu.h"
#include "net.h"
#include "netfilter/nft_program.h"
#include "netfilter/test_ruleset.h"
#include "wire/ethernet.h"
#include "wire/ipv4.h"
#include "wire/udp.h"

namespace {

using namespace txp;
using namespace txp::nft_test;

std::vector<std::uint8_t> be(std::uint32_t v, std::size_t len) {
  std::vector<std::uint8_t> b(len);
  for (std::size_t i = 0; i < len; ++i)
    b[len - 1 - i] = static_cast<std::uint8_t>(v >> (8 * std::min<std::size_t>(i, 3)));
  return b;
}

void load(Attributes& list, std::uint32_t base, std::uint32_t offset, std::uint32_t len,
          std::uint32_t reg) {
  expression(list, "payload",
             Attributes()
                 .be32(NFTA_PAYLOAD_DREG, reg)
                 .be32(NFTA_PAYLOAD_BASE, base)
                 .be32(NFTA_PAYLOAD_OFFSET, offset)
                 .be32(NFTA_PAYLOAD_LEN, len));
}
void load_daddr(Attributes& list, std::uint32_t reg) {
  load(list, NFT_PAYLOAD_NETWORK_HEADER, 16, 4, reg);
}
void load_dport(Attributes& list, std::uint32_t reg) {
  load(list, NFT_PAYLOAD_TRANSPORT_HEADER, 2, 2, reg);
}
void l4proto_is_udp(Attributes& list) {
  expression(list, "meta",
             Attributes().be32(NFTA_META_DREG, NFT_REG_1).be32(NFTA_META_KEY, NFT_META_L4PROTO));
  expression(list, "cmp",
             Attributes()
                 .be32(NFTA_CMP_SREG, NFT_REG_1)
                 .be32(NFTA_CMP_OP, NFT_CMP_EQ)
                 .nest(NFTA_CMP_DATA, value({17})));
}
void lookup(Attributes& list, const char* set, bool verdicts) {
  Attributes a;
  a.text(NFTA_LOOKUP_SET, set).be32(NFTA_LOOKUP_SREG, NFT_REG_1);
  if (verdicts) a.be32(NFTA_LOOKUP_DREG, NFT_REG_VERDICT);
  expression(list, "lookup", a);
}

class Bench {
 public:
  Bench() : net_({.clock = Clock::manual(kSecond)}) {
    rules.tables.push_back({.family = NFPROTO_IPV4, .name = "t", .handle = 1, .dormant = false});
    NftChain c;
    c.family = NFPROTO_IPV4;
    c.table = "t";
    c.name = "out";
    c.base = true;
    c.hooknum = NF_INET_LOCAL_OUT;
    c.type = "filter";
    rules.chains.push_back(c);
  }
  void rule(const Attributes& list) {
    NftRule r;
    r.family = NFPROTO_IPV4;
    r.table = "t";
    r.chain = "out";
    r.handle = rules.rules.size() + 1;
    r.expressions = list.raw();
    rules.rules.push_back(r);
  }
  NftSetSpec& set(const char* name, std::uint32_t flags, std::uint32_t key_len) {
    NftSetSpec s;
    s.family = NFPROTO_IPV4;
    s.table = "t";
    s.name = name;
    s.flags = flags;
    s.key_len = key_len;
    rules.sets.push_back(s);
    NftElemsSpec e;
    e.family = NFPROTO_IPV4;
    e.table = "t";
    e.set = name;
    rules.elems.push_back(e);
    return rules.sets.back();
  }
  void elem(std::vector<std::uint8_t> key, std::vector<std::uint8_t> end, std::uint32_t flags = 0,
            std::int32_t verdict_code = 0) {
    NftElemSpec e;
    e.key = std::move(key);
    e.key_end = std::move(end);
    e.flags = flags;
    e.verdict = verdict_code;
    rules.elems.back().elems.push_back(e);
  }
  void run(benchmark::State& state) {
    const auto program = nft_compile(net_, rules, nullptr);
    const RcuReader reader;
    SkbPtr skb = alloc_skb(net_, 256);
    skb->reserve(64);
    Ipv4Header ip;
    ip.protocol = 17;
    ip.saddr = Ip4{0x0a4d0001};
    ip.daddr = Ip4{0x0a4d0002};
    ip.tot_len = 60;
    skb->set_network_header();
    ip.emit(skb->put(kIpHlen));
    skb->set_transport_header();
    UdpHeader{4000, 53, 40, 1}.emit(skb->put(kUdpHlen));
    skb->put(32);
    skb->protocol = kEthPIp;
    std::uint32_t daddr = 0x0a000000;
    for (auto _ : state) {
      store_be32(skb->network() + 16, daddr);
      daddr = 0x0a000000 | ((daddr + 7919) & 0xffff);
      NftPkt pkt{net_, *skb};
      pkt.hooknum = NF_INET_LOCAL_OUT;
      benchmark::DoNotOptimize(nft_do_base_chain(pkt, *program->base_chains.front()));
    }
    free_skb(std::move(skb));
    state.SetItemsProcessed(state.iterations());
  }
  NftRuleset rules;

 private:
  Net net_;
};

// `range` rules, none of which matches: meta l4proto udp, udp dport N.
void nft_linear_port(benchmark::State& state) {
  Bench b;
  for (int i = 0; i < state.range(0); ++i) {
    Attributes list;
    l4proto_is_udp(list);
    dport(list, static_cast<std::uint16_t>(1000 + i));
    counter(list);
    verdict(list, NF_DROP);
    b.rule(list);
  }
  b.run(state);
}
BENCHMARK(nft_linear_port)->Arg(0)->Arg(1)->Arg(100)->Arg(1000);

// ip daddr & mask == N.
void nft_linear_masked(benchmark::State& state) {
  Bench b;
  for (int i = 0; i < state.range(0); ++i) {
    Attributes list;
    load_daddr(list, NFT_REG_1);
    expression(list, "bitwise",
               Attributes()
                   .be32(NFTA_BITWISE_SREG, NFT_REG_1)
                   .be32(NFTA_BITWISE_DREG, NFT_REG_1)
                   .be32(NFTA_BITWISE_LEN, 4)
                   .nest(NFTA_BITWISE_MASK, value({255, 255, 254, 0}))
                   .nest(NFTA_BITWISE_XOR, value({0, 0, 0, 0})));
    expression(
        list, "cmp",
        Attributes()
            .be32(NFTA_CMP_SREG, NFT_REG_1)
            .be32(NFTA_CMP_OP, NFT_CMP_EQ)
            .nest(NFTA_CMP_DATA, value(be(0xc0000000U + static_cast<unsigned>(i) * 512, 4))));
    verdict(list, NF_DROP);
    b.rule(list);
  }
  b.run(state);
}
BENCHMARK(nft_linear_masked)->Arg(100)->Arg(1000);

void nft_set_hash(benchmark::State& state) {
  Bench b;
  b.set("s", 0, 4);
  for (std::uint32_t i = 0; i < state.range(0); ++i) b.elem(be(0x0a000000 + i * 3, 4), {});
  Attributes list;
  load_daddr(list, NFT_REG_1);
  lookup(list, "s", false);
  b.rule(list);
  b.run(state);
}
BENCHMARK(nft_set_hash)->Arg(10)->Arg(10000);

void nft_verdict_map(benchmark::State& state) {
  Bench b;
  b.set("s", NFT_SET_MAP, 4).verdicts = true;
  for (std::uint32_t i = 0; i < state.range(0); ++i)
    b.elem(be(0x0a000000 + i * 3, 4), {}, 0, NF_ACCEPT);
  Attributes list;
  load_daddr(list, NFT_REG_1);
  lookup(list, "s", true);
  b.rule(list);
  b.run(state);
}
BENCHMARK(nft_verdict_map)->Arg(10000);

void nft_set_intervals(benchmark::State& state) {
  Bench b;
  b.set("s", NFT_SET_INTERVAL, 4);
  for (std::uint32_t i = 0; i < state.range(0); ++i) {
    b.elem(be(0x0a000000 + i * 6, 4), {});
    b.elem(be(0x0a000000 + i * 6 + 3, 4), {}, NFT_SET_ELEM_INTERVAL_END);
  }
  Attributes list;
  load_daddr(list, NFT_REG_1);
  lookup(list, "s", false);
  b.rule(list);
  b.run(state);
}
BENCHMARK(nft_set_intervals)->Arg(10000);

void nft_set_concatenation(benchmark::State& state) {
  Bench b;
  NftSetSpec& s = b.set("s", NFT_SET_INTERVAL | (1U << 7), 8);
  s.fields = {4, 2};
  for (std::uint32_t i = 0; i < state.range(0); ++i) {
    std::vector<std::uint8_t> from = be(0x0a000000 + i * 6, 4);
    std::vector<std::uint8_t> to = be(0x0a000000 + i * 6 + 3, 4);
    from.insert(from.end(), {0, 50, 0, 0});
    to.insert(to.end(), {0, 60, 0, 0});
    b.elem(from, to);
  }
  Attributes list;
  load_daddr(list, NFT_REG_1);
  load_dport(list, NFT_REG32_00 + 1);
  lookup(list, "s", false);
  b.rule(list);
  b.run(state);
}
BENCHMARK(nft_set_concatenation)->Arg(1000)->Arg(10000);

}  // namespace
