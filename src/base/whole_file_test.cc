// SPDX-License-Identifier: Apache-2.0
#include "base/whole_file.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <iterator>

namespace txp {
namespace {

namespace fs = std::filesystem;

class WholeFileTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = fs::temp_directory_path() / "whole_file.XXXXXX";
    ASSERT_NE(::mkdtemp(name.data()), nullptr);
    dir_ = name;
  }
  void TearDown() override { fs::remove_all(dir_); }
  std::string read(const fs::path& p) const {
    std::ifstream in(p);
    return {std::istreambuf_iterator<char>(in), {}};
  }
  std::size_t entries() const {
    return static_cast<std::size_t>(std::distance(fs::directory_iterator(dir_), {}));
  }
  fs::path dir_;
};

TEST_F(WholeFileTest, AppearsAtCommitOnly) {
  const fs::path place = dir_ / "out";
  {
    auto f = WholeFile::create(place);
    ASSERT_TRUE(f);
    ASSERT_TRUE(f->write("hello"));
    EXPECT_FALSE(fs::exists(place));
    ASSERT_TRUE(f->commit());
  }
  EXPECT_EQ(read(place), "hello");
  EXPECT_EQ(entries(), 1U);
}

TEST_F(WholeFileTest, WithoutCommitTheOldFileStaysAndNothingElse) {
  const fs::path place = dir_ / "out";
  std::ofstream(place) << "old";
  {
    auto f = WholeFile::create(place);
    ASSERT_TRUE(f);
    ASSERT_TRUE(f->write("new"));
  }
  EXPECT_EQ(read(place), "old");
  EXPECT_EQ(entries(), 1U);
}

TEST_F(WholeFileTest, ReplacesWhatALinkPointsAtAndKeepsItsRights) {
  const fs::path place = dir_ / "out";
  std::ofstream(place) << "old";
  fs::permissions(place, fs::perms::owner_read | fs::perms::owner_write);
  fs::create_symlink(place, dir_ / "link");
  ASSERT_TRUE(write_whole_file(dir_ / "link", "new"));
  EXPECT_TRUE(fs::is_symlink(dir_ / "link"));
  EXPECT_EQ(read(place), "new");
  EXPECT_EQ(fs::status(place).permissions(), fs::perms::owner_read | fs::perms::owner_write);
}

TEST_F(WholeFileTest, ADeviceIsWrittenAndNotReplaced) {
  ASSERT_TRUE(write_whole_file("/dev/null", "gone"));
  EXPECT_TRUE(fs::is_character_file("/dev/null"));
}

TEST_F(WholeFileTest, WrongPlacesAreErrors) {
  EXPECT_FALSE(write_whole_file("", "x"));
  EXPECT_FALSE(write_whole_file(dir_ / "none" / "out", "x"));
  EXPECT_FALSE(write_whole_file(dir_, "x"));
  EXPECT_FALSE(write_whole_file("/dev/full", "x"));
}

}  // namespace
}  // namespace txp
