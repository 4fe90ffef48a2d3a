// SPDX-License-Identifier: Apache-2.0
#include "mirror/snapshot.h"

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <fstream>
#include <mutex>

#include <fcntl.h>
#include <fmt/chrono.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>
#include <nlohmann/json.hpp>

#include "base/clock.h"
#include "mirror/mirror.h"
#include "neigh/neighbour.h"
#include "net.h"

namespace txp {

namespace {

constexpr int kVersion = 1;
constexpr std::size_t kMaxLine = 1024 * 1024;  // bytes; a netlink message is 64 KiB at most
constexpr std::size_t kMaxLines = 20'000'000;  // a full Internet table is one of these
constexpr std::string_view kHeader = "txpath-snapshot";

void append_hex(std::string& out, std::span<const std::uint8_t> bytes) {
  static constexpr std::string_view kDigits = "0123456789abcdef";
  for (const std::uint8_t b : bytes) {
    out.push_back(kDigits[b >> 4]);
    out.push_back(kDigits[b & 15]);
  }
}

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

bool parse_hex(std::string_view hex, std::vector<std::uint8_t>& out) {
  out.clear();
  if (hex.size() % 2 != 0) return false;
  for (std::size_t i = 0; i < hex.size(); i += 2) {
    const int high = hex_digit(hex[i]);
    const int low = hex_digit(hex[i + 1]);
    if (high < 0 || low < 0) return false;
    out.push_back(static_cast<std::uint8_t>(high * 16 + low));
  }
  return true;
}

// A JSON string. Texts are printable, so that few bytes need escaping; those that are no UTF-8
// become U+FFFD.
void append_string(std::string& out, std::string_view s) {
  const bool plain = std::all_of(
      s.begin(), s.end(), [](char c) { return c >= 0x20 && c < 0x7f && c != '"' && c != '\\'; });
  if (plain) {
    out += '"';
    out += s;
    out += '"';
  } else {
    out += nlohmann::json(s).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  }
}

// The lines of a snapshot one after the other, never a longer one than kMaxLine.
class LineReader {
 public:
  virtual ~LineReader() = default;
  // 1: a line; 0: the end; -1: a line that is too long, or an unreadable file.
  virtual int next(std::string_view& line) = 0;
};

class TextLines : public LineReader {
 public:
  explicit TextLines(std::string_view text) : rest_(text) {}
  int next(std::string_view& line) override {
    if (rest_.empty()) return 0;
    line = rest_.substr(0, rest_.find('\n'));
    rest_.remove_prefix(std::min(line.size() + 1, rest_.size()));
    return line.size() > kMaxLine ? -1 : 1;
  }

 private:
  std::string_view rest_;
};

class FileLines : public LineReader {
 public:
  explicit FileLines(int fd) : fd_(fd) { buffer_.resize(kMaxLine + 1); }
  ~FileLines() override { close(fd_); }
  int next(std::string_view& line) override {
    for (;;) {
      const std::string_view have(buffer_.data() + from_, to_ - from_);
      if (const std::size_t end = have.find('\n'); end != std::string_view::npos) {
        line = have.substr(0, end);
        from_ += end + 1;
        return 1;
      }
      if (from_ > 0) {
        std::memmove(buffer_.data(), buffer_.data() + from_, to_ - from_);
        to_ -= from_;
        from_ = 0;
      }
      if (to_ == buffer_.size()) return -1;
      const ssize_t n = read(fd_, buffer_.data() + to_, buffer_.size() - to_);
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return -1;
      if (n == 0) {
        if (to_ == 0) return 0;
        line = std::string_view(buffer_.data(), to_);
        to_ = 0;
        return 1;
      }
      to_ += static_cast<std::size_t>(n);
    }
  }

 private:
  int fd_;
  std::string buffer_;
  std::size_t from_ = 0;
  std::size_t to_ = 0;
};

// One line: an object of strings and numbers. Filled without a tree, since there are millions.
struct Line {
  std::string type;
  std::string text;
  std::string raw;
  std::int64_t version = -1;
  std::int64_t lines = -1;
};

class LineSax : public nlohmann::json_sax<nlohmann::json> {
 public:
  explicit LineSax(Line& line) : line_(line) {}
  bool null() override { return depth_ == 1; }
  bool boolean(bool) override { return depth_ == 1; }
  bool number_integer(number_integer_t) override { return depth_ == 1; }
  bool number_unsigned(number_unsigned_t v) override {
    if (depth_ == 1 && v < (1ULL << 62)) {
      if (key_ == "version") line_.version = static_cast<std::int64_t>(v);
      if (key_ == "lines") line_.lines = static_cast<std::int64_t>(v);
    }
    return depth_ == 1;
  }
  bool number_float(number_float_t, const string_t&) override { return depth_ == 1; }
  bool string(string_t& v) override {
    if (key_ == "type")
      line_.type = std::move(v);
    else if (key_ == "text")
      line_.text = std::move(v);
    else if (key_ == "raw")
      line_.raw = std::move(v);
    return depth_ == 1;
  }
  bool binary(binary_t&) override { return false; }
  bool start_object(std::size_t) override { return ++depth_ == 1; }
  bool key(string_t& k) override {
    key_ = std::move(k);
    return true;
  }
  bool end_object() override { return --depth_ == 0; }
  bool start_array(std::size_t) override { return false; }
  bool end_array() override { return false; }
  bool parse_error(std::size_t, const std::string&, const nlohmann::detail::exception&) override {
    return false;
  }

 private:
  Line& line_;
  std::string key_;
  int depth_ = 0;
};

// Exactly as SnapshotWriter writes a message, without escapes; the way of nearly every line.
bool parse_plain(std::string_view s, Line& line) {
  const auto take = [&s](std::string_view what) {
    if (!s.starts_with(what)) return false;
    s.remove_prefix(what.size());
    return true;
  };
  const auto take_string = [&s](std::string& out) {
    const std::size_t end = s.find('"');
    if (end == std::string_view::npos) return false;
    const std::string_view v = s.substr(0, end);
    for (const char c : v)
      if (static_cast<unsigned char>(c) < 0x20 || static_cast<unsigned char>(c) >= 0x7f ||
          c == '\\')
        return false;
    out = v;
    s.remove_prefix(end + 1);
    return true;
  };
  return take("{\"type\":\"") && take_string(line.type) && take(",\"text\":\"") &&
         take_string(line.text) && take(",\"raw\":\"") && take_string(line.raw) && s == "}";
}

bool parse_line(std::string_view s, Line& line) {
  line.type.clear();
  line.text.clear();
  line.raw.clear();
  line.version = line.lines = -1;
  if (parse_plain(s, line)) return true;
  line = Line{};
  LineSax sax(line);
  return nlohmann::json::sax_parse(s.begin(), s.end(), &sax, nlohmann::json::input_format_t::json,
                                   true);
}

class Loader {
 public:
  Loader(Net& net, std::string name, const MessageSink& record)
      : net_(net), mirror_(net), name_(std::move(name)), record_(record) {}

  Result<ImportReport> load(LineReader& lines) {
    const std::lock_guard guard(net_.rtnl);
    mirror_.begin(MirrorPart::rules);
    bool ended = false;
    std::string_view text;
    for (int got = 0; (got = lines.next(text)) != 0;) {
      ++number_;
      if (got < 0) return at("longer than 1 MiB, or unreadable");
      if (number_ > kMaxLines) return at("more lines than any namespace has");
      if (ended) return at("something follows the end");
      if (!parse_line(text, line_)) return at("not a snapshot's JSON object");
      if (number_ == 1) {
        if (line_.type != kHeader) return at("not a txpath snapshot");
        if (line_.version != kVersion)
          return at(fmt::format("format version {}; this program reads version {}", line_.version,
                                kVersion));
        continue;
      }
      if (line_.type == "end") {
        if (line_.lines != static_cast<std::int64_t>(number_) - 2)
          return at(fmt::format("{} lines are told, {} are there", line_.lines, number_ - 2));
        ended = true;
        continue;
      }
      if (auto applied = message(); !applied) return at(applied.error().what);
    }
    if (number_ == 0) return fail(name_ + ": empty");
    if (!ended) return at("the file is cut off: its last line is missing");
    mirror_.end(MirrorPart::rules);
    (void)mirror_.take_featureless();
    mirror_.commit();
    net_.neigh->owner = NeighOwner::kernel;
    return ImportReport{.warnings = {}, .messages = number_ - 2, .routes = mirror_.routes()};
  }

 private:
  std::unexpected<Error> at(const std::string& why) const {
    return fail(fmt::format("{}:{}: {}", name_, number_, why));
  }

  Result<void> message() {
    const auto type = find_message_type(line_.type);
    if (!type) return fail(fmt::format("unknown type \"{}\"", line_.type.substr(0, 64)));
    if (!parse_hex(line_.raw, raw_)) return fail("\"raw\" is not hexadecimal");
    const Message m{*type, raw_, line_.text};
    if (record_) record_(m);
    // Devices and sysctls take effect before what stands on them.
    if (*type != last_ && (last_ == MessageType::features || last_ == MessageType::sysctl))
      mirror_.commit();
    last_ = *type;
    return mirror_.apply(m);
  }

  Net& net_;
  Mirror mirror_;
  std::string name_;
  const MessageSink& record_;
  std::size_t number_ = 0;
  Line line_;
  std::vector<std::uint8_t> raw_;
  MessageType last_ = MessageType::new_link;
};

}  // namespace

struct SnapshotWriter::Impl {
  std::string path;
  std::string temporary;
  std::FILE* file = nullptr;
  std::size_t lines = 0;
  int error = 0;
  std::string line;
};

SnapshotWriter::SnapshotWriter(std::string path) : impl_(std::make_unique<Impl>()) {
  impl_->path = std::move(path);
}

SnapshotWriter::~SnapshotWriter() {
  if (impl_->file == nullptr) return;
  std::fclose(impl_->file);
  unlink(impl_->temporary.c_str());
}

Result<void> SnapshotWriter::open() {
  impl_->temporary = impl_->path + ".XXXXXX";
  const int fd = mkostemp(impl_->temporary.data(), O_CLOEXEC);
  if (fd < 0) return fail(fmt::format("{}: {}", impl_->path, std::strerror(errno)));
  const mode_t mask = umask(0);
  umask(mask);
  (void)fchmod(fd, 0666 & ~mask);
  impl_->file = fdopen(fd, "w");
  utsname host{};
  uname(&host);
  const auto seconds = static_cast<std::time_t>(Clock::monotonic().wall() / kSecond);
  std::string& line = impl_->line;
  line = fmt::format("{{\"type\":\"{}\",\"version\":{},\"kernel\":", kHeader, kVersion);
  append_string(line, host.release);
  line += fmt::format(",\"time\":\"{:%Y-%m-%dT%H:%M:%SZ}\"}}\n", fmt::gmtime(seconds));
  if (std::fwrite(line.data(), 1, line.size(), impl_->file) != line.size()) impl_->error = errno;
  return {};
}

void SnapshotWriter::add(const Message& m) {
  std::string& line = impl_->line;
  line = "{\"type\":\"";
  line += name(m.type);
  line += "\",\"text\":";
  append_string(line, m.text);
  line += ",\"raw\":\"";
  append_hex(line, m.raw);
  line += "\"}\n";
  if (std::fwrite(line.data(), 1, line.size(), impl_->file) != line.size()) impl_->error = errno;
  ++impl_->lines;
}

Result<void> SnapshotWriter::commit() {
  const std::string end = fmt::format("{{\"type\":\"end\",\"lines\":{}}}\n", impl_->lines);
  const auto failed = [this](int error) {
    return fail(fmt::format("{}: {}", impl_->path, std::strerror(error)));
  };
  if (std::fwrite(end.data(), 1, end.size(), impl_->file) != end.size()) impl_->error = errno;
  if (std::fflush(impl_->file) != 0 || fsync(fileno(impl_->file)) != 0) impl_->error = errno;
  if (impl_->error != 0) return failed(impl_->error);
  if (std::rename(impl_->temporary.c_str(), impl_->path.c_str()) != 0) return failed(errno);
  std::fclose(std::exchange(impl_->file, nullptr));
  return {};
}

Result<ImportReport> save_snapshot(const std::string& path, const ImportOptions& options) {
  SnapshotWriter writer(path);
  if (auto opened = writer.open(); !opened) return std::unexpected(opened.error());
  Net net(Net::Options{});
  ImportOptions with_record = options;
  with_record.record = [&](const Message& m) {
    writer.add(m);
    if (options.record) options.record(m);
  };
  auto report = import_namespace(net, with_record);
  if (!report) return report;
  if (auto written = writer.commit(); !written) return std::unexpected(written.error());
  return report;
}

Result<ImportReport> load_snapshot(Net& net, const std::string& path, const MessageSink& record) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return fail(fmt::format("{}: {}", path, std::strerror(errno)));
  FileLines lines(fd);
  return Loader(net, path, record).load(lines);
}

Result<ImportReport> load_snapshot_text(Net& net, std::string_view text, const std::string& name,
                                        const MessageSink& record) {
  TextLines lines(text);
  return Loader(net, name, record).load(lines);
}

}  // namespace txp
