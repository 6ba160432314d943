// Small things about text that all parts of Beacon share.
#ifndef BEACON_TEXT_H
#define BEACON_TEXT_H

#include <string>
#include <utility>
#include <vector>

namespace beacon {

/// Returns `text` as the inside of a JSON string, with everything escaped that must be.
std::string json_escaped(const std::string& text);

/// Returns a JSON object of texts, in the order of `fields`.
std::string json_object(const std::vector<std::pair<std::string, std::string>>& fields);

/// Splits "HOST:PORT"; the port is `fallback` when none is given. Returns false when it is no number.
bool split_address(const std::string& text, int fallback, std::string& host, int& port);

}  // namespace beacon

#endif
