// SPDX-License-Identifier: Apache-2.0
#include "mirror/import.h"

#include <array>

#include "mirror/importer.h"
#include "mirror/mirror.h"
#include "mirror/namespace_reader.h"
#include "neigh/neighbour.h"
#include "net.h"

namespace txp {

namespace {

// What must be there before what: devices before all, addresses before gateways, next-hop objects
// before routes.
constexpr std::array kOrder{
    MirrorPart::links,         MirrorPart::xps,         MirrorPart::sysctls,
    MirrorPart::addrs,         MirrorPart::nexthops,    MirrorPart::rules,
    MirrorPart::routes,        MirrorPart::exceptions,  MirrorPart::neighs,
    MirrorPart::qdiscs,        MirrorPart::classes,     MirrorPart::filters,
    MirrorPart::egress_hooks,  MirrorPart::multicast,   MirrorPart::nft,
    MirrorPart::foreign_hooks, MirrorPart::xfrm,        MirrorPart::obstacles,
    MirrorPart::addrs6,        MirrorPart::addrlabels,  MirrorPart::rules6,
    MirrorPart::routes6,       MirrorPart::exceptions6, MirrorPart::multicast6,
    MirrorPart::bridges,
};
static_assert(kOrder.size() == kMirrorPartCount);

// Applies and, when asked, records with the words of `ip`.
Result<void> take(Mirror& mirror, const Message& m, const MessageSink& record,
                  std::size_t& messages) {
  auto decoded = decode(m);
  if (!decoded) return std::unexpected(decoded.error());
  ++messages;
  if (std::holds_alternative<Irrelevant>(decoded->what)) return {};
  if (record) {
    const std::string text = m.text.empty() ? mirror.text(m, *decoded) : std::string(m.text);
    record({m.type, m.raw, text});
  }
  return mirror.apply(std::move(*decoded));
}

// Links name each other, so that their words are known only when all are there.
Result<void> take_links(NamespaceReader& reader, Mirror& mirror, const MessageSink& record,
                        std::size_t& messages) {
  std::vector<std::vector<std::uint8_t>> all;
  auto read = reader.read(MirrorPart::links, [&](const Message& m) -> Result<void> {
    if (record) all.emplace_back(m.raw.begin(), m.raw.end());
    ++messages;
    return mirror.apply(m);
  });
  if (!read) return read;
  for (const auto& raw : all) {
    const Message m{MessageType::new_link, raw, {}};
    const auto decoded = decode(m);
    if (!decoded || std::holds_alternative<Irrelevant>(decoded->what)) continue;
    const std::string text = mirror.text(m, *decoded);
    record({m.type, m.raw, text});
  }
  return {};
}

}  // namespace

Result<std::size_t> import_all(NamespaceReader& reader, Mirror& mirror, bool whole,
                               const MessageSink& record) {
  std::size_t messages = 0;
  for (const MirrorPart part : kOrder) {
    // Into an empty Net objects are simply added; rules replace a namespace's first ones.
    const bool gather = whole || part == MirrorPart::rules || part >= MirrorPart::addrs6;
    if (gather) mirror.begin(part);
    const MessageTaker taker = [&](const Message& m) { return take(mirror, m, record, messages); };
    Result<void> read;
    if (part == MirrorPart::links) {
      read = take_links(reader, mirror, record, messages);
      if (read) read = reader.read_features(0, taker);
    } else {
      read = reader.read(part, taker);
    }
    if (!read) return std::unexpected(read.error());
    if (gather) mirror.end(part);
    mirror.set_stale(part, false);
    // Sysctls decide a new device's discipline; a ruleset names devices.
    if (part == MirrorPart::links || part == MirrorPart::sysctls) mirror.commit();
  }
  (void)mirror.take_featureless();
  mirror.commit();
  return messages;
}

Result<ImportReport> import_namespace(Net& net, const ImportOptions& options) {
  auto reader = NamespaceReader::open(options.netns);
  if (!reader) return std::unexpected(reader.error());
  const std::lock_guard guard(net.rtnl);
  net.neigh->owner = net.neigh6->owner = NeighOwner::kernel;  // first: nothing arms a timer
  Mirror mirror(net);
  const auto messages = import_all(**reader, mirror, false, options.record);
  if (!messages) return std::unexpected(messages.error());
  return ImportReport{
      .warnings = (*reader)->warnings(), .messages = *messages, .routes = mirror.routes()};
}

}  // namespace txp
