// SPDX-License-Identifier: Apache-2.0
#include "observe/counters.h"

#include <string>

#include "net.h"
#include "observe/trace.h"

namespace txp {
namespace {
StageCounters& counters_at(Net& net, Stage stage) {
  return net.this_cpu().counters.stages[static_cast<std::size_t>(stage)];
}
}  // namespace

void enter(Net& net, Stage stage, const Skb& skb) {
  StageCounters& c = counters_at(net, stage);
  c.packets.add();
  c.bytes.add(skb.len);
  if (skb.trace != nullptr) skb.trace->enter(stage, skb.len);
}

void enter(Net& net, Stage stage, Trace* trace, std::size_t len) {
  StageCounters& c = counters_at(net, stage);
  c.packets.add();
  c.bytes.add(len);
  if (trace != nullptr) trace->enter(stage, len);
}

void drop(Net& net, Stage stage, SkbPtr skb, DropReason reason) {
  Counters& c = net.this_cpu().counters;
  c.stages[static_cast<std::size_t>(stage)].drops[static_cast<std::size_t>(reason)].add();
  c.dropped.add();
  if (skb->trace != nullptr) skb->trace->dropped(stage, reason);
  free_skb(std::move(skb));
}

void drop_unborn(Net& net, Stage stage, Trace* trace, DropReason reason) {
  Counters& c = net.this_cpu().counters;
  c.sent.add();
  c.dropped.add();
  c.stages[static_cast<std::size_t>(stage)].drops[static_cast<std::size_t>(reason)].add();
  if (trace != nullptr) trace->dropped(stage, reason);
}

void rx_drop(Net& net, DropReason reason) {
  net.this_cpu().counters.rx_drops[static_cast<std::size_t>(reason)].add();
}

void rx_drop(Net& net, SkbPtr skb, DropReason reason) {
  rx_drop(net, reason);
  free_skb(std::move(skb));
}

void consume(SkbPtr skb) { free_skb(std::move(skb)); }

void born(Net& net, std::uint64_t n) { net.this_cpu().counters.sent.add(n); }

void delivered(Net& net, std::uint64_t n) { net.this_cpu().counters.delivered.add(n); }

void snmp(Net& net, Snmp counter, std::uint64_t n) {
  net.this_cpu().counters.snmp[static_cast<std::size_t>(counter)].add(n);
}

void tell_unknown(Net& net, Stage stage, Trace* trace, NamedObject object) {
  net.keep_unknown(object.kind + " " + object.text);
  if (trace != nullptr) trace->unknown(stage, std::move(object));
}

TxResult unknown(Net& net, Stage stage, SkbPtr skb, std::string_view kind,
                 std::string_view object) {
  NamedObject what;
  what.kind = kind;
  what.text = object;
  tell_unknown(net, stage, skb->trace, std::move(what));
  drop(net, stage, std::move(skb), DropReason::TXPATH_UNKNOWN);
  return TxResult::error(kUnknown);
}

}  // namespace txp
