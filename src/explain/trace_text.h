// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <string>

namespace txp {

class Net;
class Trace;

// A trace for people, a line a stage: the datagram's number, the time since it began, the stage,
// and what decided. Stages from `from` on, which moves behind the last. Takes an RcuReader.
std::string trace_lines(const Net& net, const Trace& trace, std::size_t number, std::size_t& from);

}  // namespace txp
