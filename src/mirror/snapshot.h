// SPDX-License-Identifier: Apache-2.0
// A namespace in a file: JSON lines. The first line says what it is:
//   {"type":"txpath-snapshot","version":1,"kernel":"6.1.0-18-amd64","time":"2026-01-02T03:04:05Z"}
// the last how many lines lie between, so that a cut file is noticed:
//   {"type":"end","lines":120}
// and each other line is one message (message.h), in the order in which they must be applied:
//   {"type":"RTM_NEWROUTE","text":"10.0.0.0/8 via 10.77.0.2 dev va","raw":"<hexadecimal>"}
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"
#include "mirror/import.h"

namespace txp {

class Net;

// Imports the namespace that `options` names and writes it. The file appears whole or not at all
// (written beside `path`, then renamed). Errors: import_namespace()'s, and those of the file.
[[nodiscard]] Result<ImportReport> save_snapshot(const std::string& path,
                                                 const ImportOptions& options);

// Fills an empty Net from a file; `record` sees every message. On error ("FILE:LINE: WHY") the Net
// is half filled: throw it away. Sets net.neigh->owner to NeighOwner::kernel.
[[nodiscard]] Result<ImportReport> load_snapshot(Net& net, const std::string& path,
                                                 const MessageSink& record = {});

// The same from memory, `name` for the messages.
[[nodiscard]] Result<ImportReport> load_snapshot_text(Net& net, std::string_view text,
                                                      const std::string& name,
                                                      const MessageSink& record = {});

// Writes a snapshot by hand, message by message. The file appears with commit().
class SnapshotWriter {
 public:
  explicit SnapshotWriter(std::string path);
  ~SnapshotWriter();
  SnapshotWriter(const SnapshotWriter&) = delete;
  SnapshotWriter& operator=(const SnapshotWriter&) = delete;

  [[nodiscard]] Result<void> open();
  void add(const Message& message);  // an error is kept for commit()
  [[nodiscard]] Result<void> commit();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace txp
