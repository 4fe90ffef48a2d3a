// SPDX-License-Identifier: Apache-2.0
// The server of `txpath serve`: the live page, metrics and JSON over HTTP. It only answers; no
// request changes anything.
#pragma once

#include <memory>
#include <string>

#include "base/result.h"
#include "cli/stat_source.h"
#include "cli/web_access.h"

namespace txp::cli {

struct WebOptions {
  ListenAddress listen;
  std::string token;  // "": none is asked for
  StatSource source = StatSource::automatic;
};

// Thread safety: stop() from any thread, the rest from one.
class WebServer {
 public:
  // `reader` outlives it.
  WebServer(WebOptions options, StatReader& reader);
  ~WebServer();
  WebServer(const WebServer&) = delete;
  WebServer& operator=(const WebServer&) = delete;

  // Binds, in the calling thread's namespace. Answers the port. Errors: in use, no such address.
  [[nodiscard]] Result<int> bind();
  // Answers requests until stop(); about the namespace of the thread that calls this.
  void run();
  void stop();

 private:
  struct Http;  // keeps the library out of this header
  const WebOptions options_;
  StatReader& reader_;
  std::unique_ptr<Http> http_;
};

// The page, as web/ builds it.
extern const std::string_view kPage;

}  // namespace txp::cli
