// SPDX-License-Identifier: Apache-2.0
#include "explain/trace_text.h"

#include <fmt/format.h>

#include <iterator>
#include <vector>

#include "base/rcu.h"
#include "explain/report.h"
#include "net.h"
#include "observe/trace.h"

namespace txp {

std::string trace_lines(const Net& net, const Trace& trace, std::size_t number, std::size_t& from) {
  const RcuReader reader;
  const std::vector<ReportStage> stages = report_stages(net, trace);
  std::string lines;
  for (std::size_t& i = from; i < stages.size(); ++i) {
    const ReportStage& s = stages[i];
    std::string words = fields_line(s.out);
    for (const ReportObject& o : s.by)
      words += fmt::format("{}[{} {}]", words.empty() ? "" : " ", o.kind, object_line(o));
    fmt::format_to(std::back_inserter(lines), "#{} {:>9.1f} us  {:<22} {:>5} B  {}{}{}\n", number,
                   static_cast<double>(trace.stages()[i].at - trace.stages()[0].at) / 1e3,
                   name(s.stage), s.len, s.result, words.empty() ? "" : "  ", words);
  }
  return lines;
}

}  // namespace txp
