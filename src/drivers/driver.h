// SPDX-License-Identifier: Apache-2.0
// What stands behind a net device: struct net_device_ops (include/linux/netdevice.h).
// Adding one: a file here, a line in registry.cc, a scenario.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "skb/skb.h"

namespace txp {

struct NetDevice;

enum class NetdevTx : std::uint8_t { ok, busy };  // NETDEV_TX_OK, NETDEV_TX_BUSY

// What the driver finishes by itself; validate_xmit_skb() does the rest in software.
struct DriverFeatures {
  bool csum = false;        // takes IpSummed::partial
  bool gso_udp_l4 = false;  // takes GsoType::udp_l4
  bool frag_list = false;   // takes skbs with a frag_list
  bool lltx = false;        // needs no transmit lock (NETIF_F_LLTX)
  bool stacked = false;     // hands frames on to another device of this Net
  bool counts = false;      // counts tx_packets and tx_bytes itself (dev_tx_add())
  bool sync = false;        // ends every frame before ndo_start_xmit() returns
  bool batch = false;       // wants several packets a doorbell (byte queue limits in the kernel)
};

class Driver {
 public:
  virtual ~Driver() = default;
  virtual DriverFeatures features() const { return {}; }
  // Under the queue's transmit lock (unless lltx). ok: the driver took `skb` and ends it, now or
  // later, with consume(), or with drop_taken() when the frame is lost. busy: `skb` is untouched
  // and comes again.
  // `more`: another frame follows at once (netdev_xmit_more()), so the doorbell may wait.
  virtual NetdevTx ndo_start_xmit(Net& net, NetDevice& dev, unsigned queue, SkbPtr& skb,
                                  bool more) = 0;
  // Takes in received frames (netif_receive_frame()) and completions, at most `budget`; wakes
  // stopped queues. Answers how many.
  virtual std::size_t poll(Net&, NetDevice&, std::size_t /*budget*/) { return 0; }
  // Readable when poll() has work; -1: nothing to wait for.
  virtual int fd() const { return -1; }
  // `ethtool -S`: the driver's own counters by name.
  virtual std::vector<std::pair<std::string, std::uint64_t>> stats() const { return {}; }
};

// The driver lost a frame that it had taken: ends it with `reason` and takes it back from what
// ndo_start_xmit() counted as delivered.
void drop_taken(Net& net, NetDevice& dev, SkbPtr skb, DropReason reason);
// The same without counting tx_dropped, as devices do that only lose their interest in a frame.
void end_taken(Net& net, SkbPtr skb, DropReason reason);
// The engine does not do what this device would do with a frame that it has taken: names `text`.
void unknown_taken(Net& net, SkbPtr skb, std::string text);
// One frame of `bytes` left by `queue`.
void dev_tx_add(Net& net, NetDevice& dev, unsigned queue, std::uint64_t bytes);
// For devices on devices: from here on `skb` walks another layer.
void begin_layer(Skb& skb);
// Hands a taken frame on to `lower`; its answer is also what the sender hears.
TxResult xmit_below(Net& net, SkbPtr skb, NetDevice& lower);
// `n` taken frames are held back by the driver for longer than the call: they count as queued until
// release_taken(), after which they are sent or dropped as taken.
void hold_taken(Net& net, NetDevice& dev, std::uint64_t n);
void release_taken(Net& net, NetDevice& dev, std::uint64_t n);

}  // namespace txp
