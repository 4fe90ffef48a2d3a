// SPDX-License-Identifier: Apache-2.0
// The kernel registers connection tracking's hooks while some rule of the namespace needs them, and
// says so nowhere that every kernel has. So: it is on when something is tracked now, when a rule or
// chain of nf_tables needs it (an expression or a chain type of nf_conntrack or nf_nat), or a table
// of iptables-legacy does. What cannot be read counts as on.
#include "run/conntrack.h"

#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "mirror/netlink.h"
#include "mirror/read_file.h"

namespace txp {
namespace {

constexpr std::uint16_t nft_message(unsigned message) {
  return static_cast<std::uint16_t>((NFNL_SUBSYS_NFTABLES << 8) | message);
}

bool contains(std::span<const std::uint8_t> bytes, std::string_view text) {
  return std::ranges::search(bytes, text).begin() != bytes.end();
}

// Names stand in the messages as strings with a final zero.
bool names_one_of(std::span<const std::uint8_t> bytes, std::span<const std::string_view> names) {
  return std::ranges::any_of(names, [&](std::string_view n) { return contains(bytes, n); });
}

// Whether any object of a dump has one of `names` among its strings; on errors, whether the kernel
// has such objects at all.
bool nft_names(unsigned get, std::span<const std::string_view> names) {
  auto opened = NlSocket::open(NETLINK_NETFILTER);
  if (!opened) return opened.error() != EPROTONOSUPPORT;
  NlRequest r(nft_message(get), 0);
  auto* h = r.put_header<nfgenmsg>();
  h->nfgen_family = AF_UNSPEC;
  h->version = NFNETLINK_V0;
  const auto all = opened->dump(r);
  if (!all) return all.error() != EOPNOTSUPP && all.error() != EINVAL && all.error() != ENOENT;
  bool found = false;
  all->for_each([&](const nlmsghdr&, std::span<const std::uint8_t> bytes) {
    found = names_one_of(bytes, names);
    return !found;
  });
  return found;
}

using namespace std::string_view_literals;
// Expressions, and objects' types, that make nf_tables ask for connection tracking.
constexpr std::array kExpressions = {
    "\0ct\0"sv,           "\0nat\0"sv,       "\0masq\0"sv,     "\0redir\0"sv, "\0notrack\0"sv,
    "\0flow_offload\0"sv, "\0connlimit\0"sv, "\0synproxy\0"sv, "\0match\0"sv, "\0target\0"sv};
// Expressions that leave something behind: in a counter, a log, a set, another queue.
constexpr std::array kAccounts = {"\0counter\0"sv,   "\0limit\0"sv,  "\0quota\0"sv,  "\0log\0"sv,
                                  "\0last\0"sv,      "\0dynset\0"sv, "\0objref\0"sv, "\0numgen\0"sv,
                                  "\0connlimit\0"sv, "\0dup\0"sv,    "\0fwd\0"sv,    "\0queue\0"sv};
constexpr std::array kChainTypes = {"\0nat\0"sv};

// struct ipt_getinfo and ipt_get_entries, as in mirror/read_rulesets.cc.
struct LegacyTableInfo {
  char name[32];
  std::uint32_t unused[11];
  std::uint32_t num_entries;
  std::uint32_t size;
};

bool legacy_names_conntrack() {
  const auto names = read_file("/proc/thread-self/net/ip_tables_names");
  if (!names || names->empty()) return false;
  if (("\n" + *names).find("\nnat\n") != std::string::npos) return true;
  const int fd = ::socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW);
  if (fd < 0) return true;
  bool found = false;
  std::size_t from = 0;
  while (!found && from < names->size()) {
    const std::size_t end = std::min(names->find('\n', from), names->size());
    const std::string table = names->substr(from, end - from);
    from = end + 1;
    LegacyTableInfo info{};
    table.copy(info.name, sizeof info.name - 1);
    socklen_t len = sizeof info;
    constexpr int kGetInfo = 64;
    constexpr int kGetEntries = 65;
    constexpr std::size_t kHead = 40;
    constexpr std::uint32_t kMost = 64U << 20;
    if (::getsockopt(fd, IPPROTO_IP, kGetInfo, &info, &len) != 0 || info.size > kMost) {
      found = true;
      break;
    }
    std::vector<std::uint8_t> entries(kHead + info.size);
    std::ranges::copy(table, entries.begin());
    std::memcpy(entries.data() + 32, &info.size, sizeof info.size);
    len = static_cast<socklen_t>(entries.size());
    static constexpr std::array kMatches = {"conn"sv,     "state\0"sv,  "CT\0"sv,   "CONN"sv,
                                            "helper\0"sv, "SYNPROXY"sv, "NOTRACK"sv};
    found = ::getsockopt(fd, IPPROTO_IP, kGetEntries, entries.data(), &len) != 0 ||
            names_one_of(std::span<const std::uint8_t>(entries).subspan(kHead), kMatches);
  }
  ::close(fd);
  return found;
}

}  // namespace

bool Conntrack::is_on(bool changed) {
  if (changed || !looked_) {
    by_nft_ = nft_names(NFT_MSG_GETCHAIN, kChainTypes) || nft_names(NFT_MSG_GETRULE, kExpressions);
    accounts_ = nft_names(NFT_MSG_GETRULE, kAccounts);
  }
  looked_ = true;
  const auto count = read_file("/proc/sys/net/netfilter/nf_conntrack_count");
  if (!count) return false;  // not in this kernel
  if (by_nft_ || (!count->empty() && (*count)[0] != '0')) return true;
  return legacy_names_conntrack();
}

}  // namespace txp
