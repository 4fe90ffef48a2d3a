// SPDX-License-Identifier: Apache-2.0
#include "drivers/registry.h"

#include <string>

#include "drivers/af_packet.h"
#include "drivers/af_xdp.h"
#include "drivers/capture.h"
#include "drivers/fault.h"
#include "drivers/link_rate.h"
#include "drivers/loopback.h"
#include "drivers/null.h"
#include "drivers/pcap.h"
#include "drivers/tap.h"

namespace txp {
namespace {

using Made = Result<std::unique_ptr<Driver>>;

struct Kind {
  std::string_view name;
  bool takes_argument;  // after a colon
  Made (*make)(Net& net, const NetDevice& dev, std::string_view argument);
};

constexpr Kind kKinds[] = {
    {"null", false, [](Net&, const NetDevice&, std::string_view) -> Made { return make_null(); }},
    {"pcap", true,
     [](Net&, const NetDevice&, std::string_view file) -> Made {
       return make_pcap(std::string(file));
     }},
    {"af_packet", false,
     [](Net&, const NetDevice& dev, std::string_view) -> Made { return make_af_packet(dev); }},
    {"af_xdp", false,
     [](Net&, const NetDevice& dev, std::string_view) -> Made {
       return make_af_xdp(dev, {.hear_errors = true});
     }},
    {"af_xdp_zc", false,
     [](Net&, const NetDevice& dev, std::string_view) -> Made {
       return make_af_xdp(dev, {.zero_copy = true, .hear_errors = true});
     }},
    {"tap", true,
     [](Net&, const NetDevice&, std::string_view name) -> Made {
       return make_tap(std::string(name));
     }},
    {"loopback", false,
     [](Net&, const NetDevice&, std::string_view) -> Made { return make_loopback(); }},
};

struct Wrapper {
  std::string_view name;
  Made (*make)(Net& net, std::unique_ptr<Driver> inner, std::string_view argument);
};

constexpr Wrapper kWrappers[] = {
    {"capture",
     [](Net&, std::unique_ptr<Driver> inner, std::string_view file) -> Made {
       return make_capture(std::move(inner), std::string(file));
     }},
    {"rate",
     [](Net&, std::unique_ptr<Driver> inner, std::string_view options) -> Made {
       return make_link_rate(std::move(inner), options);
     }},
    {"fault",
     [](Net& net, std::unique_ptr<Driver> inner, std::string_view options) -> Made {
       return make_fault(net, std::move(inner), options);
     }},
};

constexpr int kMaxDepth = 8;

Made make(Net& net, const NetDevice& dev, std::string_view spec, int depth) {
  for (const Wrapper& w : kWrappers) {
    if (!spec.starts_with(w.name) || !spec.substr(w.name.size()).starts_with("(")) continue;
    const std::size_t open = w.name.size() + 1;
    const std::size_t close = spec.find(")/", open);
    if (close == std::string_view::npos)
      return fail("device kind \"" + std::string(spec) + "\": expected \"" + std::string(w.name) +
                  "(...)/KIND\"");
    if (depth >= kMaxDepth) return fail("device kind: more than 8 wrappers");
    Made inner = make(net, dev, spec.substr(close + 2), depth + 1);
    if (!inner) return inner;
    return w.make(net, std::move(*inner), spec.substr(open, close - open));
  }
  const std::size_t colon = spec.find(':');
  const std::string_view name = spec.substr(0, colon);
  for (const Kind& k : kKinds) {
    if (k.name != name || k.takes_argument != (colon != std::string_view::npos)) continue;
    return k.make(net, dev, k.takes_argument ? spec.substr(colon + 1) : std::string_view{});
  }
  return fail("unknown device kind \"" + std::string(spec) +
              "\": use null, pcap:FILE, af_packet, af_xdp, af_xdp_zc, tap:NAME or loopback, with "
              "fault(...)/, rate(...)/ or capture(FILE)/ "
              "before it");
}

}  // namespace

Result<std::unique_ptr<Driver>> make_driver(Net& net, const NetDevice& dev, std::string_view spec) {
  return make(net, dev, spec, 0);
}

}  // namespace txp
