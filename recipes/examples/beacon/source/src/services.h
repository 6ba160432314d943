// What Beacon's libraries do for it.
#ifndef BEACON_SERVICES_H
#define BEACON_SERVICES_H

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

/// The outcome of a service: a text, or why there is none.
struct Answer {
  bool is_good;
  std::string text;
};

/// Returns the version of every library as it says at run time.
std::vector<std::pair<std::string, std::string>> library_versions();

/// Returns the first address of a name, by c-ares.
Answer look_up(const std::string& name);

/// Returns the status and size of what an address serves, by libcurl. http and https only.
Answer fetch(const std::string& address);

/// Texts that a memcached keeps.
class Memory {
 public:
  /// Asks the memcached at `host`:`port` when it is first needed.
  Memory(const std::string& host, int port);
  ~Memory();
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;
  Answer remember(const std::string& key, const std::string& value);
  Answer recall(const std::string& key);

 private:
  struct Connection;
  std::unique_ptr<Connection> connection_;
};

/// The plugins of a folder, by name.
class Plugins {
 public:
  /// Loads every `NAME.so` of the folder; one that can not be loaded is told on standard error.
  explicit Plugins(const std::string& folder);
  std::vector<std::string> names() const;
  Answer ask(const std::string& name, const std::string& text) const;

 private:
  std::map<std::string, std::string* (*)(const std::string*)> functions_;
};

#endif
