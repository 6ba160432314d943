#include "beacon/text.h"

#include <cstdio>
#include <cstdlib>

namespace beacon {

std::string json_escaped(const std::string& text) {
  std::string escaped;
  for (unsigned char c : text) {
    if (c == '"' || c == '\\') {
      escaped += '\\';
      escaped += static_cast<char>(c);
    } else if (c < 0x20 || c == 0x7f) {
      char code[8];
      std::snprintf(code, sizeof code, "\\u%04x", c);
      escaped += code;
    } else {
      escaped += static_cast<char>(c);
    }
  }
  return escaped;
}

std::string json_object(const std::vector<std::pair<std::string, std::string>>& fields) {
  std::string text = "{";
  for (const auto& field : fields) {
    if (text.size() > 1) text += ", ";
    text += '"' + json_escaped(field.first) + "\": \"" + json_escaped(field.second) + '"';
  }
  return text + "}\n";
}

bool split_address(const std::string& text, int fallback, std::string& host, int& port) {
  const auto colon = text.rfind(':');
  host = text.substr(0, colon);
  port = fallback;
  if (colon == std::string::npos) return true;
  const std::string number = text.substr(colon + 1);
  char* end = nullptr;
  const long value = std::strtol(number.c_str(), &end, 10);
  port = static_cast<int>(value);
  return !number.empty() && *end == '\0' && value > 0 && value < 65536;
}

}  // namespace beacon
