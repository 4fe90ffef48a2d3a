// SPDX-License-Identifier: Apache-2.0
#include "run/run_options.h"

#include <gtest/gtest.h>

namespace txp {
namespace {

TEST(RunOptions, ComeBackAsTheyWere) {
  RunOptions o;
  o.device = "af_packet";
  o.devices = {{"eth0", "kernel"}, {"va", "fault(drop=0.1)/null"}};
  o.doorbell = Doorbell::async;
  o.strict = true;
  o.bulk = false;
  o.trace = 7;
  o.pcap = "/tmp/\"x\" \xff.pcapng";
  o.segment = "/proc/1/fd/3";
  const auto back = decode_run_options(encode(o));
  ASSERT_TRUE(back);
  EXPECT_EQ(back->device, o.device);
  EXPECT_EQ(back->devices, o.devices);
  EXPECT_EQ(back->doorbell, Doorbell::async);
  EXPECT_TRUE(back->strict);
  EXPECT_FALSE(back->bulk);
  EXPECT_EQ(back->trace, 7U);
  EXPECT_EQ(back->segment, o.segment);
}

TEST(RunOptions, AnythingElseIsRefused) {
  for (const char* text : {"", "x", "[]", "{\"trace\":\"x\"}", "{\"devices\":3}", "{\"async\":1}"})
    EXPECT_FALSE(decode_run_options(text)) << text;
}

}  // namespace
}  // namespace txp
