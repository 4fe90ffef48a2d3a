// SPDX-License-Identifier: Apache-2.0
// A world in a process of its own: whatever it makes goes with it. It plays one scenario after the
// other, cleaning its laboratory in between.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <string>

#include "kernel_diff/record.h"
#include "kernel_diff/run_scenario.h"
#include "kernel_diff/scenario.h"

namespace txp::kdiff {

class WorldProcess {
 public:
  struct Options {
    bool keep = false;              // no time limit, and the record says how to enter
    RunOptions run;                 // as run_scenario() takes them
    unsigned seconds_at_most = 20;  // for one scenario; what takes longer hangs
  };
  WorldProcess(WorldKind kind, const Options& options);
  WorldProcess(const WorldProcess&) = delete;
  WorldProcess& operator=(const WorldProcess&) = delete;
  ~WorldProcess();

  // Begins to play; answer() waits for the record. A process that died answers a record that says
  // so, and nothing afterwards: see alive().
  void play(const Scenario& scenario);
  WorldRecord answer();
  bool alive() const { return pid_ > 0; }

 private:
  void live(int in, int out);
  int end();  // answers the process's wait status
  std::string last_words(int status);

  const WorldKind kind_;
  const Options options_;
  std::atomic<int>* step_;  // shared with the process: the step that runs, -1 before
  int errors_ = -1;         // its standard error
  pid_t pid_ = -1;
  int in_ = -1;   // to the process
  int out_ = -1;  // from it
  Scenario scenario_;
};

// Whole buffers over pipes. False: the other end is gone.
bool write_all(int fd, std::string_view text);
bool read_some(int fd, std::string& to);
bool write_message(int fd, std::string_view text);
bool read_message(int fd, std::string& text);

}  // namespace txp::kdiff
