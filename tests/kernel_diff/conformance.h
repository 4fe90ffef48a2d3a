// SPDX-License-Identifier: Apache-2.0
// docs/conformance.md, made from the scenarios themselves.
#pragma once

#include <string>

#include "base/result.h"

namespace txp::kdiff {

// `folder` holds the scenarios that agree, `folder`/known those that are known not to.
Result<std::string> conformance(const std::string& folder);

}  // namespace txp::kdiff
