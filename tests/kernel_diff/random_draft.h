// SPDX-License-Identifier: Apache-2.0
// A random scenario while it is written: the dice, the text, and what later lines depend on.
#pragma once

#include <fmt/format.h>

#include <set>
#include <string>
#include <vector>

#include "kernel_diff/random_source.h"

namespace txp::kdiff {

struct Draft {
  explicit Draft(std::uint64_t seed) : rnd(seed) {}

  void line(const std::string& words) { text += words + "\n"; }
  void setup(const std::string& words) { line("setup " + words); }
  bool mentions(const char* words) const { return text.find(words) != std::string::npos; }

  // The hash's seed is drawn for each namespace.
  void pin_multipath() {
    if (multipath) return;
    multipath = true;
    setup(fmt::format("sysctl -w net.ipv4.fib_multipath_hash_seed={}", rnd.between(1, 9999)));
    setup(fmt::format("sysctl -w net.ipv4.fib_multipath_hash_policy={}", rnd.pick({0, 0, 1, 2})));
  }

  RandomSource rnd;
  std::string text;
  std::vector<std::string> locals;    // the namespace's addresses
  std::vector<std::string> added;     // "ADDR/LEN dev DEV", for `ip addr del`
  std::vector<std::string> nexthops;  // ids that a route can name
  std::vector<std::string> routes;    // "PREFIX table T", for `ip route del`
  int mtu_va = 1500;
  int mtu_vc = 1500;
  int route_mtu = 1500;
  bool vc_has_address = true;
  bool macvlan = false;    // mv0 stands on va
  bool multipath = false;  // a drawn port would draw the path too
  bool needs_root = false;
};

// The namespace before any call.
void random_namespace(Draft& draft);
// One more setup line while sockets send.
void random_change(Draft& draft);
// Sockets and what they do.
void random_calls(Draft& draft);
void random_ipv6(Draft& draft);

}  // namespace txp::kdiff
