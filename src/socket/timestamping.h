// SPDX-License-Identifier: Apache-2.0
// SO_TIMESTAMPING (Documentation/networking/timestamping.rst): what newer kernels have and Debian
// 12's headers lack, and the flags that a packet carries to whoever stamps it.
#pragma once

#include <linux/net_tstamp.h>
#include <sys/socket.h>

#include <cstdint>

namespace txp {

inline constexpr std::uint32_t kSofOptIdTcp = 1U << 16;      // SOF_TIMESTAMPING_OPT_ID_TCP, 6.3
inline constexpr std::uint32_t kSofOptRxFilter = 1U << 17;   // SOF_TIMESTAMPING_OPT_RX_FILTER, 6.12
inline constexpr std::uint32_t kSofTxCompletion = 1U << 18;  // SOF_TIMESTAMPING_TX_COMPLETION, 6.15
inline constexpr std::uint32_t kSofMask = (1U << 19) - 1;    // SOF_TIMESTAMPING_MASK, 6.15
inline constexpr std::uint32_t kSofTxRecordMask =            // SOF_TIMESTAMPING_TX_RECORD_MASK
    SOF_TIMESTAMPING_TX_HARDWARE | SOF_TIMESTAMPING_TX_SOFTWARE | SOF_TIMESTAMPING_TX_SCHED |
    SOF_TIMESTAMPING_TX_ACK | kSofTxCompletion;
inline constexpr int kScmTsOptId = 81;  // SCM_TS_OPT_ID, 6.13

// skb_shinfo(skb)->tx_flags, as far as software stamps go.
inline constexpr std::uint8_t kSkbTxSwTstamp = 1;
inline constexpr std::uint8_t kSkbTxSchedTstamp = 2;
inline constexpr std::uint8_t kSkbTxHwTstamp = 4;  // asked for, and no driver here can

// SCM_TSTAMP_*: which stamp it is, in sock_extended_err.ee_info.
inline constexpr std::uint32_t kScmTstampSnd = 0;
inline constexpr std::uint32_t kScmTstampSched = 1;

}  // namespace txp
