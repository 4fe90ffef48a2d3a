// SPDX-License-Identifier: Apache-2.0
// Packet filters and IPsec: nf_tables, iptables-legacy, IPVS, netfilter BPF links, XFRM.
#include <array>
#include <cerrno>
#include <cstring>

#include <fmt/format.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <linux/xfrm.h>
#include <sys/socket.h>
#include <unistd.h>

#include "mirror/attrs.h"
#include "mirror/namespace_reader.h"
#include "mirror/read_file.h"

namespace txp {

namespace {

bool is_absent(int error) {
  return error == EPROTONOSUPPORT || error == EOPNOTSUPP || error == EINVAL || error == ENOENT ||
         error == EAFNOSUPPORT;
}

constexpr std::uint16_t nft_type(unsigned message) {
  return static_cast<std::uint16_t>((NFNL_SUBSYS_NFTABLES << 8) | message);
}

// An iptables-legacy table and where its chains hang (net/ipv4/netfilter/iptable_*.c).
struct LegacyTable {
  std::string_view name;
  int out_priority;
  int post_priority;  // kNone: no POSTROUTING chain
};
constexpr int kNone = 0x7fffffff;
constexpr auto kLegacy = std::to_array<LegacyTable>({{"raw", -300, kNone},
                                                     {"mangle", -150, -150},
                                                     {"nat", -100, 100},
                                                     {"filter", 0, kNone},
                                                     {"security", 50, kNone}});

// struct ipt_getinfo and struct ipt_get_entries (linux/netfilter_ipv4/ip_tables.h, which C++ does
// not take).
struct LegacyInfo {
  char name[32];
  std::uint32_t valid_hooks;
  std::uint32_t hook_entry[5];
  std::uint32_t underflow[5];
  std::uint32_t num_entries;
  std::uint32_t size;
};
constexpr int kGetInfo = 64;     // IPT_SO_GET_INFO
constexpr int kGetEntries = 65;  // IPT_SO_GET_ENTRIES
constexpr std::size_t kEntriesAt = 40;
constexpr std::size_t kTargetOffsetAt = 88;  // in struct ipt_entry
constexpr std::size_t kVerdictAt = 32;       // behind struct xt_entry_target

// Whether the chain of `hook` has no rule and the policy ACCEPT. Nothing: it cannot be told.
std::optional<bool> legacy_chain_passes(int fd, std::string_view table, unsigned hook) {
  LegacyInfo info{};
  table.copy(info.name, sizeof info.name - 1);
  socklen_t len = sizeof info;
  if (getsockopt(fd, IPPROTO_IP, kGetInfo, &info, &len) != 0 || len != sizeof info)
    return std::nullopt;
  if (!(info.valid_hooks & (1U << hook))) return true;
  if (info.hook_entry[hook] != info.underflow[hook]) return false;
  if (info.size > 64U * 1024 * 1024) return std::nullopt;
  std::vector<std::uint8_t> entries(kEntriesAt + info.size);
  table.copy(static_cast<char*>(static_cast<void*>(entries.data())), 31);
  std::memcpy(entries.data() + 32, &info.size, sizeof info.size);
  len = static_cast<socklen_t>(entries.size());
  if (getsockopt(fd, IPPROTO_IP, kGetEntries, entries.data(), &len) != 0) return std::nullopt;
  const std::size_t entry = kEntriesAt + info.underflow[hook];
  if (entry + kTargetOffsetAt + 2 > entries.size()) return std::nullopt;
  std::uint16_t target = 0;
  std::memcpy(&target, entries.data() + entry + kTargetOffsetAt, sizeof target);
  std::int32_t verdict = 0;
  if (entry + target + kVerdictAt + sizeof verdict > entries.size()) return std::nullopt;
  std::memcpy(&verdict, entries.data() + entry + target + kVerdictAt, sizeof verdict);
  return verdict == -NF_ACCEPT - 1;
}

struct OwnedMessage {
  MessageType type;
  std::vector<std::uint8_t> raw;
};

// NFT_MSG_GETGEN; nothing where the kernel does not tell.
std::optional<std::uint32_t> nft_generation(NlSocket& s) {
  NlRequest r(nft_type(NFT_MSG_GETGEN), 0);
  r.put_header<nfgenmsg>()->nfgen_family = AF_UNSPEC;
  const auto answer = s.ask(r);
  if (!answer) return std::nullopt;
  std::optional<std::uint32_t> generation;
  answer->for_each([&](const nlmsghdr&, Bytes bytes) {
    Attrs<NFTA_GEN_MAX> a(
        bytes.subspan(std::min(bytes.size(), sizeof(nlmsghdr) + sizeof(nfgenmsg))));
    generation = a.be32(NFTA_GEN_ID);
    return false;
  });
  return generation;
}

// One dump into `into`. A positive errno; 0: done.
int dump_nft_kind(NlSocket& s, NlRequest& r, MessageType type, std::vector<OwnedMessage>& into) {
  const auto all = s.dump(r);
  if (!all) return all.error();
  all->for_each([&](const nlmsghdr&, Bytes bytes) {
    into.push_back({type, {bytes.begin(), bytes.end()}});
    return true;
  });
  return 0;
}

// The whole ruleset: sets' elements are dumped set by set.
int dump_nft(NlSocket& s, std::vector<OwnedMessage>& into) {
  struct Kind {
    unsigned get;
    MessageType type;
  };
  static constexpr std::array<Kind, 5> kKinds{{{NFT_MSG_GETTABLE, MessageType::nft_table},
                                               {NFT_MSG_GETCHAIN, MessageType::nft_chain},
                                               {NFT_MSG_GETOBJ, MessageType::nft_object},
                                               {NFT_MSG_GETSET, MessageType::nft_set},
                                               {NFT_MSG_GETRULE, MessageType::nft_rule}}};
  for (const Kind& kind : kKinds) {
    NlRequest r(nft_type(kind.get), 0);
    auto* h = r.put_header<nfgenmsg>();
    h->nfgen_family = AF_UNSPEC;
    h->version = NFNETLINK_V0;
    if (const int error = dump_nft_kind(s, r, kind.type, into); error != 0) return error;
    if (into.empty()) return 0;  // no table
  }
  const std::size_t known = into.size();
  for (std::size_t i = 0; i < known; ++i) {
    if (into[i].type != MessageType::nft_set) continue;
    const auto decoded = decode({MessageType::nft_set, into[i].raw, {}});
    if (!decoded) continue;  // told when it is taken
    const auto& set = std::get<NftSetSpec>(decoded->what);
    NlRequest r(nft_type(NFT_MSG_GETSETELEM), 0);
    auto* h = r.put_header<nfgenmsg>();
    h->nfgen_family = set.family;
    h->version = NFNETLINK_V0;
    mnl_attr_put_strz(r.header(), NFTA_SET_ELEM_LIST_TABLE, set.table.c_str());
    mnl_attr_put_strz(r.header(), NFTA_SET_ELEM_LIST_SET, set.name.c_str());
    if (const int error = dump_nft_kind(s, r, MessageType::nft_elems, into); error != 0)
      return error;
  }
  return 0;
}

// Hands a message on with nft's words for it.
Result<void> take_worded(const OwnedMessage& owned, const NftWords& words,
                         const MessageTaker& take) {
  Message m{owned.type, owned.raw, {}};
  if (m.type == MessageType::nft_chain || m.type == MessageType::nft_rule) {
    auto decoded = decode(m);
    if (!decoded) return std::unexpected(decoded.error());
    if (const auto* c = std::get_if<NftChain>(&decoded->what)) {
      const auto found =
          words.chains.find(fmt::format("{} {} {}", nft_family_name(c->family), c->table, c->name));
      if (found != words.chains.end()) m.text = found->second;
    } else if (const auto* rule = std::get_if<NftRule>(&decoded->what)) {
      const auto found = words.rules.find(
          fmt::format("{} {} {}", nft_family_name(rule->family), rule->table, rule->handle));
      if (found != words.rules.end()) m.text = found->second;
    }
    return take(m);
  }
  return take(m);
}

}  // namespace

Result<void> NamespaceReader::read_nft(const MessageTaker& take) {
  const auto unreadable = [&](int error) -> Result<void> {
    if (is_absent(error)) return {};  // no nf_tables in this kernel
    // A ruleset may be there: nobody knows what it does with a packet.
    for (const NfHook hook : {NfHook::local_out, NfHook::post_routing}) {
      const ForeignHook h{
          hook, 0, "nftables",
          fmt::format("the nf_tables ruleset cannot be read: {}", std::strerror(error))};
      if (auto taken = take_own(MessageType::nf_hook, encode(h), take); !taken) return taken;
    }
    return {};
  };
  auto opened = NlSocket::open(NETLINK_NETFILTER);
  if (!opened) return unreadable(opened.error());
  // A dump may be of one ruleset and the next of another: the generation tells.
  for (int attempt = 0; attempt < NlSocket::kDumpAttempts; ++attempt) {
    const auto before = nft_generation(*opened);
    std::vector<OwnedMessage> all;
    if (const int error = dump_nft(*opened, all); error == EAGAIN || error == ENOENT)
      continue;  // changed under the dump: a set that is gone
    else if (error == EPERM || is_absent(error))
      return unreadable(error);
    else if (error != 0)
      return fail(fmt::format("the dump of nf_tables failed: {}", std::strerror(error)));
    NftWords words;
    if (!all.empty()) words = read_nft_words();
    if (nft_generation(*opened) != before) continue;
    for (const OwnedMessage& m : all)
      if (auto taken = take_worded(m, words, take); !taken) return taken;
    return {};
  }
  return fail("the dump of nf_tables was interrupted again and again");
}

Result<void> NamespaceReader::read_foreign_hooks(const MessageTaker& take) {
  const auto give = [&](const ForeignHook& h) {
    return take_own(MessageType::nf_hook, encode(h), take);
  };
  const auto names = read_file("/proc/thread-self/net/ip_tables_names");
  if (names && !names->empty()) {
    const int fd = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW);
    for (const LegacyTable& t : kLegacy) {
      if (("\n" + *names).find(fmt::format("\n{}\n", t.name)) == std::string::npos) continue;
      struct Chain {
        NfHook hook;
        unsigned number;
        int priority;
        std::string_view name;
      };
      const std::array<Chain, 2> chains{
          {{NfHook::local_out, NF_INET_LOCAL_OUT, t.out_priority, "OUTPUT"},
           {NfHook::post_routing, NF_INET_POST_ROUTING, t.post_priority, "POSTROUTING"}}};
      for (const Chain& c : chains) {
        if (c.priority == kNone) continue;
        if (fd >= 0 && legacy_chain_passes(fd, t.name, c.number) == true) continue;
        if (auto taken = give({c.hook, c.priority, "iptables-legacy",
                               fmt::format("iptables-legacy -t {} chain {}", t.name, c.name)});
            !taken) {
          if (fd >= 0) close(fd);
          return taken;
        }
      }
    }
    if (fd >= 0) close(fd);
  }
  // ip6tables' tables: whether their chains let everything pass is not asked.
  const auto names6 = read_file("/proc/thread-self/net/ip6_tables_names");
  if (names6)
    for (const LegacyTable& t : kLegacy) {
      if (("\n" + *names6).find(fmt::format("\n{}\n", t.name)) == std::string::npos) continue;
      for (const auto& [hook, priority] : {std::pair(NfHook::local_out, t.out_priority),
                                           std::pair(NfHook::post_routing, t.post_priority)}) {
        if (priority == kNone) continue;
        if (auto taken = give({hook, priority, "ip6tables-legacy",
                               fmt::format("ip6tables-legacy -t {}", t.name)});
            !taken)
          return taken;
      }
    }
  // IPVS: three lines of heading, then its services.
  const auto ipvs = read_file("/proc/thread-self/net/ip_vs");
  if (ipvs && std::count(ipvs->begin(), ipvs->end(), '\n') > 3)
    if (auto taken = give({NfHook::local_out, -99, "ipvs", "IPVS has virtual services"}); !taken)
      return taken;
  return {};
}

Result<void> NamespaceReader::read_xfrm(const MessageTaker& take) {
  auto opened = NlSocket::open(NETLINK_XFRM);
  if (!opened) return {};  // no IPsec in this kernel
  NlRequest r(XFRM_MSG_GETPOLICY, 0);
  const auto all = opened->dump(r);
  if (!all) {
    if (all.error() == EPERM)
      warn("IPsec policies cannot be read without CAP_NET_ADMIN; none are assumed");
    else if (!is_absent(all.error()))
      return fail(fmt::format("the dump of IPsec policies failed: {}", std::strerror(all.error())));
    return {};
  }
  Result<void> result;
  all->for_each([&](const nlmsghdr& h, Bytes bytes) {
    if (h.nlmsg_type == XFRM_MSG_NEWPOLICY) result = take({MessageType::xfrm_policy, bytes, {}});
    return result.has_value();
  });
  if (!result) return result;
  NlRequest q(XFRM_MSG_GETDEFAULT, 0);
  q.put_header<xfrm_userpolicy_default>();
  const auto answer = opened->ask(q);
  if (!answer) return {};  // before 5.15: always to allow
  answer->for_each([&](const nlmsghdr&, Bytes bytes) {
    xfrm_userpolicy_default d{};
    if (bytes.size() < sizeof(nlmsghdr) + sizeof d) return false;
    std::memcpy(&d, bytes.data() + sizeof(nlmsghdr), sizeof d);
    if (d.out == XFRM_USERPOLICY_BLOCK)
      result = take_own(MessageType::obstacle,
                        encode(PathObstacle{Stage::ip_route_output_flow, "xfrm-default",
                                            "the default IPsec policy for what goes out is block"}),
                        take);
    return false;
  });
  return result;
}

}  // namespace txp
