#include "services.h"

#include <arpa/inet.h>
#include <ares.h>
#include <curl/curl.h>
#include <dirent.h>
#include <dlfcn.h>
#include <event2/event.h>
#include <evhtp.h>
#include <libmemcached/memcached.h>
#include <netdb.h>
#include <sys/select.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <boost/version.hpp>

std::vector<std::pair<std::string, std::string>> library_versions() {
  return {{"boost", BOOST_LIB_VERSION},
          {"c-ares", ares_version(nullptr)},
          {"libcurl", curl_version()},
          {"libevent", event_get_version()},
          {"libevhtp", EVHTP_VERSION},
          {"libmemcached", memcached_lib_version()}};
}

namespace {

struct Lookup {
  bool is_done = false;
  Answer answer{false, "no answer"};
};

void note_address(void* place, int status, int, struct ares_addrinfo* found) {
  auto* lookup = static_cast<Lookup*>(place);
  lookup->is_done = true;
  if (status != ARES_SUCCESS) {
    lookup->answer = {false, ares_strerror(status)};
    return;
  }
  char text[INET6_ADDRSTRLEN] = "";
  if (const auto* node = found->nodes) {
    const void* address = node->ai_family == AF_INET
                              ? static_cast<const void*>(
                                    &reinterpret_cast<sockaddr_in*>(node->ai_addr)->sin_addr)
                              : &reinterpret_cast<sockaddr_in6*>(node->ai_addr)->sin6_addr;
    inet_ntop(node->ai_family, address, text, sizeof text);
  }
  lookup->answer = {text[0] != '\0', text[0] != '\0' ? text : "no address"};
  ares_freeaddrinfo(found);
}

size_t count_bytes(char*, size_t size, size_t count, void* place) {
  *static_cast<size_t*>(place) += size * count;
  return size * count;
}

}  // namespace

Answer look_up(const std::string& name) {
  ares_channel channel;
  ares_options options{};
  options.timeout = 500;
  options.tries = 1;
  const int status = ares_init_options(&channel, &options, ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES);
  if (status != ARES_SUCCESS) return {false, ares_strerror(status)};
  Lookup lookup;
  ares_addrinfo_hints hints{};
  ares_getaddrinfo(channel, name.c_str(), nullptr, &hints, note_address, &lookup);
  while (!lookup.is_done) {
    fd_set reads, writes;
    FD_ZERO(&reads);
    FD_ZERO(&writes);
    const int count = ares_fds(channel, &reads, &writes);
    timeval longest{1, 0}, wait;
    select(count, &reads, &writes, nullptr, ares_timeout(channel, &longest, &wait));
    ares_process(channel, &reads, &writes);
  }
  ares_destroy(channel);
  return lookup.answer;
}

Answer fetch(const std::string& address) {
  std::unique_ptr<CURL, decltype(&curl_easy_cleanup)> curl(curl_easy_init(), curl_easy_cleanup);
  if (!curl) return {false, "no memory"};
  size_t bytes = 0;
  long status = 0;
  curl_easy_setopt(curl.get(), CURLOPT_URL, address.c_str());
  curl_easy_setopt(curl.get(), CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(curl.get(), CURLOPT_TIMEOUT, 5L);
  curl_easy_setopt(curl.get(), CURLOPT_WRITEFUNCTION, count_bytes);
  curl_easy_setopt(curl.get(), CURLOPT_WRITEDATA, &bytes);
  const CURLcode outcome = curl_easy_perform(curl.get());
  if (outcome != CURLE_OK) return {false, curl_easy_strerror(outcome)};
  curl_easy_getinfo(curl.get(), CURLINFO_RESPONSE_CODE, &status);
  return {true, "status " + std::to_string(status) + ", " + std::to_string(bytes) + " bytes"};
}

struct Memory::Connection {
  memcached_st* handle = memcached_create(nullptr);
  ~Connection() { memcached_free(handle); }
};

Memory::Memory(const std::string& host, int port) : connection_(new Connection) {
  memcached_server_add(connection_->handle, host.c_str(), static_cast<in_port_t>(port));
}

Memory::~Memory() = default;

Answer Memory::remember(const std::string& key, const std::string& value) {
  auto* handle = connection_->handle;
  const auto outcome =
      memcached_set(handle, key.data(), key.size(), value.data(), value.size(), 0, 0);
  return {outcome == MEMCACHED_SUCCESS, memcached_strerror(handle, outcome)};
}

Answer Memory::recall(const std::string& key) {
  auto* handle = connection_->handle;
  size_t size = 0;
  uint32_t flags = 0;
  memcached_return_t outcome;
  char* value = memcached_get(handle, key.data(), key.size(), &size, &flags, &outcome);
  if (outcome != MEMCACHED_SUCCESS) return {false, memcached_strerror(handle, outcome)};
  const std::string text(value == nullptr ? "" : std::string(value, size));
  std::free(value);
  return {true, text};
}

Plugins::Plugins(const std::string& folder) {
  DIR* directory = opendir(folder.c_str());
  if (directory == nullptr) return;
  while (const dirent* entry = readdir(directory)) {
    const std::string file = entry->d_name;
    if (file.size() < 4 || file.substr(file.size() - 3) != ".so") continue;
    void* loaded = dlopen((folder + "/" + file).c_str(), RTLD_NOW | RTLD_LOCAL);
    void* function = loaded == nullptr ? nullptr : dlsym(loaded, "beacon_answer");
    if (function == nullptr) {
      std::fprintf(stderr, "beacon: plugin %s: %s\n", file.c_str(), dlerror());
      continue;
    }
    functions_[file.substr(0, file.size() - 3)] =
        reinterpret_cast<std::string* (*)(const std::string*)>(function);
  }
  closedir(directory);
}

std::vector<std::string> Plugins::names() const {
  std::vector<std::string> names;
  for (const auto& entry : functions_) names.push_back(entry.first);
  return names;
}

Answer Plugins::ask(const std::string& name, const std::string& text) const {
  const auto found = functions_.find(name);
  if (found == functions_.end()) return {false, "no such plugin"};
  const std::unique_ptr<std::string> answer(found->second(&text));
  return {true, *answer};
}
