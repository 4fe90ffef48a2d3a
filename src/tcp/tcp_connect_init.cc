// SPDX-License-Identifier: Apache-2.0
// tcp_connect_init: what the SYN offers: segment size, window, options.
//
// Kernel twin: net/ipv4/tcp_output.c, tcp_connect_init(), tcp_select_initial_window(),
// tcp_syn_options(), tcp_ecn_send_syn(); net/ipv4/route.c, ipv4_default_advmss().
// Differs: none of the options that a program must ask for (TCP_MAXSEG, MD5, AO, fast open, MPTCP);
// a congestion control that needs ECN (dctcp) is not looked at. Drops: none.
#include <algorithm>
#include <bit>

#include "net.h"
#include "route/fib_semantics.h"
#include "tcp/tcp.h"
#include "wire/ipv4.h"

namespace txp {
namespace {

constexpr std::size_t kRtaxWindow = 3;
constexpr std::size_t kRtaxAdvmss = 8;
constexpr std::size_t kRtaxFeatures = 12;
constexpr std::size_t kRtaxInitrwnd = 14;
constexpr std::uint32_t kRtaxFeatureEcn = 1;
constexpr std::uint32_t kIpv4MaxPmtu = 65535;
constexpr std::uint32_t kMaxTcpWindow = 32767;
constexpr std::uint8_t kTcpMaxWscale = 14;

std::uint32_t metric(const FibInfo* fi, std::size_t rtax) {
  return fi != nullptr ? fi->metric(rtax) : 0;
}

// dst_metric_advmss(): the route's, or what its MTU leaves.
std::uint32_t advmss(const Net& net, const Rtable& rt, const FibInfo* fi) {
  constexpr std::uint32_t kHeaders = kIpHlen + kTcpHlen;
  if (const std::uint32_t given = metric(fi, kRtaxAdvmss); given != 0)
    return std::min(given, kIpv4MaxPmtu - kHeaders);
  const std::uint32_t fits = rt.mtu > kHeaders ? rt.mtu - kHeaders : 0;
  return std::min(std::max(fits, net.sysctl().min_adv_mss), kIpv4MaxPmtu - kHeaders);
}

}  // namespace

TcpWindow tcp_select_initial_window(std::uint32_t space, std::uint32_t mss,
                                    std::uint32_t window_clamp, bool wscale_ok,
                                    std::uint32_t most_space, bool signed_windows,
                                    std::uint32_t init_rcv_wnd) {
  if (window_clamp == 0) window_clamp = 0xffffU << kTcpMaxWscale;
  space = std::min(window_clamp, space);
  if (space > mss) space -= space % mss;
  TcpWindow w{signed_windows ? std::min(space, kMaxTcpWindow) : space, 0};
  if (init_rcv_wnd != 0) w.rcv_wnd = std::min(w.rcv_wnd, init_rcv_wnd * mss);
  if (wscale_ok) {
    space = std::min(std::max(space, most_space), window_clamp);
    const int bits = static_cast<int>(std::bit_width(space)) - 1 - 15;
    w.rcv_wscale = static_cast<std::uint8_t>(std::clamp(bits, 0, int{kTcpMaxWscale}));
  }
  return w;
}

TcpSyn tcp_connect_init(const Net& net, const Sock&, const Rtable& rt, const FibInfo* fi) {
  const Sysctls& sysctl = net.sysctl();
  const std::uint32_t mss = advmss(net, rt, fi);
  const bool wscale = sysctl.tcp_window_scaling;
  // tcp_full_space() of a new socket: half of its receive buffer (TCP_DEFAULT_SCALING_RATIO).
  const TcpWindow window =
      tcp_select_initial_window(sysctl.tcp_rmem[1] / 2, mss, metric(fi, kRtaxWindow), wscale,
                                std::max(sysctl.tcp_rmem[2], sysctl.rmem_max),
                                sysctl.tcp_workaround_signed_windows, metric(fi, kRtaxInitrwnd));
  TcpSyn syn;
  syn.options.mss = static_cast<std::uint16_t>(mss);
  if (wscale) syn.options.wscale = window.rcv_wscale;
  if (sysctl.tcp_timestamps != 0) syn.options.tsval = 0;
  syn.options.sack_perm = sysctl.tcp_sack;
  syn.window = static_cast<std::uint16_t>(std::min(window.rcv_wnd, 0xffffU));
  syn.ecn = sysctl.tcp_ecn == 1 || (metric(fi, kRtaxFeatures) & kRtaxFeatureEcn) != 0;
  return syn;
}

}  // namespace txp
