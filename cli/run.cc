// SPDX-License-Identifier: Apache-2.0
// txpath run: a program, and its children, whose UDP sends go through the engine.
//
// The command stays the program's parent: it holds the memory that the processes share
// (run/run_segment.h), passes signals on, gathers the reports, and ends as the program ended. When
// it is killed, the program is killed too.
#include <elf.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <linux/capability.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "base/whole_file.h"
#include "cli/command.h"
#include "cli/run_records.h"
#include "explain/flow_question.h"
#include "observe/stat.h"
#include "observe/stat_file.h"
#include "run/devices.h"
#include "run/run_options.h"
#include "run/run_segment.h"

namespace txp::cli {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kRunText =
    R"(device kinds: af_packet, null, kernel (leave it to the kernel), and those of `txpath send`;
  KIND alone counts for every device, DEV=KIND for one. Without: the best that opens.
What the engine does not do for certain the kernel sends; --why and --stat tell why.)";

constexpr int kNotRun = 126;    // as shells have it: found, but it cannot be run
constexpr int kNotFound = 127;  // as shells have it

volatile sig_atomic_t child_pid = 0;

extern "C" void pass_on(int signal) {
  if (child_pid > 0) ::kill(child_pid, signal);
}

// Where the library lies: beside the command's own folder, as built and as installed.
Result<std::string> preload_library() {
  std::error_code none;
  const fs::path self = fs::read_symlink("/proc/self/exe", none);
  for (const char* place : {"../lib", "../lib/x86_64-linux-gnu", "../lib/aarch64-linux-gnu"}) {
    const fs::path p = self.parent_path() / place / "libtxpath-preload.so";
    if (fs::exists(p, none)) return fs::canonical(p, none).string();
  }
  return fail(
      fmt::format("libtxpath-preload.so is not beside {}: build or install it", self.string()));
}

// PROGRAM as execvp() would find it; "" when it would not.
std::string find_program(const std::string& name) {
  if (name.find('/') != std::string::npos) return name;
  const char* path = std::getenv("PATH");
  std::string_view rest = path != nullptr ? path : "/usr/local/bin:/usr/bin:/bin";
  while (true) {
    const std::size_t colon = rest.find(':');
    const std::string candidate = fmt::format("{}/{}", rest.substr(0, colon), name);
    if (::access(candidate.c_str(), X_OK) == 0) return candidate;
    if (colon == std::string_view::npos) return {};
    rest.remove_prefix(colon + 1);
  }
}

// Why the program's own calls will not be seen; "": they will.
std::string unseen(const std::string& path) {
  struct stat st{};
  if (::stat(path.c_str(), &st) != 0) return {};
  if ((st.st_mode & S_ISUID) != 0 && st.st_uid != ::geteuid())
    return "it is setuid, and such programs take no preloaded library";
  std::ifstream in(path, std::ios::binary);
  Elf64_Ehdr head{};
  if (!in.read(static_cast<char*>(static_cast<void*>(&head)), sizeof head) ||
      std::memcmp(head.e_ident, ELFMAG, SELFMAG) != 0)
    return {};  // a script: its interpreter counts
  if (head.e_ident[EI_CLASS] != ELFCLASS64) return "it is not a 64-bit program";
  for (unsigned i = 0; i < head.e_phnum; ++i) {
    Elf64_Phdr segment{};
    in.seekg(static_cast<std::streamoff>(head.e_phoff + std::uint64_t{i} * head.e_phentsize));
    if (!in.read(static_cast<char*>(static_cast<void*>(&segment)), sizeof segment)) return {};
    if (segment.p_type == PT_INTERP) return {};
  }
  return "it is statically linked, and takes no preloaded library";
}

// The capabilities that the command has by `setcap` reach the program as ambient ones.
void hand_down_capabilities() {
  constexpr std::array<unsigned, 2> kNeeded{CAP_NET_RAW, CAP_NET_ADMIN};
  if (::geteuid() == 0) return;
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  std::array<__user_cap_data_struct, 2> data{};
  if (::syscall(SYS_capget, &header, data.data()) != 0) return;
  for (const unsigned cap : kNeeded)
    if ((data[0].permitted & (1U << cap)) != 0) data[0].inheritable |= 1U << cap;
  if (::syscall(SYS_capset, &header, data.data()) != 0) return;
  for (const unsigned cap : kNeeded)
    if ((data[0].inheritable & (1U << cap)) != 0)
      (void)::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, cap, 0, 0);
}

// Adds to an environment variable of the form A=B:C=D.
void add_option(const char* variable, const std::string& option) {
  const char* now = std::getenv(variable);
  const std::string all = now != nullptr && *now != 0 ? fmt::format("{}:{}", now, option) : option;
  ::setenv(variable, all.c_str(), 1);
}

struct RunWords {
  std::vector<std::string> devices;
  std::string doorbell = "sync";
  std::string stat;
  std::string trace;
  std::string pcap;
  std::string record;
  bool why = false;
  bool strict = false;
  bool no_bulk = false;
};

Result<RunOptions> run_options(const RunWords& w) {
  RunOptions o;
  for (const std::string& d : w.devices) {
    const auto equals = d.find('=');
    const auto paren = d.find('(');  // fault(drop=0.1)/af_packet is a KIND
    if (d.empty() || equals == 0 || equals + 1 == d.size())
      return fail(fmt::format("--device {}: KIND or DEV=KIND is wanted", d));
    if (equals == std::string::npos || paren < equals)
      o.device = d;
    else if (!o.devices.emplace(d.substr(0, equals), d.substr(equals + 1)).second)
      return fail(fmt::format("--device {}: given twice", d.substr(0, equals)));
  }
  o.doorbell = w.doorbell == "async" ? Doorbell::async : Doorbell::sync;
  o.strict = w.strict;
  o.bulk = !w.no_bulk;
  if (!w.trace.empty()) {
    const auto n = parse_number(w.trace, 10'000);
    if (!n) return fail(fmt::format("--trace {}: a number from 0 to 10000 is wanted", w.trace));
    o.trace = *n;
  }
  if (!w.pcap.empty()) o.pcap = fs::absolute(w.pcap).string();
  return o;
}

// What the processes of a run told.
class Reports {
 public:
  void take(std::string_view text) {
    Json report = Json::parse(text, nullptr, false);
    if (!report.is_object() || !report.contains("run")) return;
    processes_.push_back(std::move(report["run"]));
    report.erase("run");
    add_report(sum_, report);
  }
  bool any() const { return !processes_.empty(); }

  Json stat() const {
    Json all = sum_.is_null() ? Json{{"source", "txpath"}, {"fallback", Json::object()}} : sum_;
    all["run"] = processes_;
    return all;
  }

  std::string traces() const {
    std::string text;
    for (const Json& p : processes_)
      for (const Json& t : p["trace"]) {
        if (processes_.size() > 1)
          text += fmt::format("{} {}\n", p["command"].get<std::string>(), p["pid"].get<int>());
        text += t.get<std::string>();
      }
    return text;
  }

  // A line a socket: what became of its datagrams, and why not all are the engine's.
  std::string why() const {
    std::string text;
    for (const Json& p : processes_) {
      const std::string who =
          fmt::format("{} {}", p["command"].get<std::string>(), p["pid"].get<int>());
      if (p.contains("error")) text += fmt::format("{}: {}\n", who, p["error"].get<std::string>());
      for (const Json& w : p["warnings"])
        text += fmt::format("{}: {}\n", who, w.get<std::string>());
      for (const Json& d : p["devices"]) {
        const auto kind = d["kind"].get<std::string>();
        const auto reason = d["why"].get<std::string>();
        text += fmt::format("{}: dev {}: {}{}\n", who, d["dev"].get<std::string>(),
                            kind.empty() ? "the kernel" : kind,
                            reason.empty() ? "" : fmt::format(" ({})", reason));
      }
      for (const Json& s : p["sockets"]) {
        const auto engine = s["engine"].get<std::uint64_t>();
        const auto kernel = s["kernel"].get<std::uint64_t>();
        const auto label = s["socket"].get<std::string>();
        text += fmt::format("{}: socket {}{}{}: {}, {} by the engine, {} by the kernel", who,
                            s["fd"].get<int>(), label.empty() ? "" : " ", label,
                            engine > 0 ? "accelerated" : "not accelerated", engine, kernel);
        if (s.contains("why"))
          text += fmt::format("; {}{}", engine > 0 ? "first: " : "", s["why"].get<std::string>());
        text += "\n";
      }
      if (const auto more = p["more_sockets"].get<std::uint64_t>(); more > 0)
        text += fmt::format("{}: and {} sockets more\n", who, more);
    }
    return text;
  }

 private:
  Json sum_ = nullptr;
  Json processes_ = Json::array();
};

// The captures of the processes, one section each, as one file.
Result<void> join_captures(const std::string& path) {
  auto whole = WholeFile::create(path);
  if (!whole) return std::unexpected(whole.error());
  const fs::path target(path);
  std::error_code none;
  std::vector<fs::path> parts;
  const std::string stem = target.filename().string() + ".";
  for (const auto& entry : fs::directory_iterator(target.parent_path(), none)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with(stem) && name.find_first_not_of("0123456789", stem.size()) == name.npos &&
        name.size() > stem.size())
      parts.push_back(entry.path());
  }
  for (const fs::path& part : parts) {
    std::ifstream in(part, std::ios::binary);
    std::array<char, 65536> block;
    while (in.read(block.data(), block.size()) || in.gcount() > 0)
      if (auto done = whole->write({block.data(), static_cast<std::size_t>(in.gcount())}); !done)
        return done;
    fs::remove(part, none);
  }
  return whole->commit();
}

// The child's side, up to the program. Does not return.
[[noreturn]] void become(const Arguments& program, pid_t parent) {
  // Killed with us; the program may set its own.
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != parent) ::_exit(kNotRun);
  hand_down_capabilities();
  std::vector<char*> argv;
  for (const std::string& word : program) argv.push_back(const_cast<char*>(word.c_str()));
  argv.push_back(nullptr);
  ::execvp(argv[0], argv.data());
  const int code = errno;
  complain(fmt::format("run: {}: {}", program[0], std::strerror(code)));
  ::_exit(code == ENOENT ? kNotFound : kNotRun);
}

// Waits for the program and gathers what its processes tell. Answers wait()'s status.
// `txpath stat` is shown what they have told so far.
int watch_program(pid_t child, RunSegment& segment, Reports& reports, RunRecords& records) {
  StatFile shown;
  int beats = 0;
  const auto take = [&](std::string_view text) {
    records.take(text);
    reports.take(text);
  };
  sigset_t waited;
  ::sigemptyset(&waited);
  ::sigaddset(&waited, SIGCHLD);
  int status = 0;
  for (;;) {
    const pid_t ended = ::waitpid(child, &status, WNOHANG);
    if (ended == child || (ended < 0 && errno != EINTR)) break;
    const timespec beat{0, 200'000'000};
    (void)::sigtimedwait(&waited, nullptr, &beat);
    segment.collect(false, take);
    if (++beats % 5 != 0) continue;
    Reports now = reports;
    segment.look([&](std::string_view text) {
      records.take(text);
      now.take(text);
    });
    if (now.any()) shown.publish(now.stat(), "run");
  }
  segment.collect(true, take);
  return status;
}

int tell_run(const RunWords& w, const Reports& reports, const RunRecords& records,
             Recorder* recorder) {
  if (const std::string traces = reports.traces(); !traces.empty())
    fmt::print(stderr, "{}", traces);
  if (w.why) {
    const std::string why = reports.why();
    fmt::print(stderr, "{}{}", why.empty() ? "no UDP datagram was sent through libc\n" : why,
               records.failures());
  }
  if (!w.pcap.empty())
    if (auto done = join_captures(fs::absolute(w.pcap).string()); !done)
      return complain(fmt::format("run: --pcap {}: {}", w.pcap, done.error().what));
  if (recorder != nullptr) {
    if (auto done = recorder->close(); !done) return complain("run: --record " + done.error().what);
    if (recorder->lost() != 0) warn(fmt::format("--record: {} records are lost", recorder->lost()));
  }
  if (!w.stat.empty())
    if (auto done = write_whole_file(
            w.stat, reports.stat().dump(-1, ' ', false, Json::error_handler_t::replace) + "\n");
        !done)
      return complain(fmt::format("run: --stat {}: {}", w.stat, done.error().what));
  return kOk;
}

}  // namespace

int run(const Arguments& arguments) {
  RunWords w;
  const auto dashes = std::ranges::find(arguments, "--");
  const Arguments own(arguments.begin(), dashes);
  const Arguments program(dashes == arguments.end() ? dashes : dashes + 1, arguments.end());
  CLI::App app("Runs a program whose UDP sends go through the engine: run [OPTIONS] -- PROGRAM ...",
               "run");
  app.add_option("--device", w.devices, "what to send with, see below")
      ->option_text("[DEV=]KIND")
      ->allow_extra_args(false);
  app.add_option("--doorbell", w.doorbell,
                 "sync: frames are with the device when the call returns; async: a moment later")
      ->check(CLI::IsMember({"sync", "async"}))
      ->option_text("sync|async");
  app.add_option("--stat", w.stat, "writes the counters there when the program ends")
      ->option_text("FILE");
  app.add_option("--trace", w.trace, "traces the first N datagrams of each process")
      ->option_text("N");
  app.add_option("--pcap", w.pcap, "writes every frame there")->option_text("OUT.pcapng");
  app.add_option("--record", w.record,
                 "keeps drops, failed calls and traces in this store, for txpath query")
      ->option_text("FILE");
  app.add_flag("--why", w.why, "tells of each socket whether it was accelerated, and why not");
  app.add_flag("--strict", w.strict, "a datagram that only the kernel can send fails: EOPNOTSUPP");
  app.add_flag("--no-bulk", w.no_bulk, "async: never one segmentation frame for several datagrams");
  app.footer(std::string(kRunText));
  if (const auto code = parse(app, own)) return *code;
  if (program.empty()) return complain("run: the program is missing, write run -- PROGRAM ...");

  auto options = run_options(w);
  if (!options) return complain("run: " + options.error().what);
  const auto library = preload_library();
  if (!library) return complain("run: " + library.error().what);
  const std::string path = find_program(program[0]);
  if (path.empty()) {
    complain(fmt::format("run: {}: not found", program[0]));
    return kNotFound;
  }
  if (const std::string why = unseen(path); !why.empty()) {
    if (w.strict) return complain(fmt::format("run: {}: {}", program[0], why));
    warn(fmt::format("{} runs unaccelerated: {}", program[0], why));
  }
  if (!may_send_frames()) {
    if (w.strict) return complain("run: a capability is missing: " + grant_advice());
    warn(fmt::format("{} runs unaccelerated: a capability is missing: {}", program[0],
                     grant_advice()));
  }
  std::unique_ptr<Recorder> recorder;
  if (!w.record.empty()) {
    auto opened = Recorder::open(w.record);
    if (!opened) return complain("run: --record " + opened.error().what);
    recorder = std::move(*opened);
  }
  auto segment = RunSegment::create();
  if (!segment) return complain("run: " + segment.error().what);
  options->segment = segment->path();
  ::setenv(kRunVariable, encode(*options).c_str(), 1);
  const char* others = std::getenv("LD_PRELOAD");
  ::setenv("LD_PRELOAD",
           others != nullptr && *others != 0 ? fmt::format("{}:{}", *library, others).c_str()
                                             : library->c_str(),
           1);

  // A program's sanitizer: AddressSanitizer wants to be the first library and does not need to be;
  // ThreadSanitizer takes what it cannot see of ours for races.
  add_option("ASAN_OPTIONS", "verify_asan_link_order=0");
  add_option("TSAN_OPTIONS", "ignore_noninstrumented_modules=1");

  sigset_t child_signal;
  sigset_t before;
  ::sigemptyset(&child_signal);
  ::sigaddset(&child_signal, SIGCHLD);
  ::sigprocmask(SIG_BLOCK, &child_signal, &before);
  const pid_t self = ::getpid();
  const pid_t child = ::fork();
  if (child < 0) return complain(fmt::format("run: fork: {}", std::strerror(errno)));
  if (child == 0) {
    ::sigprocmask(SIG_SETMASK, &before, nullptr);
    become(program, self);
  }
  ::unsetenv("LD_PRELOAD");
  child_pid = child;
  struct sigaction action{};
  action.sa_handler = pass_on;
  action.sa_flags = SA_RESTART;
  for (const int signal : {SIGTERM, SIGHUP, SIGUSR1, SIGUSR2})
    ::sigaction(signal, &action, nullptr);
  action.sa_handler = SIG_IGN;  // the terminal sends these to the program as well
  for (const int signal : {SIGINT, SIGQUIT}) ::sigaction(signal, &action, nullptr);

  Reports reports;
  RunRecords records(recorder.get());
  const int status = watch_program(child, *segment, reports, records);
  const int told = tell_run(w, reports, records, recorder.get());
  if (WIFSIGNALED(status)) {
    // Ends as the program did, but for a core of its own.
    const int signal = WTERMSIG(status);
    const rlimit none{0, 0};
    (void)::setrlimit(RLIMIT_CORE, &none);
    ::signal(signal, SIG_DFL);
    ::raise(signal);
    return 128 + signal;
  }
  return told != kOk ? told : WEXITSTATUS(status);
}

}  // namespace txp::cli
