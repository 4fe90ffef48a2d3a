// SPDX-License-Identifier: Apache-2.0
// txpath: the command line. Finds the verb; the verbs have a file each.
#include <fmt/format.h>

#include <exception>
#include <optional>
#include <span>

#include "cli/command.h"

namespace txp::cli {
namespace {

constexpr std::string_view kUsageText =
    R"(txpath: the Linux kernel's UDP/IPv4 send path as a program.

usage: txpath [--netns NAME] VERB ...

  explain udp to ADDR:PORT ...  what this host would do with a datagram, stage by stage, and why
  explain --pcap IN             the same for every packet of a capture
  diff OLD NEW udp ...          what changes for a datagram between two snapshots
  send to ADDR:PORT ...         sends datagrams through the engine
  run -- PROGRAM ...            runs a program whose UDP sends go through the engine
  snapshot OUT.jsonl            saves this namespace's configuration
  stat                          counters: of running txpath processes, else the kernel's
  top                           the same, live in the terminal
  serve                         the same as a live page, as metrics and as JSON, over HTTP
  watch [FILTER]                the running kernel's own path, from its tracepoints
  prove udp to ADDR:PORT ...    explains, really sends it through the kernel, and compares
  query FILE ...                asks the records that send, run and watch keep with --record FILE
  forward FILE URL              sends those records to ClickHouse

  --netns NAME   work in the network namespace NAME (`ip netns`), or in the one at a path
  --help         this text; `txpath VERB --help` tells a verb's words and options
  --version      prints the version

exit status: 0 yes; 1 no (dropped, or the call fails); 2 wrong usage or input; 3 unknown: the
packet meets something that the engine does not implement; 70 a bug of txpath
)";

struct Verb {
  std::string_view name;
  int (*run)(const Arguments&);
};

constexpr Verb kVerbs[] = {
    {"explain", explain}, {"diff", diff},   {"send", send},         {"run", run},
    {"watch", watch},     {"prove", prove}, {"snapshot", snapshot}, {"stat", stat},
    {"top", top},         {"serve", serve}, {"query", query},       {"forward", forward},
};

int run_verb(std::string_view name, const Arguments& rest) {
  for (const Verb& v : kVerbs) {
    if (v.name == name) return v.run(rest);
  }
  return complain(fmt::format("{}: unknown verb, see txpath --help", name));
}

int run_command(std::span<char*> argv) {
  std::string netns;
  std::size_t i = 1;
  for (; i < argv.size(); ++i) {
    const std::string_view word = argv[i];
    constexpr std::string_view kNetns = "--netns";
    if (word == "--help" || word == "-h") return print(kUsageText);
    if (word == "--version") return print("txpath " TXPATH_VERSION "\n");
    if (word == kNetns) {
      if (++i == argv.size()) return complain("--netns: its value is missing, write --netns NAME");
      netns = argv[i];
    } else if (word.starts_with("--netns=")) {
      netns = word.substr(kNetns.size() + 1);
    } else if (word.starts_with('-')) {
      return complain(fmt::format("{}: unknown option before the verb, see txpath --help", word));
    } else {
      break;
    }
    if (netns.empty()) return complain("--netns: the name is empty, write --netns NAME");
  }
  if (i == argv.size()) return complain("verb: it is missing, see txpath --help");
  if (!netns.empty())
    if (auto entered = enter_netns(netns); !entered) return complain(entered.error().what);
  return run_verb(argv[i],
                  Arguments(argv.begin() + static_cast<std::ptrdiff_t>(i) + 1, argv.end()));
}

}  // namespace
}  // namespace txp::cli

int main(int argc, char** argv) {
  try {
    return txp::cli::run_command(std::span(argv, static_cast<std::size_t>(argc)));
  } catch (const std::exception& e) {  // memory, or a library's own
    return txp::cli::internal_error(e.what());
  }
}
