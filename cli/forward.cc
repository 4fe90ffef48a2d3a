// SPDX-License-Identifier: Apache-2.0
// txpath forward: sends a store's records to ClickHouse.
#include <fmt/format.h>
#include <signal.h>

#include <cstdlib>

#include "cli/command.h"
#include "cli/web_access.h"
#include "records/clickhouse.h"

namespace txp::cli {
namespace {

constexpr Nanos kIdle = kSecond;               // between two looks for new records
constexpr Nanos kOncePatience = 30 * kSecond;  // for a server that does not answer

constexpr std::string_view kForwardFooter =
    R"(The table txpath_records is made where there is none. Records are sent once, also when this
command or the server is killed meanwhile; docs/records.md tells how.)";

// Waits for `pause`, or for the signal to stop: then true.
bool told_to_stop(const sigset_t& stop, Nanos pause) {
  const timespec wait{pause / kSecond, pause % kSecond};
  return ::sigtimedwait(&stop, nullptr, &wait) > 0;
}

int forward_records(Forwarder& forwarder, bool once, const sigset_t& stop) {
  const Clock clock = Clock::monotonic();
  bool failing = false;
  Nanos since = clock.now();
  std::int64_t missed = 0;
  for (;;) {
    const auto step = forwarder.step();
    if (forwarder.missed() != missed) {
      warn(fmt::format("forward: {} records went from the store before they were sent",
                       forwarder.missed() - missed));
      missed = forwarder.missed();
    }
    Nanos pause = 0;
    switch (step) {
      case Forwarder::Step::sent:
      case Forwarder::Step::idle:
        if (failing) warn("forward: it answers again");
        failing = false;
        since = clock.now();
        if (step == Forwarder::Step::idle && once) return kOk;
        if (step == Forwarder::Step::idle) pause = kIdle;
        break;
      case Forwarder::Step::failed:
        if (once && clock.now() - since >= kOncePatience) {
          complain("forward: " + forwarder.why());
          return kNegative;
        }
        if (!failing) warn(fmt::format("forward: {}; trying again", forwarder.why()));
        failing = true;
        pause = forwarder.pause();
        break;
      case Forwarder::Step::final:
      case Forwarder::Step::store: return complain("forward: " + forwarder.why());
    }
    if (told_to_stop(stop, pause)) return kOk;
  }
}

}  // namespace

int forward(const Arguments& arguments) {
  std::string file, url, password_file;
  bool once = false;
  CLI::App app("Sends a store's records to ClickHouse, and follows it until it is interrupted.",
               "forward");
  app.add_option("file", file, "the store, which --record FILE of send, run and watch makes");
  app.add_option("url", url, "http[s]://[USER@]HOST[:PORT][/DATABASE]; port 8123 by default");
  app.add_option("--password-file", password_file,
                 "a file whose first line is the password; or the variable TXPATH_PASSWORD")
      ->option_text("FILE");
  app.add_flag("--once", once, "sends what is there, and ends");
  app.footer(std::string(kForwardFooter));
  if (const auto code = parse(app, arguments)) return *code;
  if (url.empty()) return complain("forward: write forward FILE http://HOST:8123/");
  auto target = parse_clickhouse_target(url);
  if (!target) return complain("forward: " + target.error().what);
  auto password = read_secret(password_file, "--password-file", "TXPATH_PASSWORD");
  if (!password) return complain("forward: " + password.error().what);
  target->password = std::move(*password);
  const auto store = RecordStore::open(file, RecordStore::Access::write);
  if (!store) return complain("forward: " + store.error().what);

  sigset_t stop;
  ::sigemptyset(&stop);
  ::sigaddset(&stop, SIGINT);
  ::sigaddset(&stop, SIGTERM);
  ::pthread_sigmask(SIG_BLOCK, &stop, nullptr);
  ::signal(SIGPIPE, SIG_IGN);
  const auto server = make_clickhouse(*target);
  Forwarder forwarder(**store, *server, *target);
  const int code = forward_records(forwarder, once, stop);
  if (const int printed = print(fmt::format("sent {} records\n", forwarder.sent())); printed != kOk)
    return printed;
  return code;
}

}  // namespace txp::cli
