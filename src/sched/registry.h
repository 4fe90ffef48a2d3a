// SPDX-License-Identifier: Apache-2.0
// Every discipline that the engine runs, by its kind. Adding one: a file here, a line in
// registry.cc, a scenario.
#pragma once

#include <memory>
#include <string_view>

#include "sched/qdisc.h"

namespace txp {

// The discipline of `spec` on a device like `link`. A kind that is not implemented, or options that
// cannot be read, give an UnknownQdisc, which answers unknown for every packet.
std::shared_ptr<Qdisc> make_qdisc(const QdiscSpec& spec, const Link& link);
bool qdisc_is_known(std::string_view kind);

std::shared_ptr<Qdisc> make_noop();
std::shared_ptr<Qdisc> make_noqueue(const QdiscSpec& spec, const Link& link);
std::shared_ptr<Qdisc> make_pfifo_fast(const QdiscSpec& spec, const Link& link);
std::shared_ptr<Qdisc> make_pfifo(const QdiscSpec& spec, const Link& link);
std::shared_ptr<Qdisc> make_bfifo(const QdiscSpec& spec, const Link& link);
std::shared_ptr<Qdisc> make_mq(const QdiscSpec& spec, const Link& link);
std::shared_ptr<Qdisc> make_unknown(const QdiscSpec& spec);

}  // namespace txp
