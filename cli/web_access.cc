// SPDX-License-Identifier: Apache-2.0
#include "cli/web_access.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <sys/stat.h>

#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <fstream>

namespace txp::cli {
namespace {

constexpr std::size_t kLeastToken = 16;  // characters

bool is_loopback(const std::string& host) {
  in_addr four{};
  if (::inet_pton(AF_INET, host.c_str(), &four) == 1) return ntohl(four.s_addr) >> 24 == 127;
  in6_addr six{};
  return ::inet_pton(AF_INET6, host.c_str(), &six) == 1 && IN6_IS_ADDR_LOOPBACK(&six) != 0;
}

bool same(std::string_view a, std::string_view b) {
  if (a.size() != b.size()) return false;
  unsigned differ = 0;
  for (std::size_t i = 0; i < a.size(); ++i) differ |= static_cast<unsigned>(a[i] ^ b[i]);
  return differ == 0;
}

std::string base64(std::string_view bytes) {
  constexpr char kDigits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    unsigned group = 0;
    for (std::size_t k = 0; k < 3; ++k)
      group = group << 8 | (i + k < bytes.size() ? static_cast<unsigned char>(bytes[i + k]) : 0U);
    for (std::size_t k = 0; k < 4; ++k)
      out += i + k > bytes.size() ? '=' : kDigits[group >> (18 - 6 * k) & 63];
  }
  return out;
}

// "[::1]:9188", "localhost", "127.0.0.1:80": what stands before the port.
std::string host_of(std::string_view header) {
  if (header.starts_with('[')) return std::string(header.substr(1, header.find(']') - 1));
  return std::string(header.substr(0, header.rfind(':')));
}

}  // namespace

bool ListenAddress::loopback() const { return is_loopback(host); }

std::string ListenAddress::url(int real_port) const {
  return fmt::format("http://{}:{}/", ip6() ? "[" + host + "]" : host, real_port);
}

Result<ListenAddress> parse_listen(std::string_view text) {
  const auto wrong = [&] {
    return fail(fmt::format("--listen {}: ADDR:PORT is wanted, as in 127.0.0.1:9188", text));
  };
  const auto colon = text.rfind(':');
  if (colon == std::string_view::npos) return wrong();
  ListenAddress a;
  a.host = text.substr(0, colon);
  const bool brackets = a.host.starts_with('[') && a.host.ends_with(']');
  if (brackets) a.host = a.host.substr(1, a.host.size() - 2);
  in6_addr any{};
  if (::inet_pton(brackets ? AF_INET6 : AF_INET, a.host.c_str(), &any) != 1) return wrong();
  const std::string_view port = text.substr(colon + 1);
  const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), a.port);
  if (error != std::errc() || end != port.data() + port.size() || a.port < 0 || a.port > 65535)
    return wrong();
  return a;
}

Result<std::string> read_secret(const std::string& file, const std::string& option,
                                const char* variable) {
  std::string secret;
  if (!file.empty()) {
    const std::string from = option + " " + file;
    struct stat st{};
    std::ifstream in(file);
    if (!in || ::stat(file.c_str(), &st) != 0)
      return fail(fmt::format("{}: {}", from, std::strerror(errno)));
    if ((st.st_mode & S_IRWXO) != 0)
      return fail(fmt::format("{}: others can read it, chmod o= it first", from));
    std::getline(in, secret);
  } else if (const char* set = std::getenv(variable); set != nullptr) {
    secret = set;
  }
  while (secret.ends_with('\r') || secret.ends_with(' ')) secret.pop_back();
  return secret;
}

Result<std::string> read_token(const std::string& file) {
  constexpr const char* kVariable = "TXPATH_TOKEN";
  const std::string option = "--token-file";
  auto token = read_secret(file, option, kVariable);
  if (!token || (file.empty() && std::getenv(kVariable) == nullptr)) return token;
  if (token->size() < kLeastToken)
    return fail(
        fmt::format("{}: a token of at least {} characters is wanted, as from openssl rand -hex 16",
                    file.empty() ? kVariable : option + " " + file, kLeastToken));
  return token;
}

Access check_access(std::string_view token, std::string_view host, std::string_view authorization) {
  if (!token.empty()) {
    const bool bearer = same(authorization, fmt::format("Bearer {}", token));
    const bool basic =
        same(authorization, fmt::format("Basic {}", base64(fmt::format("txpath:{}", token))));
    return bearer || basic ? Access::granted : Access::no_token;
  }
  const std::string name = host_of(host);
  return name == "localhost" || is_loopback(name) ? Access::granted : Access::wrong_host;
}

}  // namespace txp::cli
