// SPDX-License-Identifier: Apache-2.0
#include "run/capture.h"

#include <poll.h>

#include "dev/netdevice.h"
#include "net.h"

namespace txp {

RunCapture::RunCapture(std::shared_ptr<PcapngWriter> writer)
    : writer_(std::move(writer)), tap_([this](const TapFrame& frame) {
        const std::lock_guard guard(mutex_);
        frames_.push_back(frame);
      }) {}

Result<std::unique_ptr<RunCapture>> RunCapture::open(Net& net, const std::string& path) {
  auto writer = PcapngWriter::open(path);
  if (!writer) return std::unexpected(writer.error());
  std::unique_ptr<RunCapture> capture(new RunCapture(std::move(*writer)));
  const std::lock_guard guard(net.rtnl);
  net.dev->add_tap(nullptr, &capture->tap_);
  return capture;
}

void RunCapture::write() {
  if (closed_) return;
  const bool last = closing_.load();
  std::vector<TapFrame> frames;
  {
    const std::lock_guard guard(mutex_);
    frames.swap(frames_);
  }
  for (const TapFrame& f : frames) {
    Link link;
    link.ifindex = f.ifindex;
    link.name = f.dev;
    writer_->packet(link, f.wall, f.bytes, f.outgoing);
  }
  if (!last) return;
  (void)writer_->close();  // without the file the command has nothing to join
  closed_ = true;
}

void RunCapture::close(Nanos most) {
  closing_ = true;
  for (Nanos waited = 0; !closed_ && waited < most; waited += kMillisecond) ::poll(nullptr, 0, 1);
}

}  // namespace txp
