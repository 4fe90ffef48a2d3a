// SPDX-License-Identifier: Apache-2.0
// A ruleset as the kernel tells it: plain structs, and expressions as their netlink attributes.
// Kernel twin: include/uapi/linux/netfilter/nf_tables.h.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

namespace txp {

struct NftTable {
  std::uint8_t family = 0;  // NFPROTO_*
  std::string name;
  std::uint64_t handle = 0;
  bool dormant = false;  // its hooks are off
};

struct NftChain {
  std::uint8_t family = 0;
  std::string table;
  std::string name;
  std::uint64_t handle = 0;
  bool base = false;
  std::uint32_t hooknum = 0;
  std::int32_t priority = 0;
  std::uint32_t policy = 1;  // NF_DROP 0, NF_ACCEPT 1
  std::string type;          // "filter", "nat", "route"
  std::vector<std::string> devs;
  std::string text;  // nft's line, or one like it: "type filter hook output priority filter; ..."
};

struct NftRule {
  std::uint8_t family = 0;
  std::string table;
  std::string chain;
  std::uint64_t handle = 0;
  std::string text;  // nft's line without the handle; the kinds of its expressions without nft
  std::vector<std::uint8_t> expressions;  // NFTA_RULE_EXPRESSIONS
};

struct NftSetSpec {
  std::uint8_t family = 0;
  std::string table;
  std::string name;
  std::uint64_t handle = 0;
  std::uint32_t flags = 0;    // NFT_SET_*
  std::uint32_t key_len = 0;  // bytes
  std::uint32_t data_len = 0;
  bool verdicts = false;                  // the data are verdicts
  std::uint32_t size = 0;                 // most elements; 0: no limit
  std::uint64_t timeout = 0;              // ms
  std::vector<std::uint32_t> fields;      // of a concatenation: bytes each
  std::vector<std::uint8_t> expressions;  // NFTA_SET_EXPRESSIONS: what new elements carry
};

struct NftElemSpec {
  std::uint32_t flags = 0;  // NFT_SET_ELEM_*
  std::vector<std::uint8_t> key;
  std::vector<std::uint8_t> key_end;
  std::vector<std::uint8_t> data;
  std::int32_t verdict = 0;
  std::string chain;          // of a jump or goto
  std::string object;         // of an object map
  std::uint64_t timeout = 0;  // ms
  std::int64_t expires = -1;  // ms from now; -1: never
  std::vector<std::uint8_t> expressions;
};

// A part of a set's elements.
struct NftElemsSpec {
  std::uint8_t family = 0;
  std::string table;
  std::string set;
  std::vector<NftElemSpec> elems;
};

struct NftObjectSpec {
  std::uint8_t family = 0;
  std::string table;
  std::string name;
  std::uint64_t handle = 0;
  std::uint32_t type = 0;  // NFT_OBJECT_*
  std::vector<std::uint8_t> data;
};

struct NftRuleset {
  std::vector<NftTable> tables;
  std::vector<NftChain> chains;
  std::vector<NftRule> rules;
  std::vector<NftSetSpec> sets;
  std::vector<NftElemsSpec> elems;
  std::vector<NftObjectSpec> objects;
};

// "inet", "ip", "netdev" ...
std::string_view nft_family_name(std::uint8_t family);

}  // namespace txp
