// SPDX-License-Identifier: Apache-2.0
// Where a running txpath shows its counters to `txpath stat`: one file a process, PID.json in
// $XDG_RUNTIME_DIR/txpath, or in /run/txpath where that is not set.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "observe/stat.h"

namespace txp {

// This process's file. It is gone when this is.
class StatFile {
 public:
  StatFile();
  ~StatFile();
  StatFile(const StatFile&) = delete;
  StatFile& operator=(const StatFile&) = delete;

  // Replaces the file, whole; adds "pid", "command" and "netns" (the namespace's inode). That it
  // could not be written is no error of the work that is being counted: it is only not shown.
  void publish(const Json& report, std::string_view command);

 private:
  std::string path_;  // "": nowhere to write
};

// The reports of the running processes that are in the calling thread's namespace.
std::vector<Json> read_stat_files();

}  // namespace txp
