// SPDX-License-Identifier: Apache-2.0
// txpath serve: counters as a live page, as metrics and as JSON, over HTTP.
#include <fmt/format.h>
#include <sched.h>
#include <signal.h>

#include <cerrno>
#include <cstring>
#include <thread>

#include "cli/command.h"
#include "cli/web_server.h"

namespace txp::cli {
namespace {

// Listens where the command was started, also when it tells about another namespace: a browser is
// rarely inside that one.
Result<int> bind_at_home(WebServer& server) {
  if (home_netns() < 0) return server.bind();
  Result<int> port = fail("");
  std::thread([&] {
    if (::setns(home_netns(), CLONE_NEWNET) != 0)
      port = fail(fmt::format("the first network namespace: {}", std::strerror(errno)));
    else
      port = server.bind();
  }).join();
  return port;
}

}  // namespace

int serve(const Arguments& arguments) {
  std::string listen = "127.0.0.1:9188";
  std::string token_file;
  std::string source;
  bool watch = false;
  CLI::App app(
      "Counters of this namespace as a live page, as Prometheus metrics and as JSON, until it is "
      "interrupted. No request changes anything.",
      "serve");
  app.add_option("--listen", listen, "where; 127.0.0.1:9188 by default, port 0 takes a free one")
      ->option_text("ADDR:PORT");
  app.add_option("--token-file", token_file,
                 "a file whose first line every request must show; or the variable TXPATH_TOKEN")
      ->option_text("FILE");
  app.add_option("--source", source, "whose counters; without it txpath's where one runs")
      ->check(CLI::IsMember({"txpath", "kernel"}))
      ->option_text("txpath|kernel");
  app.add_flag("--watch", watch,
               "hangs on the kernel's tracepoints, so that its counters come by stage too");
  if (const auto code = parse(app, arguments)) return *code;

  const auto address = parse_listen(listen);
  if (!address) return complain("serve: " + address.error().what);
  auto token = read_token(token_file);
  if (!token) return complain("serve: " + token.error().what);
  if (token->empty() && !address->loopback())
    return complain(fmt::format(
        "serve: --listen {}: others than this host could ask, so a token is wanted: --token-file "
        "FILE",
        listen));

  // Threads inherit the mask: the signals are for sigwait() alone.
  sigset_t stop;
  ::sigemptyset(&stop);
  ::sigaddset(&stop, SIGINT);
  ::sigaddset(&stop, SIGTERM);
  ::pthread_sigmask(SIG_BLOCK, &stop, nullptr);
  ::signal(SIGPIPE, SIG_IGN);
  const auto reader = StatReader::open(watch);
  if (!reader) return complain("serve: --watch: " + reader.error().what);
  WebServer server({*address, std::move(*token), *find_stat_source(source)}, **reader);
  const auto port = bind_at_home(server);
  if (!port) return complain("serve: --listen " + port.error().what);
  std::thread answering([&] { server.run(); });
  const int printed = print(fmt::format("listening on {}\n", address->url(*port)));
  int signal = 0;
  if (printed == kOk) ::sigwait(&stop, &signal);
  server.stop();
  answering.join();
  return printed;
}

}  // namespace txp::cli
