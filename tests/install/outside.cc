// SPDX-License-Identifier: Apache-2.0
// A program outside the project: it knows the installed headers and nothing else.
#include <txpath/txpath.h>

#include <cstdio>

int main() {
  txpath::Net net = txpath::Net::create();
  const txpath::Endpoint peer = *txpath::Endpoint::parse("10.0.0.2:53");
  if (!net.add_link({.name = "eth0"}) || !net.add_address("eth0", "10.0.0.1/24")) return 1;
  if (!net.add_neighbour("eth0", peer.address, "02:00:00:00:00:02")) return 1;
  const std::uint8_t hello[] = {'h', 'e', 'l', 'l', 'o'};
  auto sent = net.udp_socket()->send_to(hello, peer);
  std::printf("sent %zu bytes, delivered %zu packets\n", sent.value_or(0), net.stats().delivered);
  return sent && net.stats().delivered == 1 ? 0 : 1;
}
