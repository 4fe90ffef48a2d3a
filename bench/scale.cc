// SPDX-License-Identifier: Apache-2.0
// What large tables, many sockets and several threads cost a 64-byte send to the null device, and
// what they weigh. Through the public API; time is the sending thread's CPU time, the median of
// several windows; everything at random, as nothing in a program's favour.
//
//   build/bin/scale [--json FILE] [--routes N] [--sockets N]
#include <malloc.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <ctime>
#include <fstream>
#include <functional>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "plan/plan.h"
#include "skb/skb.h"
#include "txpath/txpath.h"

namespace {

using Json = nlohmann::ordered_json;

constexpr std::size_t kBatch = 32;
const std::vector<std::uint8_t> kPayload(64, 0x5a);

double now(clockid_t clock) {
  timespec t{};
  clock_gettime(clock, &t);
  return static_cast<double>(t.tv_sec) * 1e9 + static_cast<double>(t.tv_nsec);
}

std::size_t heap() {
  const struct mallinfo2 m = mallinfo2();
  return m.uordblks + m.hblkhd;
}

template <typename R>
void check(const R& result) {
  if (!result) throw std::runtime_error("a call was refused");
}

// xorshift64*: what is asked next must not wait for what was answered last.
class Dice {
 public:
  explicit Dice(std::uint64_t seed) : x_(seed * 0x9e3779b97f4a7c15ULL + 1) {}
  std::uint64_t next() {
    x_ ^= x_ >> 12;
    x_ ^= x_ << 25;
    x_ ^= x_ >> 27;
    return x_ * 0x2545f4914f6cdd1dULL;
  }
  std::size_t below(std::size_t n) { return static_cast<std::size_t>(next() >> 16) % n; }

 private:
  std::uint64_t x_;
};

// ns a datagram: the median of nine windows; `call` sends `datagrams` of them.
double measure(std::size_t datagrams, const std::function<void()>& call) {
  constexpr std::size_t kCalls = 20'000;
  std::vector<double> windows;
  for (int w = 0; w < 10; ++w) {
    const double start = now(CLOCK_THREAD_CPUTIME_ID);
    for (std::size_t i = 0; i < kCalls / datagrams; ++i) call();
    const double ns = now(CLOCK_THREAD_CPUTIME_ID) - start;
    if (w != 0) windows.push_back(ns / static_cast<double>(kCalls / datagrams * datagrams));
  }
  std::ranges::sort(windows);
  return windows[windows.size() / 2];
}

struct Bed {
  Bed() {
    check(net.add_link({.name = "null0"}));
    check(net.add_address("null0", "10.9.0.1/24"));
    for (std::uint32_t i = 2; i < 66; ++i)
      check(net.add_neighbour("null0", {0x0a090000 + i}, "02:00:00:00:00:02"));
  }
  txpath::UdpSocket socket() {
    auto made = net.udp_socket();
    check(made);
    return std::move(*made);
  }
  void verify() const {
    const txpath::Stats s = net.stats();
    if (!s.conserved() || s.dropped != 0) throw std::runtime_error("packets were lost");
  }
  txpath::Net net = txpath::Net::create();
};

Json results;
void tell(const std::string& what, double value, const char* unit) {
  fmt::print("{:<66} {:>10.1f} {}\n", what, value, unit);
  results.push_back({{"what", what}, {"value", value}, {"unit", unit}});
}

std::string dotted(std::uint32_t a) { return txpath::Ipv4Address{a}.str(); }

// A table of /24s beside each other from 20.0.0.0 on, each by one of 64 gateways.
void routes(std::size_t count) {
  Bed bed;
  txpath::UdpSocket sk = bed.socket();
  const txpath::Endpoint near = {{0x0a090002}, 9};
  const double one = measure(1, [&] { check(sk.send_to(kPayload, near)); });
  tell("one destination", one, "ns");
  const std::size_t before = heap();
  const double began = now(CLOCK_MONOTONIC);
  for (std::size_t i = 0; i < count; ++i)
    check(bed.net.add_route(
        {.prefix = dotted(static_cast<std::uint32_t>((20U << 24) + (i << 8))) + "/24",
         .dev = "null0",
         .via = txpath::Ipv4Address{0x0a090002 + static_cast<std::uint32_t>(i) % 64}}));
  const double loaded = (now(CLOCK_MONOTONIC) - began) / 1e9;
  tell(fmt::format("{} routes, loaded as text by the API", count),
       static_cast<double>(count) / loaded / 1e6, "million/s");
  tell("a route", static_cast<double>(heap() - before) / static_cast<double>(count), "bytes");
  Dice dice(1);
  std::vector<txpath::Endpoint> to(kBatch);
  std::vector<txpath::Message> batch(kBatch);
  for (std::size_t i = 0; i < kBatch; ++i) batch[i] = {&to[i], kPayload};
  for (const std::size_t flows : {std::size_t{500}, count}) {
    const auto any = [&] {
      const auto host = static_cast<std::uint32_t>((20U << 24) + (dice.below(flows) << 8) + 1);
      return txpath::Endpoint{{host}, 9};
    };
    const std::string where =
        fmt::format("among {} routes, {} destinations at random, ", count, flows);
    tell(where + "single", measure(1, [&] { check(sk.send_to(kPayload, any())); }), "ns");
    tell(where + "batch of 32",
         measure(kBatch,
                 [&] {
                   for (auto& e : to) e = any();
                   if (sk.send_batch(batch) != kBatch) throw std::runtime_error("a batch was cut");
                 }),
         "ns");
  }
  bed.verify();
}

void sockets(std::size_t count) {
  Bed bed;
  std::size_t before = heap();
  std::vector<txpath::UdpSocket> all;
  all.reserve(count);
  before += count * sizeof(txpath::UdpSocket);
  for (std::size_t i = 0; i < count; ++i) {
    all.push_back(bed.socket());
    // Ports are shared: each is bound to an address and port of its own by its peer.
    check(all.back().set_option(SOL_SOCKET, SO_REUSEADDR, 1));
    check(all.back().bind({{0}, static_cast<std::uint16_t>(1024 + i % 60000)}));
    check(all.back().connect({{0x0a090002 + static_cast<std::uint32_t>(i % 64)}, 9}));
  }
  tell(fmt::format("a socket, of {}", count),
       static_cast<double>(heap() - before) / static_cast<double>(count), "bytes");
  before = heap();
  for (txpath::UdpSocket& s : all) check(s.send(kPayload));
  tell("its flow plan, made by its first send",
       static_cast<double>(heap() - before) / static_cast<double>(count), "bytes");
  Dice dice(2);
  tell("one connected socket", measure(1, [&] { check(all[0].send(kPayload)); }), "ns");
  tell(fmt::format("{} connected sockets at random", count),
       measure(1, [&] { check(all[dice.below(count)].send(kPayload)); }), "ns");
  bed.verify();
}

void threads() {
  const unsigned most = std::max(1U, std::thread::hardware_concurrency());
  for (unsigned n = 1; n <= most; n *= 2) {
    Bed bed;
    std::atomic<bool> go{false};
    std::vector<double> each(n);
    std::vector<std::thread> pool;
    for (unsigned t = 0; t < n; ++t)
      pool.emplace_back([&, t] {
        txpath::UdpSocket sk = bed.socket();
        check(sk.connect({{0x0a090002 + t}, 9}));
        while (!go.load()) std::this_thread::yield();
        each[t] = measure(1, [&] { check(sk.send(kPayload)); });
      });
    go = true;
    for (std::thread& t : pool) t.join();
    tell(fmt::format("{} threads on one device, each its own socket; the slowest", n),
         *std::ranges::max_element(each), "ns");
    bed.verify();
  }
}

}  // namespace

int main(int argc, char** argv) {
  std::string json_file;
  std::size_t route_count = 1'000'000;
  std::size_t socket_count = 1'000'000;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string option = argv[i];
    if (option == "--json") json_file = argv[i + 1];
    if (option == "--routes") route_count = std::strtoul(argv[i + 1], nullptr, 10);
    if (option == "--sockets") socket_count = std::strtoul(argv[i + 1], nullptr, 10);
  }
  try {
    routes(route_count);
    sockets(socket_count);
    threads();
  } catch (const std::exception& e) {
    fmt::print(stderr, "scale: {}\n", e.what());
    return 1;
  }
  tell("a flow plan in a thread's table", sizeof(txp::Plan), "bytes");
  tell("a packet in flight, beside its frame", sizeof(txp::Skb), "bytes");
  if (!json_file.empty()) std::ofstream(json_file) << results.dump(1) << "\n";
  return 0;
}
