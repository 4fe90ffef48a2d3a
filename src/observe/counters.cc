// SPDX-License-Identifier: Apache-2.0
#include "observe/counters.h"

#include <string>

#include "net.h"
#include "observe/trace.h"

namespace txp {

void trace_enter(Trace& trace, Stage stage, std::size_t len) { trace.enter(stage, len); }
void trace_enter(Stage stage, const Skb& skb) { skb.trace->enter(stage, skb); }

void drop(Net& net, Stage stage, SkbPtr skb, DropReason reason) {
  Counters& c = net.this_cpu().counters;
  c.at(stage, reason).add();
  c.dropped.add();
  if (skb->trace != nullptr) skb->trace->dropped(stage, reason);
  free_skb(std::move(skb));
}

void drop_unborn(Net& net, Stage stage, Trace* trace, DropReason reason) {
  Counters& c = net.this_cpu().counters;
  c.sent.add();
  c.dropped.add();
  c.at(stage, reason).add();
  if (trace != nullptr) trace->dropped(stage, reason);
}

void rx_drop(Net& net, DropReason reason) {
  net.this_cpu().counters.rx_drops[static_cast<std::size_t>(reason)].add();
}

void rx_drop(Net& net, SkbPtr skb, DropReason reason) {
  rx_drop(net, reason);
  free_skb(std::move(skb));
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
