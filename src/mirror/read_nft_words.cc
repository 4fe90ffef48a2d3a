// SPDX-License-Identifier: Apache-2.0
// nft's own words for a ruleset, by libnftables where the host has it. The library is opened at
// run time: explaining works without it, only in fewer words.
#include <charconv>

#include <dlfcn.h>
#include <fmt/format.h>

#include "mirror/namespace_reader.h"

namespace txp {

namespace {

// nftables/libnftables.h.
struct nft_ctx;
constexpr std::uint32_t kRuleset = 0;     // NFT_CTX_DEFAULT
constexpr unsigned kStateless = 1U << 2;  // NFT_CTX_OUTPUT_STATELESS
constexpr unsigned kHandle = 1U << 3;     // NFT_CTX_OUTPUT_HANDLE

struct Library {
  void* handle = dlopen("libnftables.so.1", RTLD_NOW | RTLD_LOCAL);
  ~Library() {
    if (handle != nullptr) dlclose(handle);
  }
  template <typename Function>
  Function* find(const char* name) const {
    return handle == nullptr ? nullptr : reinterpret_cast<Function*>(dlsym(handle, name));
  }
};

std::string_view trim(std::string_view s) {
  while (!s.empty() && (s.front() == ' ' || s.front() == '\t')) s.remove_prefix(1);
  while (!s.empty() && (s.back() == ' ' || s.back() == '\t')) s.remove_suffix(1);
  return s;
}

// "… # handle 7" to "…" and 7; nothing when the line has no handle.
std::optional<std::uint64_t> cut_handle(std::string_view& line) {
  constexpr std::string_view kMark = " # handle ";
  const std::size_t at = line.rfind(kMark);
  if (at == std::string_view::npos) return std::nullopt;
  const std::string_view digits = line.substr(at + kMark.size());
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
  if (error != std::errc{} || end != digits.data() + digits.size()) return std::nullopt;
  line = trim(line.substr(0, at));
  return number;
}

}  // namespace

// Tables stand at no tab, chains at one, their hook and rules at two; a rule's long set goes on
// over more lines.
NftWords parse_nft_listing(std::string_view listing) {
  NftWords words;
  std::string table;  // "inet filter"
  std::string chain;
  std::string rule;
  while (!listing.empty()) {
    std::string_view line = listing.substr(0, listing.find('\n'));
    listing.remove_prefix(std::min(line.size() + 1, listing.size()));
    std::size_t tabs = 0;
    while (tabs < line.size() && line[tabs] == '\t') ++tabs;
    line = trim(line);
    if (line.empty()) continue;
    if (tabs == 0 && line.starts_with("table ")) {
      table = line.substr(6, line.find(" {") - 6);
    } else if (tabs == 1) {
      chain = line.starts_with("chain ") ? line.substr(6, line.find(" {") - 6) : std::string_view();
      rule.clear();
    } else if (tabs >= 2 && !chain.empty()) {
      if (tabs == 2 && rule.empty() && line.starts_with("type ") && line.ends_with(';')) {
        words.chains[fmt::format("{} {}", table, chain)] = line;
        continue;
      }
      if (!rule.empty()) rule += ' ';
      const auto handle = cut_handle(line);
      rule += line;
      if (!handle) continue;
      words.rules[fmt::format("{} {}", table, *handle)] = rule;
      rule.clear();
    }
  }
  return words;
}

NftWords read_nft_words() {
  const Library library;
  auto* make = library.find<nft_ctx*(std::uint32_t)>("nft_ctx_new");
  auto* end = library.find<void(nft_ctx*)>("nft_ctx_free");
  auto* buffer_output = library.find<int(nft_ctx*)>("nft_ctx_buffer_output");
  auto* buffer_error = library.find<int(nft_ctx*)>("nft_ctx_buffer_error");
  auto* set_flags = library.find<void(nft_ctx*, unsigned)>("nft_ctx_output_set_flags");
  auto* output = library.find<const char*(nft_ctx*)>("nft_ctx_get_output_buffer");
  auto* run = library.find<int(nft_ctx*, const char*)>("nft_run_cmd_from_buffer");
  if (make == nullptr || end == nullptr || buffer_output == nullptr || buffer_error == nullptr ||
      set_flags == nullptr || output == nullptr || run == nullptr)
    return {};
  nft_ctx* context = make(kRuleset);
  if (context == nullptr) return {};
  NftWords words;
  set_flags(context, kStateless | kHandle);
  if (buffer_output(context) == 0 && buffer_error(context) == 0 &&
      run(context, "list ruleset") == 0)
    if (const char* text = output(context)) words = parse_nft_listing(text);
  end(context);
  return words;
}

}  // namespace txp
