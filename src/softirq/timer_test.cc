// SPDX-License-Identifier: Apache-2.0
#include "softirq/timer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <memory>
#include <thread>
#include <vector>

#include "net.h"

namespace txp {
namespace {

struct Log {
  std::vector<int> fired;
};
struct Named {
  Timer timer;
  int name = 0;
  Log* log = nullptr;
  TimerQueue* again = nullptr;
  Nanos again_at = 0;
};
void note(Net&, Timer& t) {
  Named& n = *static_cast<Named*>(t.arg);
  n.log->fired.push_back(n.name);
  if (n.again != nullptr) n.again->mod(t, n.again_at);
}

class TimerTest : public ::testing::Test {
 protected:
  Named& named(int name) {
    auto n = std::make_unique<Named>();
    n->name = name;
    n->log = &log;
    n->timer.function = note;
    n->timer.arg = n.get();
    all.push_back(std::move(n));
    return *all.back();
  }
  Net net{Net::Options{Clock::manual(), 1}};
  TimerQueue q;
  Log log;
  std::vector<std::unique_ptr<Named>> all;
};

TEST_F(TimerTest, FiresInOrderOfTimeAndThenOfSetting) {
  const std::vector<Nanos> when = {50, 10, 30, 10, 40, 20, 10};
  for (std::size_t i = 0; i < when.size(); ++i)
    EXPECT_FALSE(q.mod(named(static_cast<int>(i)).timer, when[i]));
  EXPECT_EQ(q.next(), 10);
  EXPECT_EQ(q.run(net, 9), 0U);
  EXPECT_EQ(q.run(net, 30), 5U);
  EXPECT_EQ(log.fired, (std::vector<int>{1, 3, 6, 5, 2}));
  EXPECT_EQ(q.next(), 40);
  EXPECT_EQ(q.run(net, 1000), 2U);
  EXPECT_EQ(q.next(), -1);
}

TEST_F(TimerTest, ModMovesAPendingTimerBothWays) {
  Named& a = named(1);
  Named& b = named(2);
  q.mod(a.timer, 10);
  q.mod(b.timer, 20);
  EXPECT_TRUE(q.mod(a.timer, 30));
  EXPECT_EQ(q.next(), 20);
  EXPECT_TRUE(q.mod(a.timer, 5));
  EXPECT_EQ(q.next(), 5);
  q.run(net, 100);
  EXPECT_EQ(log.fired, (std::vector<int>{1, 2}));
}

TEST_F(TimerTest, DeletedTimersNeverFire) {
  Named& a = named(1);
  Named& b = named(2);
  q.mod(a.timer, 10);
  q.mod(b.timer, 10);
  EXPECT_TRUE(q.del(a.timer));
  EXPECT_FALSE(q.del(a.timer));
  EXPECT_TRUE(q.cancel(b.timer));
  EXPECT_EQ(q.run(net, 100), 0U);
}

TEST_F(TimerTest, HeapHoldsUnderRandomSettingAndDeleting) {
  Random random(7);
  for (int i = 0; i < 200; ++i) named(i);
  for (int step = 0; step < 5000; ++step) {
    Named& n = *all[random.below(200)];
    if (random.below(3) == 0)
      q.del(n.timer);
    else
      q.mod(n.timer, random.below(1000));
  }
  std::vector<Nanos> expected;
  for (const auto& n : all)
    if (n->timer.heap_index != static_cast<std::size_t>(-1)) expected.push_back(n->timer.expires);
  std::ranges::sort(expected);
  EXPECT_EQ(q.run(net, 1000), expected.size());
  std::vector<Nanos> fired;
  for (const int name : log.fired)
    fired.push_back(all[static_cast<std::size_t>(name)]->timer.expires);
  EXPECT_EQ(fired, expected);
  EXPECT_EQ(q.next(), -1);
}

TEST_F(TimerTest, AFunctionThatSetsItselfToThePastRunsOncePerCall) {
  Named& a = named(1);
  a.again = &q;
  a.again_at = 5;
  q.mod(a.timer, 5);
  EXPECT_EQ(q.run(net, 10), 1U);
  EXPECT_EQ(q.run(net, 10), 1U);
  q.del(a.timer);
}

TEST_F(TimerTest, DelWaitsForAFunctionThatRunsElsewhere) {
  struct Gate {
    std::atomic<bool> entered{false};
    std::atomic<bool> leave{false};
    std::atomic<bool> left{false};
  } gate;
  Timer t;
  t.arg = &gate;
  t.function = [](Net&, Timer& timer) {
    Gate& g = *static_cast<Gate*>(timer.arg);
    g.entered.store(true);
    g.entered.notify_all();
    g.leave.wait(false);
    g.left.store(true);
  };
  q.mod(t, 1);
  std::thread runner([&] { q.run(net, 1); });
  gate.entered.wait(false);
  std::thread opener([&] {
    gate.leave.store(true);
    gate.leave.notify_all();
  });
  EXPECT_FALSE(q.del(t));
  EXPECT_TRUE(gate.left.load());
  runner.join();
  opener.join();
}

}  // namespace
}  // namespace txp
