// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "tap/wire_capture.h"

namespace txp::test {
using wirecap::complete;
using wirecap::Offloads;
using wirecap::WireCapture;
using wirecap::WireFrame;
}  // namespace txp::test
