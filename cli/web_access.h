// SPDX-License-Identifier: Apache-2.0
// Who may ask the server of `txpath serve`.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace txp::cli {

// "127.0.0.1:9188", "[::1]:9188"; port 0 takes a free one.
struct ListenAddress {
  std::string host;  // without brackets
  int port = 0;
  bool ip6() const { return host.find(':') != std::string::npos; }
  bool loopback() const;
  std::string url(int real_port) const;
};
[[nodiscard]] Result<ListenAddress> parse_listen(std::string_view text);

// The first line of a file that nobody else can read, which `option` named, or the environment
// variable's when `file` is empty; "": there is none. Errors: the file cannot be read, or is open
// to others.
[[nodiscard]] Result<std::string> read_secret(const std::string& file, const std::string& option,
                                              const char* variable);
// That of `--token-file FILE` or $TXPATH_TOKEN. Errors: also one that is too short.
[[nodiscard]] Result<std::string> read_token(const std::string& file);

enum class Access : std::uint8_t {
  granted,
  no_token,    // a token is wanted, and was not given
  wrong_host,  // a page of another site speaks through the user's browser (DNS rebinding)
};
// With a token, it must come as "Bearer TOKEN" or as the password of user txpath ("Basic …").
// Without one, only who calls this host by a loopback name is heard. Takes the same time for every
// wrong token of one length.
Access check_access(std::string_view token, std::string_view host, std::string_view authorization);

}  // namespace txp::cli
