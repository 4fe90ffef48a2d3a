// SPDX-License-Identifier: Apache-2.0
// The order in which a namespace is read, for import and for a follower's full resync.
#pragma once

#include <cstddef>

#include "base/result.h"
#include "mirror/message.h"

namespace txp {

class Mirror;
class NamespaceReader;

// Reads everything into `mirror`, whose Net's rtnl is held. `whole`: the Net has an older state,
// and what is not there any more must go. Answers how many messages came.
[[nodiscard]] Result<std::size_t> import_all(NamespaceReader& reader, Mirror& mirror, bool whole,
                                             const MessageSink& record);

}  // namespace txp
