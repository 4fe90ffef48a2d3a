// SPDX-License-Identifier: Apache-2.0
// Every discipline that the engine runs, by its kind. Adding one: a file here, a line in
// registry.cc, a scenario.
#pragma once

#include <memory>
#include <string_view>

#include "sched/classful.h"

namespace txp {

// The discipline of `tree` and those below it on a device like `link`. A kind that is not
// implemented, or options that cannot be read, give an UnknownQdisc, which answers unknown for
// every packet.
std::shared_ptr<Qdisc> make_qdisc(const QdiscTree& tree, const Link& link);
bool qdisc_is_known(std::string_view kind);
// Whether a packet to this device passes a discipline whose state it shares with the kernel's own
// senders (a shaper, an AQM, netem): two instances would give the host twice its rate. rtnl held.
bool qdisc_state_is_shared(const NetDevice& dev);
// The discipline below a class: the one that the tree has there, or the kind's default.
std::shared_ptr<Qdisc> make_leaf(const QdiscTree& tree, std::uint32_t classid,
                                 std::string_view default_kind, const Link& link);
// The same for a discipline that bounds its queue in bytes (fifo_create_dflt()).
std::shared_ptr<Qdisc> make_limited_leaf(const QdiscTree& tree, std::uint32_t classid,
                                         std::uint32_t limit, const Link& link);
// psched_mtu(): a frame of the largest size.
std::uint32_t psched_mtu(const Link& link);
// The filters of a block: of the discipline (its handle) or of one class.
TcfChain make_filters(const QdiscTree& tree, std::uint32_t parent);

std::shared_ptr<Qdisc> make_noop();
std::shared_ptr<Qdisc> make_noqueue(const QdiscTree& tree, const Link& link);
std::shared_ptr<Qdisc> make_pfifo_fast(const QdiscTree& tree, const Link& link);
std::shared_ptr<Qdisc> make_pfifo(const QdiscTree& tree, const Link& link);
std::shared_ptr<Qdisc> make_bfifo(const QdiscTree& tree, const Link& link);
std::shared_ptr<Qdisc> make_mq(const QdiscTree& tree, const Link& link);
std::shared_ptr<Qdisc> make_tbf(const QdiscTree& tree, const Link& link);
std::shared_ptr<Qdisc> make_prio(const QdiscTree& tree, const Link& link);
std::shared_ptr<Qdisc> make_htb(const QdiscTree& tree, const Link& link);
std::shared_ptr<Qdisc> make_codel(const QdiscTree& tree, const Link& link);
std::shared_ptr<Qdisc> make_fq_codel(const QdiscTree& tree, const Link& link);
std::shared_ptr<Qdisc> make_fq(const QdiscTree& tree, const Link& link);
std::shared_ptr<Qdisc> make_sfq(const QdiscTree& tree, const Link& link);
std::shared_ptr<Qdisc> make_red(const QdiscTree& tree, const Link& link);
std::shared_ptr<Qdisc> make_drr(const QdiscTree& tree, const Link& link);
std::shared_ptr<Qdisc> make_netem(const QdiscTree& tree, const Link& link);
std::shared_ptr<Qdisc> make_etf(const QdiscTree& tree, const Link& link);
std::shared_ptr<Qdisc> make_unknown(const QdiscSpec& spec);

}  // namespace txp
