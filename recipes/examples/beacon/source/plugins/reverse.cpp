#include "plugin.h"

std::string* beacon_answer(const std::string* text) {
  return new std::string(text->rbegin(), text->rend());
}
