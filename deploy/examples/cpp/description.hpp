// What an exported model says of itself, checked: every field of its kind and in its range, and all of them together.
//
// The fields and limits are those of deploy/running/metadata.py and consistency.py; a field that this program does not
// use is not looked at.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <set>
#include <stdexcept>
#include <string>

namespace description {

constexpr std::int64_t longest_side = 4096, most_steps = 100'000, most_windows = 100'000, most_overlap = 1000;
constexpr std::int64_t longest_us = 1'000'000'000'000, most_sample_bytes = std::int64_t{1} << 30;

// Throws where a field does not fit; the message names it, its value and what was expected.
inline void check(bool fits, const std::string& field, const nlohmann::json& value, const std::string& expected) {
    if (fits) return;
    throw std::runtime_error("its description is damaged: " + field + " is " + value.dump().substr(0, 60) +
                             ", expected " + expected);
}

inline bool is_whole(const nlohmann::json& value, std::int64_t low, std::int64_t high) {
    if (!value.is_number_integer()) return false;
    if (value.is_number_unsigned() && value.get<std::uint64_t>() > std::uint64_t(high)) return false;
    return value.get<std::int64_t>() >= low && value.get<std::int64_t>() <= high;
}

inline void check_whole(const nlohmann::json& table, const std::string& name, std::int64_t low, std::int64_t high) {
    check(is_whole(table.at(name), low, high), name, table.at(name),
          "a whole number from " + std::to_string(low) + " to " + std::to_string(high));
}

inline void check_size(const nlohmann::json& size, const std::string& field) {
    const bool fits = size.is_array() && size.size() == 2 && is_whole(size[0], 1, longest_side) &&
                      is_whole(size[1], 1, longest_side);
    check(fits, field, size, "width and height from 1 to 4096");
}

inline void check_flag(const nlohmann::json& config, const std::string& name) {
    const auto value = config.value(name, nlohmann::json(false));
    check(value.is_boolean(), "preprocessing." + name, value, "true or false");
}

inline void check_windows(const nlohmann::json& config, std::int64_t steps) {
    const auto window = config.value("window_us", nlohmann::json()), hop = config.value("hop_us", nlohmann::json());
    if (window.is_null() && hop.is_null()) return;
    check(is_whole(window, steps, longest_us), "preprocessing.window_us", window,
          "whole µs from " + std::to_string(steps) + " on");
    const auto least = (window.get<std::int64_t>() + most_overlap - 1) / most_overlap;
    check(is_whole(hop, least, longest_us), "preprocessing.hop_us", hop,
          "whole µs from " + std::to_string(least) + " on");
}

// Of a whole description; what this program cannot do is not looked for here.
inline void check_all(const nlohmann::json& description) {
    check_whole(description, "steps", 1, most_steps);
    check_size(description.at("size"), "size");
    const auto& classes = description.at("classes");
    std::set<std::string> names;
    bool distinct = classes.is_array() && !classes.empty();
    for (const auto& name : classes)
        distinct = distinct && name.is_string() && names.insert(name.get<std::string>()).second;
    check(distinct, "classes", classes, "names, each once");
    const auto& config = description.at("preprocessing");
    const auto steps = description.at("steps").get<std::int64_t>();
    const auto width = description.at("size").at(0).get<std::int64_t>();
    const auto height = description.at("size").at(1).get<std::int64_t>();
    check(8 * steps * width * height <= most_sample_bytes, "steps", steps, "frames of at most 1 GiB a sample");
    check(config.at("steps") == steps, "preprocessing.steps", config.at("steps"), std::to_string(steps));
    check(config.at("size") == description.at("size"), "preprocessing.size", config.at("size"),
          description.at("size").dump());
    for (const auto* name : {"transpose", "half_turn"}) check_flag(config, name);
    check_windows(config, steps);
}

}  // namespace description
