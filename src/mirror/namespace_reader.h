// SPDX-License-Identifier: Apache-2.0
// Reads the parts of a network namespace, each as messages. Import and live following both stand on
// it. Every function runs in the namespace's own thread; the caller waits.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "mirror/message.h"
#include "mirror/mirror.h"
#include "mirror/netlink.h"
#include "mirror/netns.h"

namespace txp {

// Takes one message; an error ends the reading.
using MessageTaker = std::function<Result<void>(const Message&)>;

class NamespaceReader {
 public:
  // Errors: NetnsThread::start()'s, and a rtnetlink socket that cannot be had.
  [[nodiscard]] static Result<std::unique_ptr<NamespaceReader>> open(const std::string& netns);

  // Every object of `part`. Errors: an interrupted dump, `take`'s.
  [[nodiscard]] Result<void> read(MirrorPart part, const MessageTaker& take);
  // The offloads of all interfaces, or of one.
  [[nodiscard]] Result<void> read_features(int ifindex, const MessageTaker& take);

  // What could not be read and might matter. Each once.
  const std::vector<std::string>& warnings() const { return warnings_; }
  NetnsThread& thread() { return *thread_; }

 private:
  explicit NamespaceReader(std::unique_ptr<NetnsThread> thread, NlSocket route)
      : thread_(std::move(thread)), route_(std::move(route)) {}

  Result<void> read_here(MirrorPart part, const MessageTaker& take);
  Result<void> dump(NlRequest& request, MessageType type, std::string_view what,
                    const MessageTaker& take);
  Result<void> dump6(NlRequest& request, MessageType type, MirrorPart part,
                     const MessageTaker& take);
  Result<std::vector<QdiscSpec>> classful_qdiscs();
  Result<void> read_classes(const MessageTaker& take);
  Result<void> read_filters(const MessageTaker& take);
  Result<void> read_bridges(const MessageTaker& take);
  Result<void> read_multicast(const MessageTaker& take);
  Result<void> read_multicast6(const MessageTaker& take);
  Result<void> read_sysctls(const MessageTaker& take);
  Result<void> read_xps(const MessageTaker& take);
  Result<void> read_nft(const MessageTaker& take);
  Result<void> read_foreign_hooks(const MessageTaker& take);
  Result<void> read_xfrm(const MessageTaker& take);
  Result<void> read_egress_hooks(const MessageTaker& take);
  Result<void> read_obstacles(const MessageTaker& take);
  Result<void> read_features_here(int ifindex, const MessageTaker& take);
  Result<void> take_own(MessageType type, const std::string& text, const MessageTaker& take);
  // Interfaces by index, with their transmit queues.
  struct Interface {
    int ifindex;
    std::string name;
    std::uint32_t queues;
  };
  Result<std::vector<Interface>> interfaces();
  void warn(std::string text);

  std::unique_ptr<NetnsThread> thread_;
  std::unique_ptr<NetnsThread> host_;  // where sysctls stand that a namespace does not show
  bool host_tried_ = false;
  NlSocket route_;
  std::unique_ptr<NlSocket> genl_;
  std::uint16_t ethtool_family_ = 0;
  std::vector<std::string> warnings_;
};

// How the running kernel was built, by the names of SysctlTree's "built/".
std::vector<std::pair<std::string, std::string>> read_kernel();

// The cgroup's programs that a datagram of this process meets: one obstacle each. `warn` gets a
// sentence when they cannot be seen.
void read_cgroup_programs(const std::function<void(const PathObstacle&)>& found,
                          const std::function<void(std::string)>& warn);
// tcx programs on the egress of `ifindex`, in the calling thread's namespace. False: not permitted.
bool read_tcx_programs(int ifindex, const std::function<void(const EgressHook&)>& found);

// nft's words for the calling thread's namespace: chains ("inet filter output" to "type filter
// hook ...") and rules ("inet filter 7", by handle). Empty without libnftables.
struct NftWords {
  std::map<std::string, std::string> chains;
  std::map<std::string, std::string> rules;
};
NftWords read_nft_words();

// Parses nft's listing; for read_nft_words().
NftWords parse_nft_listing(std::string_view listing);

}  // namespace txp
