// SPDX-License-Identifier: Apache-2.0
#include "cli/web_server.h"

#include <fmt/format.h>
#include <httplib.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <mutex>
#include <nlohmann/json.hpp>
#include <sstream>
#include <thread>

#include "explain/explain.h"
#include "explain/report.h"
#include "mirror/import.h"
#include "net.h"

namespace txp::cli {
namespace {

constexpr const char* kText = "text/plain; charset=utf-8";
constexpr const char* kJsonType = "application/json";

std::string dump(const Json& j) {
  return j.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
}

void answer(httplib::Response& response, const Json& j, int status = 200) {
  response.status = status;
  response.set_content(dump(j), kJsonType);
}

void refuse(httplib::Response& response, int status, std::string_view why) {
  answer(response, Json{{"error", why}}, status);
}

Json path_json() {
  Json path = Json::array();
  for (const StageInfo& s : kPath)
    path.push_back(Json{{"stage", s.name},
                        {"seed", s.seed},
                        {"does", s.does},
                        {"file", s.file},
                        {"kernel", s.kernel}});
  return path;
}

// The words of `txpath explain`, but for `data`, which would read this host's files.
Result<Json> explain_words(const std::string& text) {
  std::istringstream in(text);
  std::vector<std::string> words;
  for (std::string word; in >> word;) words.push_back(word);
  if (words.empty() || (words[0] != "udp" && words[0] != "tcp"))
    return fail("the first word must be udp or tcp, as in udp to 10.0.0.2:53");
  const FlowProto proto = words[0] == "tcp" ? FlowProto::tcp : FlowProto::udp;
  auto question = parse_flow_question(std::span(words).subspan(1), PayloadWords::yes, proto);
  if (!question) return std::unexpected(question.error());
  if (!question->data.empty()) return fail("data: no files are read here, use len BYTES");
  Net net(Net::Options{});
  const auto report = import_namespace(net, {});
  if (!report) return std::unexpected(report.error());
  const std::vector<std::uint8_t> payload(question->len.value_or(kDefaultLen), 0);
  const Explanation x = explain_flow(net, *question, payload, ::geteuid());
  Json j = Json::parse(explanation_json(x));
  j["sentence"] = verdict_sentence(x);
  j["warnings"] = report->warnings;
  return j;
}

}  // namespace

struct WebServer::Http {
  httplib::Server server;
  std::mutex explaining;  // one at a time: each reads the whole namespace
  std::atomic<bool> ended{false};
};

WebServer::WebServer(WebOptions options, StatReader& reader)
    : options_(std::move(options)), reader_(reader), http_(std::make_unique<Http>()) {
  httplib::Server& s = http_->server;
  s.new_task_queue = [] { return new httplib::ThreadPool(4); };
  s.set_read_timeout(5);
  s.set_write_timeout(5);
  s.set_payload_max_length(0);
  s.set_socket_options([](int fd) {  // without SO_REUSEPORT, with which two servers share a port
    const int yes = 1;
    ::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  });
  s.set_default_headers({{"Cache-Control", "no-store"},
                         {"X-Content-Type-Options", "nosniff"},
                         {"X-Frame-Options", "DENY"},
                         {"Referrer-Policy", "no-referrer"}});

  s.set_pre_routing_handler([this](const httplib::Request& request, httplib::Response& response) {
    using enum httplib::Server::HandlerResponse;
    if (request.method != "GET" && request.method != "HEAD") {
      response.set_header("Allow", "GET, HEAD");
      refuse(response, 405, "only GET: no request changes anything");
      return Handled;
    }
    if (request.path == "/healthz" && !options_.token.empty()) return Unhandled;
    switch (check_access(options_.token, request.get_header_value("Host"),
                         request.get_header_value("Authorization"))) {
      case Access::granted: return Unhandled;
      case Access::no_token:
        response.set_header("WWW-Authenticate", "Basic realm=\"txpath\", charset=\"UTF-8\"");
        refuse(response, 401, "a token is wanted: as Bearer, or as the password of user txpath");
        break;
      case Access::wrong_host:
        refuse(response, 403, "call this host 127.0.0.1 or localhost");
        break;
    }
    return Handled;
  });

  // The counters that the request asks for, else an answer is given.
  const auto stat = [this](const httplib::Request& request,
                           httplib::Response& response) -> std::optional<Json> {
    const auto source = request.has_param("source")
                            ? find_stat_source(request.get_param_value("source"))
                            : std::optional(options_.source);
    if (!source) {
      refuse(response, 400, "source: auto, txpath or kernel is wanted");
      return std::nullopt;
    }
    auto report = reader_.read(*source);
    if (!report) {
      refuse(response, *source == StatSource::txpath ? 404 : 503, report.error().what);
      return std::nullopt;
    }
    return std::move(*report);
  };

  s.Get("/", [](const httplib::Request&, httplib::Response& response) {
    response.set_content(kPage.data(), kPage.size(), "text/html; charset=utf-8");
  });
  s.Get("/healthz", [](const httplib::Request&, httplib::Response& response) {
    const auto report = read_stat(StatSource::kernel);
    response.status = report ? 200 : 503;
    response.set_content(report ? "ok\n" : report.error().what + "\n", kText);
  });
  s.Get("/metrics", [stat](const httplib::Request& request, httplib::Response& response) {
    if (const auto report = stat(request, response))
      response.set_content(format_stat(*report, StatFormat::prometheus),
                           "text/plain; version=0.0.4; charset=utf-8");
  });
  s.Get("/api/path", [](const httplib::Request&, httplib::Response& response) {
    answer(response, path_json());
  });
  s.Get("/api/stat", [stat](const httplib::Request& request, httplib::Response& response) {
    auto report = stat(request, response);
    if (!report) return;
    (*report)["at"] = Clock::monotonic().wall() / kMillisecond;
    answer(response, *report);
  });
  s.Get("/api/explain", [this](const httplib::Request& request, httplib::Response& response) {
    const std::lock_guard guard(http_->explaining);
    auto explanation = explain_words(request.get_param_value("q"));
    if (explanation)
      answer(response, *explanation);
    else
      refuse(response, 400, explanation.error().what);
  });
  s.set_error_handler(httplib::Server::HandlerWithResponse([](const httplib::Request& request,
                                                              httplib::Response& response) {
    using enum httplib::Server::HandlerResponse;
    if (!response.body.empty()) return Unhandled;
    refuse(response, response.status,
           response.status == 404 ? fmt::format("{}: there is /, /metrics, /healthz, /api/path, "
                                                "/api/stat and /api/explain?q=",
                                                request.path)
                                  : "no");
    return Handled;
  }));
  s.set_exception_handler(
      [](const httplib::Request&, httplib::Response& response, const std::exception_ptr& thrown) {
        try {
          std::rethrow_exception(thrown);
        } catch (const std::exception& e) {
          refuse(response, 500, e.what());
        }
      });
}

WebServer::~WebServer() = default;

Result<int> WebServer::bind() {
  httplib::Server& s = http_->server;
  const ListenAddress& at = options_.listen;
  errno = 0;
  const int port = at.port == 0                       ? s.bind_to_any_port(at.host)
                   : s.bind_to_port(at.host, at.port) ? at.port
                                                      : -1;
  if (port >= 0) return port;
  return fail(fmt::format("{}: {}", at.url(at.port),
                          errno != 0 ? std::strerror(errno) : "cannot listen there"));
}

void WebServer::run() {
  http_->server.listen_after_bind();
  http_->ended = true;
}

void WebServer::stop() {
  while (!http_->server.is_running() && !http_->ended) std::this_thread::yield();
  http_->server.stop();  // does nothing before run() has begun
}

}  // namespace txp::cli
