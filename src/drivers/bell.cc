// SPDX-License-Identifier: Apache-2.0
#include "drivers/bell.h"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

namespace txp {

void Bell::wait(Nanos most) {
  const timespec t{static_cast<time_t>(most / kSecond), static_cast<long>(most % kSecond)};
  (void)::syscall(SYS_futex, &asleep_, FUTEX_WAIT_PRIVATE, 1, &t, nullptr, 0);
  cancel_sleep();
}

void Bell::wake() {
  if (asleep_.exchange(0, std::memory_order_acq_rel) != 0)
    (void)::syscall(SYS_futex, &asleep_, FUTEX_WAKE_PRIVATE, 1, nullptr, nullptr, 0);
}

}  // namespace txp
