// SPDX-License-Identifier: Apache-2.0
// nf_tables' tables, chains, rules and objects; sets are in decode_nft_set.cc. Expressions stay
// attributes: netfilter/ reads them.
// Kernel twin: net/netfilter/nf_tables_api.c (nf_tables_fill_chain_info() and its like).
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>

#include "mirror/attrs.h"
#include "mirror/decode.h"

namespace txp {

Result<Decoded> decode_nft_table(Bytes bytes) {
  nfgenmsg h{};
  if (take_header(bytes, h) == nullptr) return fail("cut short");
  Attrs<NFTA_TABLE_MAX> a(bytes.subspan(sizeof h), "table");
  NftTable t;
  t.family = h.nfgen_family;
  t.name = a.text(NFTA_TABLE_NAME).value_or("");
  t.handle = a.be64(NFTA_TABLE_HANDLE).value_or(0);
  t.dormant = (a.be32(NFTA_TABLE_FLAGS).value_or(0) & NFT_TABLE_F_DORMANT) != 0;
  if (!a.error().empty()) return fail(a.error());
  if (t.name.empty()) return fail("no name");
  return Decoded{.what = std::move(t)};
}

Result<Decoded> decode_nft_chain(Bytes bytes, std::string_view text) {
  nfgenmsg h{};
  if (take_header(bytes, h) == nullptr) return fail("cut short");
  Attrs<NFTA_CHAIN_MAX> a(bytes.subspan(sizeof h), "chain");
  NftChain c;
  c.family = h.nfgen_family;
  c.table = a.text(NFTA_CHAIN_TABLE).value_or("");
  c.name = a.text(NFTA_CHAIN_NAME).value_or("");
  c.handle = a.be64(NFTA_CHAIN_HANDLE).value_or(0);
  c.policy = a.be32(NFTA_CHAIN_POLICY).value_or(NF_ACCEPT);
  c.type = a.text(NFTA_CHAIN_TYPE).value_or("");
  c.text = text;
  if (auto v = a.raw(NFTA_CHAIN_HOOK)) {
    c.base = true;
    Attrs<NFTA_HOOK_MAX> hook(*v, "hook");
    c.hooknum = hook.be32(NFTA_HOOK_HOOKNUM).value_or(0xffffffff);
    c.priority = static_cast<std::int32_t>(hook.be32(NFTA_HOOK_PRIORITY).value_or(0));
    if (auto dev = hook.text(NFTA_HOOK_DEV, 15)) c.devs.push_back(*dev);
    if (auto devs = hook.raw(NFTA_HOOK_DEVS)) {
      // A list of NFTA_DEVICE_NAME (1), and of NFTA_DEVICE_PREFIX (2) since 6.17.
      if (!for_each_attr(*devs, [&](const nlattr& d) {
            const Bytes b = payload(d);
            std::string dev(b.begin(), std::find(b.begin(), b.end(), 0));
            if (mnl_attr_get_type(&d) == 2) dev += '*';
            if (std::find(c.devs.begin(), c.devs.end(), dev) == c.devs.end())
              c.devs.push_back(std::move(dev));
          }))
        a.wrong("the list of devices is cut short");
    }
    if (!hook.error().empty()) return fail(hook.error());
  }
  if (!a.error().empty()) return fail(a.error());
  if (c.table.empty() || c.name.empty()) return fail("no name");
  return Decoded{.what = std::move(c)};
}

Result<Decoded> decode_nft_rule(Bytes bytes, std::string_view text) {
  nfgenmsg h{};
  if (take_header(bytes, h) == nullptr) return fail("cut short");
  Attrs<NFTA_RULE_MAX> a(bytes.subspan(sizeof h), "rule");
  NftRule r;
  r.family = h.nfgen_family;
  r.table = a.text(NFTA_RULE_TABLE).value_or("");
  r.chain = a.text(NFTA_RULE_CHAIN).value_or("");
  r.handle = a.be64(NFTA_RULE_HANDLE).value_or(0);
  r.text = text;
  if (const auto list = a.raw(NFTA_RULE_EXPRESSIONS)) {
    r.expressions.assign(list->begin(), list->end());
    // Without nft's words: the kinds of its expressions.
    std::string kinds;
    if (!for_each_attr(*list, [&kinds](const nlattr& element) {
          Attrs<NFTA_EXPR_MAX> e(payload(element), "expression");
          if (const auto kind = e.text(NFTA_EXPR_NAME, 31)) kinds += "[" + *kind + "] ";
        }))
      a.wrong("the list of expressions is cut short");
    if (!kinds.empty()) kinds.pop_back();
    if (r.text.empty()) r.text = std::move(kinds);
  }
  if (!a.error().empty()) return fail(a.error());
  if (r.table.empty() || r.chain.empty()) return fail("no chain");
  return Decoded{.what = std::move(r)};
}

Result<Decoded> decode_nft_object(Bytes bytes) {
  nfgenmsg h{};
  if (take_header(bytes, h) == nullptr) return fail("cut short");
  Attrs<NFTA_OBJ_MAX> a(bytes.subspan(sizeof h), "object");
  NftObjectSpec o;
  o.family = h.nfgen_family;
  o.table = a.text(NFTA_OBJ_TABLE).value_or("");
  o.name = a.text(NFTA_OBJ_NAME).value_or("");
  o.handle = a.be64(NFTA_OBJ_HANDLE).value_or(0);
  o.type = a.be32(NFTA_OBJ_TYPE).value_or(0);
  if (const auto data = a.raw(NFTA_OBJ_DATA)) o.data.assign(data->begin(), data->end());
  if (!a.error().empty()) return fail(a.error());
  if (o.table.empty() || o.name.empty()) return fail("no name");
  return Decoded{.what = std::move(o)};
}

}  // namespace txp
