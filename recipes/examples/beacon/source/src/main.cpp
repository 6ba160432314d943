// Beacon: a small HTTP server that uses each of its libraries once. Called as `beacon-relay` it is a
// relay: the same program under another name, which only answers /health and /fetch.
#include <ares.h>
#include <curl/curl.h>
#include <event2/buffer.h>
#include <event2/event.h>
#include <evhtp.h>
#include <signal.h>

#include <boost/program_options.hpp>
#include <iostream>
#include <string>

#include "beacon/text.h"
#include "services.h"

namespace options = boost::program_options;

namespace {

struct Beacon {
  std::string role;
  Memory memory;
  Plugins plugins;
};

void reply(evhtp_request_t* request, bool is_good, const std::string& text) {
  evbuffer_add(request->buffer_out, text.data(), text.size());
  evhtp_headers_add_header(request->headers_out,
                           evhtp_header_new("Content-Type", "application/json", 0, 0));
  evhtp_send_reply(request, is_good ? EVHTP_RES_OK : EVHTP_RES_SERVUNAVAIL);
}

void reply(evhtp_request_t* request, const Answer& answer) {
  reply(request, answer.is_good,
        beacon::json_object({{answer.is_good ? "answer" : "error", answer.text}}));
}

/// Returns a parameter of the query, decoded; empty when it is not there.
std::string parameter(evhtp_request_t* request, const char* name) {
  evhtp_query_t* query = request->uri->query;
  const char* value = query == nullptr ? nullptr : evhtp_kv_find(query, name);
  if (value == nullptr) return "";
  std::string decoded;
  for (const char* at = value; *at != '\0'; ++at) {
    const bool is_code = at[0] == '%' && isxdigit(at[1]) != 0 && isxdigit(at[2]) != 0;
    decoded += is_code ? static_cast<char>(std::stoi(std::string(at + 1, 2), nullptr, 16)) : *at;
    if (is_code) at += 2;
  }
  return decoded;
}

void on_health(evhtp_request_t* request, void* place) {
  auto* beacon = static_cast<Beacon*>(place);
  reply(request, true, beacon::json_object({{"role", beacon->role}, {"state", "well"}}));
}

void on_versions(evhtp_request_t* request, void*) {
  reply(request, true, beacon::json_object(library_versions()));
}

void on_lookup(evhtp_request_t* request, void*) {
  reply(request, look_up(parameter(request, "name")));
}

void on_fetch(evhtp_request_t* request, void*) {
  reply(request, fetch(parameter(request, "url")));
}

void on_remember(evhtp_request_t* request, void* place) {
  auto* beacon = static_cast<Beacon*>(place);
  reply(request, beacon->memory.remember(parameter(request, "key"), parameter(request, "value")));
}

void on_recall(evhtp_request_t* request, void* place) {
  reply(request, static_cast<Beacon*>(place)->memory.recall(parameter(request, "key")));
}

void on_plugin(evhtp_request_t* request, void* place) {
  auto* beacon = static_cast<Beacon*>(place);
  reply(request, beacon->plugins.ask(parameter(request, "name"), parameter(request, "text")));
}

void stop(evutil_socket_t, short, void* base) {
  event_base_loopbreak(static_cast<event_base*>(base));
}

int serve(Beacon& beacon, const std::string& host, int port) {
  event_base* base = event_base_new();
  evhtp_t* server = evhtp_new(base, nullptr);
  evhtp_set_cb(server, "/health", on_health, &beacon);
  evhtp_set_cb(server, "/fetch", on_fetch, &beacon);
  if (beacon.role == "beacon") {
    evhtp_set_cb(server, "/versions", on_versions, &beacon);
    evhtp_set_cb(server, "/lookup", on_lookup, &beacon);
    evhtp_set_cb(server, "/remember", on_remember, &beacon);
    evhtp_set_cb(server, "/recall", on_recall, &beacon);
    evhtp_set_cb(server, "/plugin", on_plugin, &beacon);
  }
  if (evhtp_bind_socket(server, host.c_str(), static_cast<uint16_t>(port), 128) != 0) {
    std::cerr << beacon.role << ": can not listen on " << host << ":" << port << "\n";
    return 1;
  }
  event* on_term = evsignal_new(base, SIGTERM, stop, base);
  event_add(on_term, nullptr);
  std::cout << beacon.role << ": listening on " << host << ":" << port << std::endl;
  event_base_loop(base, 0);
  event_free(on_term);
  evhtp_unbind_socket(server);
  evhtp_free(server);
  event_base_free(base);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  const std::string path = argv[0];
  const std::string name = path.substr(path.rfind('/') + 1);
  const std::string role = name == "beacon-relay" ? name : "beacon";
  options::options_description known(role);
  known.add_options()("help,h", "show this text")("versions", "show the versions of all libraries")(
      "listen", options::value<std::string>()->default_value("127.0.0.1:7070"), "HOST:PORT to serve")(
      "memcached", options::value<std::string>()->default_value("127.0.0.1:11211"),
      "HOST:PORT of a memcached")(
      "plugins", options::value<std::string>()->default_value("/usr/share/beacon/plugins"),
      "folder of plugins")("lookup", options::value<std::string>(), "look up a name, and end");
  options::variables_map given;
  try {
    options::store(options::parse_command_line(argc, argv, known), given);
    options::notify(given);
  } catch (const options::error& error) {
    std::cerr << role << ": " << error.what() << "\n";
    return 2;
  }
  if (given.count("help") > 0) {
    std::cout << known;
    return 0;
  }
  curl_global_init(CURL_GLOBAL_ALL);
  ares_library_init(ARES_LIB_INIT_ALL);
  if (given.count("versions") > 0) {
    std::cout << beacon::json_object(library_versions());
    return 0;
  }
  if (given.count("lookup") > 0) {
    const Answer answer = look_up(given["lookup"].as<std::string>());
    (answer.is_good ? std::cout : std::cerr) << answer.text << "\n";
    return answer.is_good ? 0 : 1;
  }
  std::string host, cache_host;
  int port = 0, cache_port = 0;
  if (!beacon::split_address(given["listen"].as<std::string>(), 7070, host, port) ||
      !beacon::split_address(given["memcached"].as<std::string>(), 11211, cache_host, cache_port)) {
    std::cerr << role << ": expected HOST:PORT\n";
    return 2;
  }
  Beacon beacon{role, Memory(cache_host, cache_port), Plugins(given["plugins"].as<std::string>())};
  return serve(beacon, host, port);
}
