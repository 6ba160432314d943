// What a plugin is: a shared object with one function of this name and type.
#ifndef BEACON_PLUGIN_H
#define BEACON_PLUGIN_H

#include <string>

/// Answers a text with a text.
extern "C" std::string* beacon_answer(const std::string* text);

#endif
