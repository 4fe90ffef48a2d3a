// SPDX-License-Identifier: Apache-2.0
#include "cli/question.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cstring>

#include "cli/command.h"

namespace txp::cli {
namespace {

Result<std::vector<std::uint8_t>> read_payload(const std::string& name) {
  const auto fail_errno = [&] {
    return fail(fmt::format("data {}: {}", name, std::strerror(errno)));
  };
  const int fd = name == "-" ? ::dup(STDIN_FILENO) : ::open(name.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return fail_errno();
  std::vector<std::uint8_t> bytes(kMaxLen + 1);
  std::size_t len = 0;
  ssize_t n = 0;
  while (len < bytes.size()) {
    n = ::read(fd, bytes.data() + len, bytes.size() - len);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) break;
    len += static_cast<std::size_t>(n);
  }
  if (n < 0) {
    const int error = errno;
    ::close(fd);
    errno = error;
    return fail_errno();
  }
  ::close(fd);
  if (len > kMaxLen)
    return fail(
        fmt::format("data {}: more than {} bytes, no datagram is that long", name, kMaxLen));
  bytes.resize(len);
  return bytes;
}

Result<std::vector<std::uint8_t>> payload_of(const FlowQuestion& q) {
  if (!q.data.empty()) return read_payload(q.data);
  return std::vector<std::uint8_t>(q.len.value_or(kDefaultLen), 0);
}

}  // namespace

constinit const std::string_view kWordsText =
    R"(words:
  udp [from ADDR[:PORT]] to ADDR:PORT [oif DEV] [mark N] [tos N] [uid N] [ttl N]
      [len BYTES | data FILE] [df do|dont|want|probe] [gso SIZE] [broadcast]
  tcp [from ADDR[:PORT]] to ADDR:PORT [oif DEV] [mark N] [tos N] [uid N] [ttl N]
      [df do|dont|want|probe]
  in any order after udp or tcp; numbers decimal or 0x; without len and data 100 bytes of zeros;
  data - reads standard input; tcp asks about the SYN of connect())";

Result<Question> question_of(std::span<const std::string> words) {
  if (words.empty() || (words[0] != "udp" && words[0] != "tcp"))
    return fail("the first word must be udp or tcp, as in udp to 10.0.0.2:53");
  const FlowProto proto = words[0] == "tcp" ? FlowProto::tcp : FlowProto::udp;
  auto flow = parse_flow_question(words.subspan(1), PayloadWords::yes, proto);
  if (!flow) return std::unexpected(flow.error());
  auto payload = payload_of(*flow);
  if (!payload) return std::unexpected(payload.error());
  return Question{std::move(*flow), std::move(*payload)};
}

int exit_code(const Explanation& x) {
  if (!x.conserved)
    return internal_error("packets sent are not those delivered, dropped and queued");
  switch (x.verdict) {
    case Verdict::sent:
    case Verdict::queued: return kOk;
    case Verdict::unknown: return kUnknownExit;
    default: return kNegative;
  }
}

}  // namespace txp::cli
