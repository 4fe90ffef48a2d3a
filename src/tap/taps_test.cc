// SPDX-License-Identifier: Apache-2.0
#include "tap/taps.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "drivers/pcap.h"
#include "drivers/scripted_driver.h"
#include "tap/pcap_filter.h"

namespace txp {
namespace {

using testing::Bed;
using testing::test_link;

class Directory {
 public:
  Directory() {
    std::string name = (std::filesystem::temp_directory_path() / "txpath-test-XXXXXX").string();
    path_ = ::mkdtemp(name.data());
  }
  ~Directory() { std::filesystem::remove_all(path_); }
  std::string file(const std::string& name) const { return (path_ / name).string(); }
  std::size_t entries() const {
    const std::filesystem::directory_iterator all(path_);
    return static_cast<std::size_t>(std::distance(begin(all), end(all)));
  }

 private:
  std::filesystem::path path_;
};

std::vector<std::uint8_t> read(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

// What a command prints on both its outputs.
std::string output(const std::string& command) {
  std::string all;
  std::FILE* pipe = ::popen((command + " 2>&1").c_str(), "r");
  if (pipe == nullptr) return all;
  char part[4096];
  while (const std::size_t n = std::fread(part, 1, sizeof part, pipe)) all.append(part, n);
  ::pclose(pipe);
  return all;
}

std::uint32_t word(const std::vector<std::uint8_t>& bytes, std::size_t at) {
  std::uint32_t v = 0;
  if (at + sizeof v <= bytes.size()) std::memcpy(&v, &bytes[at], sizeof v);
  return v;
}

TEST(Pcapng, BlocksAreWhole) {
  Directory dir;
  const std::string path = dir.file("out.pcapng");
  auto writer = PcapngWriter::open(path);
  ASSERT_TRUE(writer);
  const std::vector<std::uint8_t> frame(61, 7);
  (*writer)->packet(test_link(), 1'000'000'007, frame, true);
  EXPECT_FALSE(std::filesystem::exists(path));  // not before it is whole
  ASSERT_TRUE((*writer)->close());
  EXPECT_EQ(dir.entries(), 1U);
  const auto bytes = read(path);
  std::vector<std::uint32_t> types;
  for (std::size_t at = 0; at < bytes.size();) {
    const std::uint32_t size = word(bytes, at + 4);
    ASSERT_GE(size, 12U);
    ASSERT_EQ(size % 4, 0U);
    EXPECT_EQ(word(bytes, at + size - 4), size);
    types.push_back(word(bytes, at));
    at += size;
  }
  EXPECT_EQ(types, (std::vector<std::uint32_t>{0x0a0d0d0a, 1, 6}));
}

TEST(Pcapng, UnwritablePlaceIsOneClearError) {
  auto writer = PcapngWriter::open("/nonexistent/out.pcapng");
  ASSERT_FALSE(writer);
  EXPECT_EQ(writer.error().what, "/nonexistent/out.pcapng: No such file or directory");
}

TEST(Pcapng, TsharkReadsItWithoutAWarning) {
  if (std::system("command -v tshark >/dev/null 2>&1") != 0) GTEST_SKIP() << "no tshark";
  Directory dir;
  const std::string path = dir.file("out.pcapng");
  {
    Bed bed;
    auto driver = make_pcap(path);
    ASSERT_TRUE(driver);
    bed.net.clock.advance(1'700'000'000'123'456'789);
    bed.net.dev->attach(*bed.dev, std::move(*driver));
    std::vector<std::uint8_t> odd(33, 'x');
    for (int i = 0; i < 3; ++i) ASSERT_TRUE(bed.send(bed.frame(odd)).ok());
  }
  const std::string fields = output(
      "tshark -r " + path +
      " -o udp.check_checksum:TRUE -o ip.check_checksum:TRUE -T fields -e frame.interface_name "
      "-e frame.time_epoch -e udp.checksum.status -e ip.checksum.status -e frame.len | grep -v "
      "'Running as user'");
  EXPECT_EQ(fields,
            "d0\t1700000000.123456789\t1\t1\t75\n"
            "d0\t1700000000.123456789\t1\t1\t75\n"
            "d0\t1700000000.123456789\t1\t1\t75\n");
  EXPECT_EQ(output("tshark -r " + path + " -Y _ws.expert | grep -v 'Running as user'"), "");
}

TEST(Taps, RingKeepsTheLastFramesWithCompleteChecksums) {
  Bed bed(test_link(), {.csum = true});
  RingTap ring(2);
  const std::lock_guard guard(bed.net.rtnl);
  bed.net.dev->add_tap(bed.dev, &ring);
  for (std::uint8_t i = 1; i <= 3; ++i) (void)bed.send(i);
  const auto frames = ring.frames();
  ASSERT_EQ(frames.size(), 2U);
  EXPECT_EQ(ring.seen(), 3U);
  EXPECT_EQ(frames[0].bytes[42], 2);
  EXPECT_EQ(frames[1].bytes[42], 3);
  EXPECT_EQ(frames[1].dev, "d0");
  EXPECT_TRUE(frames[1].outgoing);
  bed.net.dev->remove_tap(&ring);
  Bed software;
  (void)software.send(3);
  EXPECT_EQ(frames[1].bytes, software.driver->frames[0]);
}

TEST(Taps, CallbackSeesEveryFrame) {
  Bed bed;
  std::vector<std::size_t> sizes;
  CallbackTap tap([&](const TapFrame& f) { sizes.push_back(f.bytes.size()); });
  const std::lock_guard guard(bed.net.rtnl);
  bed.net.dev->add_tap(nullptr, &tap);
  (void)bed.send(1);
  (void)bed.send(2);
  EXPECT_EQ(sizes, (std::vector<std::size_t>{46, 46}));
  bed.net.dev->remove_tap(&tap);
}

TEST(Taps, PcapngTapWritesWhatLeaves) {
  Directory dir;
  const std::string path = dir.file("tap.pcapng");
  Bed bed;
  auto writer = PcapngWriter::open(path);
  ASSERT_TRUE(writer);
  PcapngTap tap(*writer);
  {
    const std::lock_guard guard(bed.net.rtnl);
    bed.net.dev->add_tap(bed.dev, &tap);
  }
  (void)bed.send(1);
  {
    const std::lock_guard guard(bed.net.rtnl);
    bed.net.dev->remove_tap(&tap);
  }
  EXPECT_EQ((*writer)->packets(), 1U);
  ASSERT_TRUE((*writer)->close());
  EXPECT_TRUE(std::filesystem::exists(path));
  ASSERT_TRUE((*writer)->close());
}

TEST(QueueTap, ASlowReaderLosesItsOwnCopiesAndNoPacket) {
  Bed bed;
  QueueTap tap(3);
  {
    const std::lock_guard guard(bed.net.rtnl);
    bed.net.dev->add_tap(nullptr, &tap);
  }
  for (std::uint8_t i = 1; i <= 5; ++i) ASSERT_TRUE(bed.send(i).ok());
  EXPECT_EQ(bed.driver->frames.size(), 5U);
  EXPECT_EQ(tap.seen(), 5U);
  EXPECT_EQ(tap.lost(), 2U);
  TapFrame frame;
  for (int i = 1; i <= 3; ++i) {
    ASSERT_TRUE(tap.take(frame));
    EXPECT_EQ(frame.bytes[42], i);
  }
  EXPECT_FALSE(tap.take(frame));
  ASSERT_TRUE(bed.send(6).ok());
  ASSERT_TRUE(tap.take(frame));
  EXPECT_EQ(frame.bytes[42], 6);
  const std::lock_guard guard(bed.net.rtnl);
  bed.net.dev->remove_tap(&tap);
}

TEST(FilteredTap, ShowsWhatTheExpressionMatches) {
  Bed bed;
  auto filter = PcapFilter::compile("udp dst port 2 and udp[8] = 3");
  ASSERT_TRUE(filter) << filter.error().what;
  auto queue = std::make_unique<QueueTap>(10);
  QueueTap& seen = *queue;
  FilteredTap tap(*filter, std::move(queue));
  {
    const std::lock_guard guard(bed.net.rtnl);
    bed.net.dev->add_tap(bed.dev, &tap);
  }
  for (std::uint8_t i = 1; i <= 5; ++i) ASSERT_TRUE(bed.send(i).ok());
  EXPECT_EQ(seen.seen(), 1U);
  TapFrame frame;
  ASSERT_TRUE(seen.take(frame));
  EXPECT_EQ(frame.bytes[42], 3);
  const std::lock_guard guard(bed.net.rtnl);
  bed.net.dev->remove_tap(&tap);
}

TEST(PcapFilter, ABadExpressionIsLibpcapsError) {
  const auto filter = PcapFilter::compile("udp port is");
  ASSERT_FALSE(filter);
  EXPECT_NE(filter.error().what.find("udp port is"), std::string::npos) << filter.error().what;
}

}  // namespace
}  // namespace txp
