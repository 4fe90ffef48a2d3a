// SPDX-License-Identifier: Apache-2.0
// nf_tables' sets and their elements.
// Kernel twin: net/netfilter/nf_tables_api.c (nf_tables_fill_set(), nf_tables_fill_setelem()).
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>

#include "mirror/attrs.h"
#include "mirror/decode.h"

namespace txp {

namespace {

constexpr std::size_t kMostKey = 64;  // NFT_DATA_VALUE_MAXLEN

std::vector<std::uint8_t> copy(std::optional<Bytes> b) {
  return b ? std::vector<std::uint8_t>(b->begin(), b->end()) : std::vector<std::uint8_t>{};
}

// NFTA_DATA_VALUE inside `nested`; empty when there is none.
std::vector<std::uint8_t> data_value(std::optional<Bytes> nested) {
  if (!nested) return {};
  Attrs<NFTA_DATA_MAX> a(*nested);
  return copy(a.raw(NFTA_DATA_VALUE));
}

// The older attribute has one expression, the newer a list; both become a list.
std::vector<std::uint8_t> expressions(std::optional<Bytes> list, std::optional<Bytes> single) {
  if (list || !single) return copy(list);
  std::vector<std::uint8_t> wrapped(sizeof(nlattr));
  nlattr h{};
  h.nla_len = static_cast<std::uint16_t>(sizeof h + single->size());
  h.nla_type = NFTA_LIST_ELEM | NLA_F_NESTED;
  if (single->size() > 0xffff - sizeof h) return {};
  std::memcpy(wrapped.data(), &h, sizeof h);
  wrapped.insert(wrapped.end(), single->begin(), single->end());
  return wrapped;
}

void fields_of(Bytes desc, NftSetSpec& s) {
  Attrs<NFTA_SET_DESC_MAX> d(desc, "description");
  s.size = d.be32(NFTA_SET_DESC_SIZE).value_or(0);
  const auto concat = d.raw(NFTA_SET_DESC_CONCAT);
  if (!concat) return;
  (void)for_each_attr(*concat, [&s](const nlattr& field) {
    Attrs<NFTA_SET_FIELD_MAX> f(payload(field));
    s.fields.push_back(f.be32(NFTA_SET_FIELD_LEN).value_or(0));
  });
}

bool fields_fit(const NftSetSpec& s) {
  std::size_t sum = 0;
  for (const std::uint32_t len : s.fields) {
    if (len == 0 || len > kMostKey) return false;
    sum += (len + 3) & ~3U;
  }
  return s.fields.empty() || (s.fields.size() <= 16 && sum == ((s.key_len + 3) & ~3U));
}

NftElemSpec element(Bytes bytes) {
  Attrs<NFTA_SET_ELEM_MAX> a(bytes, "element");
  NftElemSpec e;
  e.flags = a.be32(NFTA_SET_ELEM_FLAGS).value_or(0);
  e.key = data_value(a.raw(NFTA_SET_ELEM_KEY));
  e.key_end = data_value(a.raw(NFTA_SET_ELEM_KEY_END));
  if (const auto data = a.raw(NFTA_SET_ELEM_DATA)) {
    e.data = data_value(data);
    Attrs<NFTA_DATA_MAX> d(*data);
    if (const auto nested = d.raw(NFTA_DATA_VERDICT)) {
      Attrs<NFTA_VERDICT_MAX> v(*nested);
      e.verdict = static_cast<std::int32_t>(v.be32(NFTA_VERDICT_CODE).value_or(NF_DROP));
      e.chain = v.text(NFTA_VERDICT_CHAIN).value_or("");
    }
  }
  e.object = a.text(NFTA_SET_ELEM_OBJREF).value_or("");
  e.timeout = a.be64(NFTA_SET_ELEM_TIMEOUT).value_or(0);
  if (const auto left = a.be64(NFTA_SET_ELEM_EXPIRATION)) {
    constexpr std::uint64_t kCentury = 1000ULL * 3600 * 24 * 36500;  // ms
    e.expires = static_cast<std::int64_t>(std::min(*left, kCentury));
  }
  e.expressions = expressions(a.raw(NFTA_SET_ELEM_EXPRESSIONS), a.raw(NFTA_SET_ELEM_EXPR));
  return e;
}

}  // namespace

Result<Decoded> decode_nft_set(Bytes bytes) {
  nfgenmsg h{};
  if (take_header(bytes, h) == nullptr) return fail("cut short");
  Attrs<NFTA_SET_MAX> a(bytes.subspan(sizeof h), "set");
  NftSetSpec s;
  s.family = h.nfgen_family;
  s.table = a.text(NFTA_SET_TABLE).value_or("");
  s.name = a.text(NFTA_SET_NAME).value_or("");
  s.handle = a.be64(NFTA_SET_HANDLE).value_or(0);
  s.flags = a.be32(NFTA_SET_FLAGS).value_or(0);
  s.key_len = a.be32(NFTA_SET_KEY_LEN).value_or(0);
  s.data_len = a.be32(NFTA_SET_DATA_LEN).value_or(0);
  s.verdicts = a.be32(NFTA_SET_DATA_TYPE).value_or(0) == NFT_DATA_VERDICT;
  s.timeout = a.be64(NFTA_SET_TIMEOUT).value_or(0);
  if (const auto desc = a.raw(NFTA_SET_DESC)) fields_of(*desc, s);
  s.expressions = expressions(a.raw(NFTA_SET_EXPRESSIONS), a.raw(NFTA_SET_EXPR));
  if (!a.error().empty()) return fail(a.error());
  if (s.table.empty() || s.name.empty()) return fail("no name");
  if (s.key_len == 0 || s.key_len > kMostKey) return fail("a key of a wrong length");
  if (s.verdicts || (s.flags & NFT_SET_MAP) == 0) s.data_len = 0;
  if (s.data_len > kMostKey) return fail("data of a wrong length");
  if (!fields_fit(s)) return fail("fields of a wrong length");
  return Decoded{.what = std::move(s)};
}

Result<Decoded> decode_nft_elems(Bytes bytes) {
  nfgenmsg h{};
  if (take_header(bytes, h) == nullptr) return fail("cut short");
  Attrs<NFTA_SET_ELEM_LIST_MAX> a(bytes.subspan(sizeof h), "elements");
  NftElemsSpec l;
  l.family = h.nfgen_family;
  l.table = a.text(NFTA_SET_ELEM_LIST_TABLE).value_or("");
  l.set = a.text(NFTA_SET_ELEM_LIST_SET).value_or("");
  if (const auto list = a.raw(NFTA_SET_ELEM_LIST_ELEMENTS))
    if (!for_each_attr(*list, [&l](const nlattr& e) { l.elems.push_back(element(payload(e))); }))
      a.wrong("the list is cut short");
  if (!a.error().empty()) return fail(a.error());
  if (l.table.empty() || l.set.empty()) return fail("no name");
  return Decoded{.what = std::move(l)};
}

}  // namespace txp
