// SPDX-License-Identifier: Apache-2.0
// An explanation's forms: JSON for programs, text for people, a page for the browser.
#pragma once

#include <cstdint>
#include <string>

#include "explain/explain.h"

namespace txp {

// One object on one line, without a newline; its keys are the command line's contract
// (docs/explain.md).
std::string explanation_json(const Explanation& x);

enum class Detail : std::uint8_t {
  minimal,   // the verdict
  summary,   // the stages where something decided, and the verdict
  normal,    // every stage
  detailed,  // also what did not match, the sizes, and the frames in hexadecimal
};
// Ends in a newline. `colour`: with terminal colours.
std::string explanation_text(const Explanation& x, Detail detail, bool colour);

// A single page that needs nothing else.
std::string explanation_html(const Explanation& x);

// The verdict in one plain sentence, without a full stop.
std::string verdict_sentence(const Explanation& x);
// The smallest change that would let a dropped or refused datagram pass, in the words of the tool
// that makes it ("ip rule del priority 100"); "": there is none to name.
std::string smallest_change(const Explanation& x);
// "udp 10.77.0.1:* > 10.77.0.2:53, 100 bytes"
std::string flow_line(const Explanation& x);
// The object that decided last, of those that a stage tells of; null: none did.
const ReportObject* decided(const std::vector<ReportObject>& by);
// "dev va, gateway none, mtu 1500"
std::string fields_line(const Fields& fields);
// An object's words with what identifies it: "32766: from all lookup main".
std::string object_line(const ReportObject& o);

}  // namespace txp
