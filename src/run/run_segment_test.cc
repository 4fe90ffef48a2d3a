// SPDX-License-Identifier: Apache-2.0
#include "run/run_segment.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <vector>

namespace txp {
namespace {

std::vector<std::string> collected(RunSegment& s, bool ended) {
  std::vector<std::string> all;
  s.collect(ended, [&](std::string_view text) { all.emplace_back(text); });
  return all;
}

TEST(RunSegment, AReportIsGivenOnceWhenItsProcessIsDone) {
  auto command = RunSegment::create();
  ASSERT_TRUE(command);
  auto process = RunSegment::open(command->path());
  ASSERT_TRUE(process) << process.error().what;
  EXPECT_TRUE(process->publish("first", false));
  EXPECT_TRUE(collected(*command, false).empty());
  EXPECT_TRUE(process->publish("second", false));
  std::string now;
  command->look([&](std::string_view text) { now += text; });
  EXPECT_EQ(now, "second");
  EXPECT_TRUE(process->publish("last", true));
  EXPECT_EQ(collected(*command, false), std::vector<std::string>{"last"});
  EXPECT_TRUE(collected(*command, true).empty());
}

TEST(RunSegment, WhoIsKilledIsHeardWithWhatHeSaidLast) {
  auto command = RunSegment::create();
  ASSERT_TRUE(command);
  const pid_t child = ::fork();
  if (child == 0) {
    auto process = RunSegment::open(command->path());
    ::_exit(process && process->publish("said", false) ? 0 : 1);
  }
  int status = 1;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ASSERT_EQ(status, 0);
  EXPECT_EQ(collected(*command, false), std::vector<std::string>{"said"});
}

TEST(RunSegment, PlacesAreUsedAgain) {
  auto command = RunSegment::create();
  ASSERT_TRUE(command);
  for (int i = 0; i < 1000; ++i) {
    auto process = RunSegment::open(command->path());
    ASSERT_TRUE(process);
    ASSERT_TRUE(process->publish(std::to_string(i), true));
    EXPECT_EQ(collected(*command, false), std::vector<std::string>{std::to_string(i)});
  }
}

TEST(RunSegment, TheGenerationIsShared) {
  auto command = RunSegment::create();
  ASSERT_TRUE(command);
  auto process = RunSegment::open(command->path());
  ASSERT_TRUE(process);
  ++process->generation();
  EXPECT_EQ(command->generation(), 1U);
}

TEST(RunSegment, OtherFilesAreRefused) {
  EXPECT_FALSE(RunSegment::open("/dev/null"));
  EXPECT_FALSE(RunSegment::open("/proc/self/exe"));
  EXPECT_FALSE(RunSegment::open("/no/such/file"));
}

}  // namespace
}  // namespace txp
