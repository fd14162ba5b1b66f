// AEDAT-2.0 recordings of a DVS128: text header, then big-endian (address, time in µs) pairs of 32-bit words.
//
// Address: bit 0 polarity (0 = ON), bits 1-7 x from the right, bits 8-14 y from the bottom, bit 15 external events,
// which are none of the sensor. The same as preprocessing/readers/aedat2.py, which reads a DAVIS too.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

struct Event {
    std::int64_t t;  // µs
    int x, y;        // px, from the top left
    bool on;
};

namespace aedat {

constexpr int width = 128, height = 128;
constexpr std::size_t record_bytes = 8;
constexpr std::int64_t max_disorder_us = 10'000;
constexpr std::string_view signature = "#!AER-DAT2.0", last_line = "#End Of ASCII Header", chip = "AEChip:";

// A record may begin with '#' as well; the control bytes in it tell it from a header line.
inline bool is_text(unsigned char byte) { return byte == '\t' || byte == '\r' || (byte >= ' ' && byte != 0x7f); }

// Where the header ends, behind the last '#' line of text.
inline std::size_t end_of_header(std::string_view data) {
    std::size_t start = 0;
    while (start < data.size() && data[start] == '#') {
        const auto stop = std::find_if_not(data.begin() + start, data.end(), is_text) - data.begin();
        const auto line = data.substr(start, stop - start);
        if (stop < std::ssize(data) && data[stop] != '\n') break;
        start = std::min<std::size_t>(stop + 1, data.size());
        if (line.starts_with(last_line)) break;
    }
    return start;
}

// Refuses the cameras whose addresses look otherwise; a file that names none is a DVS128's.
inline void check_camera(std::string_view header, const std::string& source) {
    const auto at = header.find(chip);
    if (at == header.npos) return;
    auto name = header.substr(at + chip.size());
    name = name.substr(std::min(name.find_first_not_of(' '), name.size()));
    name = name.substr(0, name.find_first_of("\r\n\t "));
    name = name.substr(name.rfind('.') + 1);
    if (name != "DVS128" && name != "Tmpdiff128")
        throw std::runtime_error(source + ": recorded by a " + std::string(name) +
                                 "; this example reads the DVS128 only, python -m deploy.infer reads others");
}

inline std::uint32_t big_endian(const char* bytes) {
    const auto* byte = reinterpret_cast<const unsigned char*>(bytes);
    return std::uint32_t{byte[0]} << 24 | std::uint32_t{byte[1]} << 16 | std::uint32_t{byte[2]} << 8 | byte[3];
}

// Events of the records, in the order of the file. A time far below the one before it: the 32-bit clock has wrapped.
inline std::vector<Event> decode(std::string_view records, std::size_t header_bytes, const std::string& source) {
    std::vector<Event> events;
    events.reserve(records.size() / record_bytes);
    std::int64_t epoch = 0, last = 0;
    for (std::size_t at = 0; at < records.size(); at += record_bytes) {
        const auto address = big_endian(&records[at]), time = big_endian(&records[at + 4]);
        if (address > 0xFFFF)
            throw std::runtime_error(source + ": the address at byte " + std::to_string(header_bytes + at) +
                                     " is outside the 128x128 sensor; the file is damaged or from another camera");
        if (address & 0x8000) continue;
        if (last - time > std::int64_t{1} << 31) epoch += std::int64_t{1} << 32;
        last = time;
        const int x = address >> 1 & 127, y = address >> 8 & 127;
        events.push_back({epoch + time, width - 1 - x, height - 1 - y, (address & 1) == 0});
    }
    return events;
}

// Puts events that are a little late in their place; equal times keep the order of the file.
inline void put_in_order(std::vector<Event>& events, const std::string& source) {
    std::int64_t latest = events.front().t;
    for (const auto& event : events) {
        latest = std::max(latest, event.t);
        if (latest - event.t > max_disorder_us)
            throw std::runtime_error(source + ": time runs backwards, from " + std::to_string(latest) + " to " +
                                     std::to_string(event.t) + " µs");
    }
    std::stable_sort(events.begin(), events.end(), [](const Event& a, const Event& b) { return a.t < b.t; });
}

// The events of a recording, in the order of time; at least one. Throws std::runtime_error that says what is wrong.
inline std::vector<Event> read(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    if (!file) throw std::runtime_error(path + ": cannot be opened; expected an AEDAT-2.0 recording");
    const std::string data{std::istreambuf_iterator<char>(file), {}};
    if (!data.starts_with(signature))
        throw std::runtime_error(path + ": is no AEDAT-2.0 file, it does not begin with " + std::string(signature));
    const auto start = end_of_header(data);
    check_camera(std::string_view(data).substr(0, start), path);
    if ((data.size() - start) % record_bytes != 0)
        throw std::runtime_error(path + ": cut in the middle of a record, at the end of the file");
    auto events = decode(std::string_view(data).substr(start), start, path);
    if (events.empty()) throw std::runtime_error(path + ": holds no events");
    put_in_order(events, path);
    return events;
}

}  // namespace aedat
