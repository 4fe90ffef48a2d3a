// SPDX-License-Identifier: Apache-2.0
#include "observe/observed_send.h"

#include <algorithm>

#include "net.h"
#include "observe/latency.h"
#include "observe/trace_log.h"
#include "socket/sock.h"

namespace txp {

SockResult<std::size_t> observed_send(Net& net, Sock& sk, const MsgHdr& msg) {
  Cpu& cpu = net.this_cpu();
  MsgHdr told = msg;
  Trace* story = nullptr;
  Trace* timer = nullptr;
  if (msg.trace == nullptr) {  // the caller has no trace of its own
    if (net.trace_log != nullptr) told.trace = story = net.trace_log->begin(cpu);
    if (story == nullptr && net.latency_mode == LatencyMode::stage)
      told.trace = timer = cpu.stage_timer(net.clock);
    if (story == nullptr && net.latency_mode != LatencyMode::off)
      cpu.call_began = std::max<std::uint64_t>(net.clock.ticks(), 1);
  }
  cpu.observing = true;
  auto result = sock_sendmsg(net, sk, told);
  cpu.observing = false;
  cpu.call_began = 0;
  if (timer != nullptr) timer->stop_time();
  if (story != nullptr) net.trace_log->end(*story, sk, msg, result ? 0 : result.error().code);
  return result;
}

}  // namespace txp
