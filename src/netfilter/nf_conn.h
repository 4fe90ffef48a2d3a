// SPDX-License-Identifier: Apache-2.0
// What a packet carries of its connection (skb->_nfct). Kernel twin: include/linux/skbuff.h.
#pragma once

#include <cstdint>

namespace txp {

struct NfConn;

// enum ip_conntrack_info.
enum class CtInfo : std::uint8_t {
  established = 0,
  related = 1,
  new_ = 2,
  established_reply = 3,
  related_reply = 4,
  untracked = 7,
};

// A packet's reference to its connection; null is allowed.
void nf_conn_get(NfConn* ct);
void nf_conn_put(NfConn* ct);

}  // namespace txp
