// SPDX-License-Identifier: Apache-2.0
// The sockets of a random scenario and their calls.
#include <algorithm>
#include <string_view>
#include <vector>

#include "kernel_diff/random_draft.h"

namespace txp::kdiff {
namespace {

using std::string;

class CallAuthor {
 public:
  explicit CallAuthor(Draft& draft) : d_(draft), rnd_(draft.rnd) {}

  void write() {
    if (rnd_.percent(8)) {
      answers_ = true;
      line("peer sysctl -qw net.ipv4.icmp_ratelimit=0");
      line("peer answers");
    }
    // A full send buffer would make a blocking call wait.
    full_buffers_ = rnd_.percent(3);
    receiver();
    sockets();
    for (int n = rnd_.between(2, 8); n > 0; --n) call();
    if (receiver_)
      for (int n = rnd_.between(1, 3); n > 0; --n)
        line(rnd_.percent(50) ? "recv r" : "recvmsg r" + room());
    if (queue_ || rnd_.percent(5))
      for (int n = rnd_.between(1, 3); n > 0; --n) error_queue(rnd_.pick(socks_));
  }

 private:
  void line(const string& words) {
    // A veth passes a superframe on whole: the peer answers it once.
    if (answers_ && words.find("UDP_SEGMENT") != string::npos) return;
    d_.line(words);
  }

  string port() { return rnd_.pick({"53", "53", "53", "5000", "9", "5001"}); }

  string destination() {
    if (rnd_.percent(12)) return rnd_.pick(d_.locals);
    return rnd_.pick(
        {"10.1.2.3",        "10.1.2.3",    "10.1.2.3",        "10.1.2.4",    "10.1.9.9",
         "10.2.0.1",        "10.2.0.2",    "203.0.113.7",     "10.77.0.2",   "10.77.0.2",
         "10.77.0.2",       "10.77.0.2",   "10.78.0.2",       "10.78.0.2",   "10.77.0.150",
         "10.77.0.99",      "10.77.0.255", "10.77.0.0",       "10.77.1.255", "10.77.3.7",
         "255.255.255.255", "239.1.1.1",   "224.0.0.77",      "224.0.0.1",   "232.1.1.1",
         "127.0.0.1",       "127.0.0.5",   "127.255.255.255", "0.0.0.0",     "0.1.2.9",
         "192.168.5.2",     "192.168.7.9", "172.16.0.2",      "172.16.0.4",  "172.16.0.3",
         "172.16.0.9",      "10.78.0.255", "240.1.1.1",       "169.254.3.9", "10.79.0.77",
         "10.79.0.255",     "10.87.0.2",   "10.87.0.255",     "10.82.0.2",   "10.255.255.255",
         "10.0.0.0",        "10.81.0.9",   "172.16.0.5"});
  }

  string source() {
    if (rnd_.percent(45)) return "0.0.0.0";
    if (rnd_.percent(70)) return rnd_.pick(d_.locals);
    return rnd_.pick({"127.0.0.1", "127.0.0.3", "10.77.0.255", "239.1.1.1", "10.9.9.9",
                      "255.255.255.255", "224.0.0.77", "10.77.0.0", "10.77.0.2", "172.16.0.3",
                      "0.0.0.1"});
  }

  // Around the edges of what fits.
  int length() {
    const int mtu = rnd_.pick({d_.mtu_va, d_.mtu_vc, d_.route_mtu});
    switch (rnd_.between(0, 10)) {
      case 0: return rnd_.pick({0, 0, 1, 2, 7, 8, 9});
      case 1:
      case 2: return mtu - 28 + rnd_.between(-2, 2);
      case 3: return 2 * (mtu - 20) - 8 + rnd_.between(-9, 9);
      case 4: return rnd_.between(1, 4000);
      case 5: return rnd_.percent(15) ? rnd_.pick({65507, 65508, 65535, 30000}) : 1473;
      case 6: return mtu - 28 - rnd_.pick({4, 8, 12, 40}) + rnd_.between(-1, 1);  // with options
      default: return rnd_.between(1, 200);
    }
  }

  void receiver() {
    if (!rnd_.percent(25)) return;
    receiver_ = true;
    line("socket r");
    if (rnd_.percent(15)) line("setsockopt r SO_BINDTODEVICE name " + device());
    for (int n = rnd_.pick({0, 0, 0, 1, 2, 3}); n > 0; --n)
      line(string("setsockopt r ") +
           rnd_.pick({"IP_PKTINFO 1", "IP_RECVTTL 1", "IP_RECVTOS 1", "IP_RECVORIGDSTADDR 1",
                      "IP_RECVOPTS 1", "IP_RETOPTS 1", "SO_TIMESTAMP 1", "SO_RXQ_OVFL 1",
                      "IP_MULTICAST_ALL 0", "SO_REUSEADDR 1"}));
    line(fmt::format("bind r {}:{}", rnd_.percent(70) ? string("0.0.0.0") : source(), 5000));
    for (int n = rnd_.pick({0, 0, 0, 1, 1, 2}); n > 0; --n) membership("r");
  }

  // Joining 224.0.0.x sends no report.
  void membership(const string& s) {
    if (rnd_.percent(25)) return source_filter(s);
    const string group = rnd_.pick({"224.0.0.77", "224.0.0.77", "224.0.0.1", "224.0.0.78"});
    const string dev = rnd_.pick({"va", "vc", "lo"});
    line(fmt::format("setsockopt {} {} mreqn {} 0.0.0.0 {}", s,
                     rnd_.pick({"IP_ADD_MEMBERSHIP", "IP_ADD_MEMBERSHIP", "IP_ADD_MEMBERSHIP",
                                "IP_DROP_MEMBERSHIP"}),
                     group, dev));
  }

  // IP_UNBLOCK_SOURCE, IP_BLOCK_SOURCE, IP_ADD_ and IP_DROP_SOURCE_MEMBERSHIP: group, the device's
  // address, source.
  void source_filter(const string& s) {
    for (int n = rnd_.between(1, 3); n > 0; --n)
      line(fmt::format("setsockopt {} 0 {} hex {}{}{}", s, rnd_.pick({37, 38, 38, 39, 39, 40}),
                       rnd_.pick({"e000004d", "e000004d", "e000004e"}),
                       rnd_.pick({"0a4d0001", "0a4d0001", "0a4e0001", "00000000"}),
                       rnd_.pick({"0a4d0001", "0a4d0001", "0a4d0009", "0a4e0001"})));
  }

  string device() { return rnd_.pick({"va", "va", "vc", "lo", d_.macvlan ? "mv0" : "va"}); }

  void sockets() {
    const int count = rnd_.pick({1, 1, 1, 1, 1, 1, 2, 2, 3});
    for (int i = 0; i < count; ++i) {
      const string s = i == 0 ? "s" : i == 1 ? "t" : "u";
      socks_.push_back(s);
      open(s);
    }
  }

  void open(const string& s) {
    const int i = static_cast<int>(std::find(socks_.begin(), socks_.end(), s) - socks_.begin());
    if (rnd_.percent(8)) {
      line(fmt::format("socket {} uid {}", s, rnd_.pick({1000, 1500, 3000})));
      d_.needs_root = true;
    } else {
      line("socket " + s + (rnd_.percent(3) ? " unprivileged" : ""));
    }
    if (full_buffers_)
      line(fmt::format("setsockopt {} SO_SNDBUF {}", s, rnd_.pick({0, 3000, 8000})));
    for (int n = rnd_.pick({0, 0, 1, 1, 2, 3}); n > 0; --n) option(s);
    if (d_.multipath || rnd_.percent(85)) {
      const int port = rnd_.percent(10) && !d_.multipath ? rnd_.pick({53, 5000, 0})
                                                         : rnd_.pick({4000, 4000, 4001});
      const int shift = port > 4001 || port < 100 || rnd_.percent(10) ? 0 : i * 100;
      line(fmt::format("bind {} {}:{}", s, d_.multipath ? "0.0.0.0" : source(),
                       d_.multipath ? 4000 + i * 100 : port + shift));
    }
    if (rnd_.percent(30)) connect(s);
    // Most scenarios should send something, whatever else goes wrong in them.
    if (rnd_.percent(60))
      line(fmt::format("sendto {} {}:53 len {}{}", s,
                       rnd_.pick({"10.77.0.2", "10.77.0.2", "10.78.0.2", "10.1.2.3"}),
                       rnd_.between(0, 200), full_buffers_ ? " MSG_DONTWAIT" : ""));
  }

  void connect(const string& s) {
    if (rnd_.percent(12)) return line(fmt::format("connect {} unspec", s));
    line(fmt::format("connect {} {}:{}", s, destination(), rnd_.percent(3) ? "0" : port()));
  }

  // IP options: sound ones, and some that are not.
  string ip_options() {
    return rnd_.pick({
        "94040000",
        "07070400000000",
        "070b040000000000000000",
        "0101",
        "00",
        "01070704000000000000",
        "830704"
        "0a4d0002"
        "00",
        "890704"
        "0a4d0002"
        "00",
        "830b04"
        "0a4d0002"
        "0a010204"
        "00",
        "890704"
        "0a010203"
        "00",
        "4408090000000000",
        "9404000083"
        "0704"
        "0a4d0002",
        "0727040000000000000000000000000000000000000000000000000000"
        "00000000000000000000000000",
        "0101010101010101010101010101010101010101010101010101010101010101010101010101010101",
        "0702",
        "07",
        "83030300",
        "94040001",
        "8604ffff",
        "1e0400aa",
        "07070500000000",
    });
  }

  void option(const string& s) {
    const string dev = device();
    const int segment =
        rnd_.pick({0, 1, 100, 500, 1000, 1400, d_.mtu_va - 28, d_.mtu_va - 27, 1472});
    if (rnd_.percent(6)) return membership(s);
    if (rnd_.percent(7))
      return line(fmt::format("setsockopt {} IP_OPTIONS hex {}", s, ip_options()));
    if (rnd_.percent(4)) return odd_option(s);
    const std::vector<string> all = {
        fmt::format("IP_TOS {}", rnd_.pick({"0x10", "0x08", "0x1c", "0xb8", "3", "0xff", "0"})),
        fmt::format("IP_TOS u8 {}", rnd_.pick({"0x10", "0x1e"})),
        fmt::format("IP_TTL {}", rnd_.pick({1, 7, 64, 255, -1, 0, 256})),
        fmt::format("IP_MULTICAST_TTL {}", rnd_.pick({0, 1, 5, 255, -1})),
        fmt::format("IP_MULTICAST_LOOP {}", rnd_.between(0, 1)),
        fmt::format("IP_MULTICAST_ALL {}", rnd_.between(0, 1)),
        fmt::format("IP_MULTICAST_IF mreqn 0.0.0.0 {} {}",
                    rnd_.percent(70) ? "0.0.0.0" : rnd_.pick(d_.locals),
                    rnd_.percent(20) ? "-" : dev),
        fmt::format("IP_MULTICAST_IF {}", rnd_.pick(d_.locals)),
        fmt::format("IP_UNICAST_IF be32 dev {}", dev),
        fmt::format("IP_MTU_DISCOVER {}",
                    rnd_.pick({"IP_PMTUDISC_DONT", "IP_PMTUDISC_WANT", "IP_PMTUDISC_DO",
                               "IP_PMTUDISC_PROBE", "IP_PMTUDISC_INTERFACE", "IP_PMTUDISC_OMIT"})),
        fmt::format("IP_MTU_DISCOVER {}",
                    rnd_.pick({"IP_PMTUDISC_DO", "IP_PMTUDISC_DONT", "IP_PMTUDISC_PROBE"})),
        "IP_FREEBIND 1",
        "IP_TRANSPARENT 1",
        "IP_BIND_ADDRESS_NO_PORT 1",
        fmt::format("IP_RECVERR {}", rnd_.pick({1, 1, 0})),
        "IP_RECVERR 1",
        "SO_BROADCAST 1",
        "SO_BROADCAST 1",
        "SO_BROADCAST 1",
        "SO_BINDTODEVICE name " + dev,
        "SO_BINDTODEVICE none",
        "SO_BINDTOIFINDEX dev " + dev,
        fmt::format("SO_MARK {}", rnd_.pick({"0x10", "0x11", "0xf0", "5"})),
        fmt::format("SO_PRIORITY {}", rnd_.between(0, 7)),
        fmt::format("SO_DONTROUTE {}", rnd_.between(0, 1)),
        "SO_NO_CHECK 1",
        "SO_REUSEADDR 1",
        "SO_REUSEPORT 1",
        fmt::format("UDP_SEGMENT {}", segment),
        fmt::format("UDP_SEGMENT {}", segment),
        "UDP_CORK 1",
        fmt::format("SO_TIMESTAMPING {}", rnd_.pick({"0x12", "0x92", "0x892", "0x112", "0x10"})),
        fmt::format("SO_TXTIME hex {}", rnd_.pick({"0100000000000000", "0b00000000000000"})),
        fmt::format("IP_LOCAL_PORT_RANGE {}", rnd_.pick({"0x75317530", "0x00007530", "0x10"})),
        "IP_PKTINFO 1",
        "IP_RECVTTL 1",
    };
    const string& chosen = rnd_.pick(all);
    queue_ |= chosen.starts_with("SO_TIMESTAMPING") || chosen.starts_with("IP_RECVERR");
    line(fmt::format("setsockopt {} {}", s, chosen));
  }

  // Any number, but those of what is not implemented.
  void odd_option(const string& s) {
    static constexpr int kIp[] = {1,  2,  5,  7,  8,  10, 11, 12, 13, 14, 15, 18, 19, 20,
                                  21, 22, 23, 24, 25, 26, 32, 33, 34, 49, 50, 51, 52, 60};
    static constexpr int kSocket[] = {1,  2,  5,  6,  7,  8,  9,  10, 11, 12, 13, 15, 16, 18,
                                      19, 20, 21, 25, 29, 34, 36, 40, 42, 43, 45, 46, 47, 49,
                                      55, 60, 61, 62, 65, 67, 68, 69, 70, 72, 73, 75};
    const bool ip = rnd_.percent(50);
    const int number =
        ip ? kIp[rnd_.below(std::size(kIp))] : kSocket[rnd_.below(std::size(kSocket))];
    const string value = rnd_.pick({"1", "0", "-1", "255", "u8 1", "u16 1", "none", "3", "70000"});
    line(fmt::format("setsockopt {} {} {} {}", s, ip ? 0 : 1, number, value));
    if (rnd_.percent(50)) line(fmt::format("getsockopt {} {} {}", s, ip ? 0 : 1, number));
  }

  string hex_of(const string& addr) {
    unsigned b[4] = {};
    std::size_t at = 0;
    for (unsigned& x : b) {
      x = static_cast<unsigned>(std::stoul(addr.substr(at)));
      at = addr.find('.', at) + 1;
    }
    return fmt::format("{:02x}{:02x}{:02x}{:02x}", b[0], b[1], b[2], b[3]);
  }

  string packet_info() {
    if (rnd_.percent(15))  // number, source, and the address that means nothing when sending
      return fmt::format("hex {}{}{}", rnd_.pick({"00000000", "0f270000", "01000000", "ffffffff"}),
                         rnd_.percent(50) ? "00000000" : hex_of(rnd_.pick(d_.locals)),
                         rnd_.pick({"00000000", "0a010203", "0a4d0001"}));
    return fmt::format("pktinfo {} {}", rnd_.percent(45) ? "-" : device(),
                       rnd_.percent(40) ? "0.0.0.0" : source());
  }

  string control() {
    switch (rnd_.between(0, 11)) {
      case 0:
      case 1:
      case 2: return " cmsg IP_PKTINFO " + packet_info();
      case 3: return fmt::format(" cmsg IP_TTL {}", rnd_.pick({1, 9, 255, 0, 256}));
      case 4:
        return fmt::format(" cmsg IP_TOS {}",
                           rnd_.pick({"0x10", "u8 0x08", "0xb8", "256", "none"}));
      case 5: return fmt::format(" cmsg SO_MARK {}", rnd_.pick({"0x10", "0x12", "7"}));
      case 6: return fmt::format(" cmsg SO_PRIORITY {}", rnd_.between(0, 7));
      case 7: return " cmsg IP_RETOPTS hex " + ip_options();
      case 8: return odd_control();
      case 9:
        if (rnd_.percent(50))
          return fmt::format(" cmsg SO_TIMESTAMPING {}", rnd_.pick({"0x2", "0x10", "0x102"}));
        [[fallthrough]];
      default:
        return fmt::format(" cmsg UDP_SEGMENT {}", rnd_.pick({0, 1, 50, 500, 1400, 1472, 1473,
                                                              d_.mtu_va - 28, d_.route_mtu - 28}));
    }
  }

  // Wrong lengths, unknown types, other levels.
  string odd_control() {
    switch (rnd_.between(0, 6)) {
      case 0:
        return fmt::format(" cmsg IP_TTL 3 size {}", rnd_.pick({0, 2, 15, 16, 17, 19, 24, 1000}));
      case 1: return fmt::format(" cmsg 0 {} 5", rnd_.pick({0, 3, 5, 10, 12, 50, 99}));
      case 2: return fmt::format(" cmsg {} 1 5", rnd_.pick({2, 6, 41, 77, 255}));
      case 3: return fmt::format(" cmsg 1 {} 5", rnd_.pick({1, 2, 29, 35, 61, 99}));
      case 4: return " cmsg UDP_SEGMENT u8 3";
      case 5: return fmt::format(" cmsg 17 {} 5", rnd_.pick({1, 100, 102, 104}));
      default: return " cmsg IP_PKTINFO 0";
    }
  }

  string what() {
    int n = length();
    string words;
    if (rnd_.percent(25)) words += control();
    if (rnd_.percent(5)) words += control();
    if (rnd_.percent(6)) words += " MSG_MORE";
    if (rnd_.percent(3)) words += " MSG_DONTROUTE";
    if (rnd_.percent(3)) words += " MSG_CONFIRM";
    if (rnd_.percent(1)) words += " MSG_OOB";
    if (rnd_.percent(1)) words += " MSG_PROBE";
    if (rnd_.percent(2)) words += " MSG_EOR";
    if (full_buffers_ || rnd_.percent(2)) words += " MSG_DONTWAIT";
    return fmt::format("len {}{}", std::max(n, 0), words);
  }

  string odd_address() {
    if (rnd_.percent(96)) return "";
    return rnd_.pick({" addrlen 0", " addrlen 8", " addrlen 15", " family AF_UNSPEC",
                      " family AF_INET6", " family AF_UNIX", " family AF_UNSPEC addrlen 2"});
  }

  void send(const string& s) {
    const string repeat = rnd_.percent(5) ? fmt::format("repeat {} ", rnd_.between(2, 4)) : "";
    if (rnd_.percent(6)) {
      line(several(s));
    } else if (rnd_.percent(25)) {
      line(fmt::format("{}send {} {}", repeat, s, what()));
    } else {
      const string port = rnd_.percent(2) ? "0" : this->port();
      line(fmt::format("{}sendto {} {}:{} {}{}", repeat, s, destination(), port, what(),
                       odd_address()));
    }
    if (answers_) line("sleep 10ms");
    if (rnd_.percent(6) && !d_.mentions("unspec") && !d_.mentions("close ")) icmp();
  }

  // Either all to one, or to such as need no neighbour: the engine's own queue for one would let
  // the next datagram pass.
  string several(const string& s) {
    const string one = destination();
    const bool same = rnd_.percent(50);
    string words = "sendmmsg " + s;
    for (int n = rnd_.between(2, 4); n > 0; --n) {
      const string to = same ? one
                             : string(rnd_.pick({"127.0.0.1", "0.0.0.0", "224.0.0.77", "10.77.0.1",
                                                 "10.77.0.255", "255.255.255.255"}));
      words += fmt::format(
          " {} {}{}", rnd_.percent(20) && same ? "-" : to + ":" + port(),
          rnd_.percent(15) ? fmt::format("len {}", rnd_.pick({65508, 3000, 0})) : what(),
          n == 1 ? "" : " /");
    }
    return words;
  }

  // About the newest datagram on va; without one the runner takes the line out. An error about a
  // port that nobody has any more is the kernel's alone.
  void icmp() {
    line(string("peer icmp ") +
         rnd_.pick({"3 3",      "3 3",     "3 1",     "3 0",     "3 2",      "3 13",
                    "3 5",      "3 10",    "11 0",    "12 0",    "4 0",      "5 1 0x0a4d0063",
                    "3 4 1000", "3 4 600", "3 4 552", "3 4 100", "3 4 1400", "3 4 0",
                    "3 4 9000", "3 99"}));
    queue_ = true;
  }

  string room() {
    string words;
    if (rnd_.percent(15)) words += " MSG_PEEK";
    if (rnd_.percent(10)) words += " MSG_TRUNC";
    if (rnd_.percent(15)) words += fmt::format(" size {}", rnd_.pick({0, 1, 28, 100}));
    if (rnd_.percent(15)) words += fmt::format(" control {}", rnd_.pick({0, 16, 24, 48, 60}));
    return words;
  }

  void error_queue(const string& s) {
    line("recvmsg " + s + " MSG_ERRQUEUE" + room());
    if (rnd_.percent(30)) line(fmt::format("getsockopt {} SO_ERROR", s));
  }

  void call() {
    const string s = rnd_.pick(socks_);
    const int kind = rnd_.between(0, 99);
    if (kind < 68) return send(s);
    if (kind < 75) return option(s);
    if (kind < 81) return connect(s);
    if (kind < 83) return line("getsockname " + s);
    if (kind < 86)
      return line(
          fmt::format("getsockopt {} {}", s,
                      rnd_.pick({"IP_MTU", "IP_MTU", "IP_TOS", "IP_TTL", "SO_PRIORITY", "SO_ERROR",
                                 "IP_MTU_DISCOVER", "UDP_SEGMENT", "IP_MULTICAST_TTL", "IP_OPTIONS",
                                 "SO_MARK", "IP_UNICAST_IF size 4", "SO_BINDTODEVICE size 16"})));
    if (kind < 88) return line(fmt::format("setsockopt {} UDP_CORK {}", s, rnd_.between(0, 1)));
    if (kind < 90) return line(fmt::format("bind {} {}:{}", s, source(), rnd_.pick({4002, 4000})));
    if (kind < 91)
      return line(fmt::format("shutdown {} {}", s, rnd_.pick({"SHUT_RD", "SHUT_WR", "SHUT_RDWR"})));
    if (kind < 92) return line("recv " + s);
    if (kind < 94) return error_queue(s);
    if (kind < 97) return random_change(d_);
    if (kind < 98) {
      line("close " + s);
      return open(s);
    }
    send(s);
    send(s);
  }

  Draft& d_;
  RandomSource& rnd_;
  std::vector<string> socks_;
  bool receiver_ = false;
  bool answers_ = false;
  bool full_buffers_ = false;
  bool queue_ = false;  // an error queue may hold something
};

}  // namespace

void random_calls(Draft& draft) { CallAuthor(draft).write(); }

}  // namespace txp::kdiff
