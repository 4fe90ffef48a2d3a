// SPDX-License-Identifier: Apache-2.0
#include "cli/frames_pcap.h"

#include "dev/link.h"
#include "tap/pcapng_writer.h"

namespace txp::cli {

Result<void> write_frames_pcap(const std::string& path, const Explanation& x) {
  auto writer = PcapngWriter::open(path);
  if (!writer) return std::unexpected(writer.error());
  for (const ReportFrame& f : x.frames) {
    Link dev;
    dev.name = f.dev;
    dev.type = f.link_type;
    (*writer)->packet(dev, 0, f.bytes, true);
  }
  return (*writer)->close();
}

}  // namespace txp::cli
