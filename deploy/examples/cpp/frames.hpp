// Events to frames, as a model's description asks: slices of time, counted per pixel and polarity, then resized.
//
//     frame[j, c, v, u] = Σ over the events of slice j with polarity c of  weight_x[x, u] · weight_y[y, v]
//
// A voxel grid shares an event out between the two slices that it lies between in time as well, in parts of 1/256.
// Weights are rational. Over their common denominator they are integers, so that the sums are exact and the frames
// equal those of preprocessing/rasterize.py bit for bit.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <numeric>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include "aedat.hpp"
#include "description.hpp"

using Events = std::span<const Event>;

// What each pixel along an axis feeds: bins of the frame, with weights that are integers / denominator.
struct Axis {
    struct Feed {
        int bin;
        double weight;
    };
    std::vector<std::vector<Feed>> feeds;  // [pixels]
    std::int64_t denominator = 1;
};

constexpr std::int64_t finest = std::int64_t{1} << 31;  // weights with a larger denominator are rounded to 1 / this

inline std::runtime_error unknown(const std::string& name, const std::string& value) {
    return std::runtime_error("the model was trained with the " + name + " " + value +
                              ", which this program cannot do; python -m deploy.infer may");
}

// The weight of a pixel in a bin, before a bin's weights are divided by their sum; see preprocessing/tables.py.
inline std::int64_t weight_of(const std::string& resize, std::int64_t pixels, std::int64_t bins, std::int64_t pixel,
                              std::int64_t bin) {
    if (resize == "bilinear") {
        const auto place = std::max<std::int64_t>((2 * bin + 1) * pixels - bins, 0);
        const auto low = place / (2 * bins), rest = place % (2 * bins), high = std::min(low + 1, pixels - 1);
        return (pixel == low) * (2 * bins - rest) + (pixel == high) * rest;
    }
    if (resize == "bilinear-antialias") {
        const auto distance = std::abs((2 * pixel + 1) * bins - (2 * bin + 1) * pixels);
        return std::max<std::int64_t>(2 * std::max(pixels, bins) - distance, 0);
    }
    if (resize == "area") return bin * pixels / bins <= pixel && pixel < ((bin + 1) * pixels + bins - 1) / bins;
    if (resize == "nearest") return pixel == bin * pixels / bins;
    if (resize == "sum") return bin == pixel * bins / pixels;
    throw unknown("resizing", resize);
}

inline Axis make_axis(const std::string& resize, int pixels, int bins) {
    Axis axis{std::vector<std::vector<Axis::Feed>>(pixels)};
    std::vector<std::int64_t> weights(pixels);
    for (int bin = 0; bin < bins; ++bin) {
        for (int pixel = 0; pixel < pixels; ++pixel) weights[pixel] = weight_of(resize, pixels, bins, pixel, bin);
        std::int64_t divisor = 0;
        for (const auto weight : weights) divisor = std::gcd(divisor, weight);
        const auto sum = resize == "sum" ? 1 : std::reduce(weights.begin(), weights.end()) / divisor;
        for (int pixel = 0; pixel < pixels; ++pixel)
            if (weights[pixel]) axis.feeds[pixel].push_back({bin, double(weights[pixel] / divisor) / double(sum)});
        axis.denominator = std::min(std::lcm(axis.denominator, sum), finest);
    }
    return axis;
}

// How events become frames: the part "preprocessing" of a model's description.
class FrameMaker {
public:
    explicit FrameMaker(const nlohmann::json& config)
        : steps_(config.at("steps")),
          width_(config.at("size").at(0)),
          height_(config.at("size").at(1)),
          slicing_(config.value("slicing", "count")),
          value_(config.value("value", "count")),
          transpose_(config.value("transpose", false)),
          half_turn_(config.value("half_turn", false)) {
        if (!config.value("filters", nlohmann::json::array()).empty())
            throw unknown("filters", config["filters"].dump());
        if (value_ != "count" && value_ != "binary" && value_ != "signed" && value_ != "voxel")
            throw unknown("value", value_);
        if (value_ == "voxel" && slicing_ != "time" && !slicing_.starts_with("duration"))
            throw unknown("value voxel and the slicing", slicing_);
        const std::string resize = config.value("resize", "bilinear");
        across_ = make_axis(resize, transpose_ ? aedat::height : aedat::width, width_);
        down_ = make_axis(resize, transpose_ ? aedat::width : aedat::height, height_);
        shares_ = value_ == "voxel" ? 256 : 1;
        unit_ = std::min(across_.denominator * down_.denominator, finest / shares_);
        slice_length();
    }

    // Frames [T, 2, H, W], channel 0 = OFF, channel 1 = ON, of events in the order of time.
    std::vector<float> operator()(Events events) const {
        const auto places = value_ == "voxel" ? places_between(events) : Places{slice_edges(events, steps_)};
        const std::size_t bins = std::size_t(2) * height_ * width_;
        std::vector<std::uint64_t> sums((steps_ + std::size_t(1)) * bins);
        for (int step = 0; step < steps_; ++step)
            for (auto i = places.edges[step]; i < places.edges[step + 1]; ++i) {
                const auto share = places.later(events[i].t - events.front().t, step);
                add(events[i], shares_ - share, &sums[step * bins]);
                if (share) add(events[i], share, &sums[(step + 1) * bins]);
            }
        sums.resize(steps_ * bins);
        apply_value(sums);
        const double denominator = value_ == "binary" ? 1 : double(unit_ * shares_);
        std::vector<float> frames(sums.size());
        for (std::size_t at = 0; at < sums.size(); ++at) frames[at] = float(double(sums[at]) / denominator);
        return frames;
    }

private:
    // Slice j holds the events from edges[j] up to edges[j + 1] - 1.
    struct Places {
        std::vector<std::size_t> edges;
        std::int64_t rate = 0, spacing = 0;  // of voxels: an event is at rate * since / spacing, bin j at j

        // How many of 256 parts of an event of slice j are the next slice's.
        std::int64_t later(std::int64_t since, std::int64_t j) const {
            return spacing ? (512 * (rate * since - j * spacing) + spacing) / (2 * spacing) : 0;
        }
    };

    void add(const Event& event, std::int64_t share, std::uint64_t* frame) const {
        const int x = half_turn_ ? aedat::width - 1 - event.x : event.x;
        const int y = half_turn_ ? aedat::height - 1 - event.y : event.y;
        const int column = transpose_ ? y : x, row = transpose_ ? x : y;
        for (const auto& [v, down] : down_.feeds[row])
            for (const auto& [u, across] : across_.feeds[column])
                frame[(event.on * height_ + v) * width_ + u] += share * std::llrint(down * across * double(unit_));
    }

    void apply_value(std::vector<std::uint64_t>& sums) const {
        if (value_ == "binary")
            for (auto& sum : sums) sum = sum > 0;
        if (value_ != "signed") return;
        const std::size_t pixels = std::size_t(height_) * width_;
        for (std::size_t step = 0; step < std::size_t(steps_); ++step)
            for (std::size_t off = step * 2 * pixels, on = off + pixels; off < (step * 2 + 1) * pixels; ++off, ++on) {
                const auto less = std::min(sums[off], sums[on]);
                sums[off] -= less;
                sums[on] -= less;
            }
    }

    // Of "duration:50ms" the length of a slice in µs, of "events:2000" the number of events; 0 for "count" and "time".
    std::int64_t slice_length() const {
        if (slicing_ == "count" || slicing_ == "time") return 0;
        const auto length = parsed_length();
        if (length < 1 || length > description::longest_us) throw unknown("slicing", slicing_);
        return length;
    }

    std::int64_t parsed_length() const {
        const auto colon = slicing_.find(':');
        const auto kind = slicing_.substr(0, colon);
        std::size_t digits = 0;
        const double number = colon == slicing_.npos ? 0 : std::stod(slicing_.substr(colon + 1), &digits);
        const auto unit = colon == slicing_.npos ? "" : slicing_.substr(colon + 1 + digits);
        if (kind == "events" && unit.empty()) return std::llround(number);
        if (kind == "duration" && unit == "s") return std::llround(number * 1e6);
        if (kind == "duration" && unit == "ms") return std::llround(number * 1e3);
        if (kind == "duration" && (unit == "us" || unit == "µs")) return std::llround(number);
        throw unknown("slicing", slicing_);
    }

    // Slices from bin to bin in time; see preprocessing/events/slicing.py.
    Places places_between(Events events) const {
        const auto span = events.back().t - events.front().t;
        if (slicing_ != "time") return {slice_edges(events, steps_), 1, slice_length()};
        if (steps_ == 1 || span == 0) {
            Places places{std::vector<std::size_t>(steps_ + std::size_t(1), events.size())};
            places.edges[0] = 0;
            return places;
        }
        Places places{slice_edges(events, steps_ - 1), steps_ - 1, span};
        places.edges.push_back(events.size());
        return places;
    }

    // Indices [T + 1]: slice j holds the events from edges[j] up to edges[j + 1] - 1; see preprocessing/slicing.py.
    std::vector<std::size_t> slice_edges(Events events, int steps) const {
        const auto length = slice_length(), count = std::ssize(events);
        const auto first = events.front().t, last = events.back().t;
        const auto start_of = [&](std::int64_t j) { return first + (j * (last - first) + steps - 1) / steps; };
        const auto index = [&](std::int64_t time) {
            return std::ranges::lower_bound(events, time, {}, &Event::t) - events.begin();
        };
        std::vector<std::size_t> edges;
        for (std::int64_t j = 0; j <= steps; ++j) {
            const bool ends = j == steps;
            if (slicing_ == "count") edges.push_back(ends ? count : j * (count / steps));
            else if (slicing_ == "time") edges.push_back(ends ? count : index(start_of(j)));
            else if (slicing_.starts_with("events")) edges.push_back(std::min(j * length, count));
            else edges.push_back(index(std::min(first + j * length, last + 1)));
        }
        return edges;
    }

    int steps_, width_, height_;
    std::string slicing_, value_;
    bool transpose_, half_turn_;
    Axis across_, down_;
    std::int64_t shares_ = 1, unit_ = 1;
};

// The windows of a recording that a model was trained on; the whole recording where it was trained on such.
inline std::vector<Events> windows_of(Events events, const nlohmann::json& config, const std::string& source) {
    const auto micros = [&](const char* name) {
        return config.contains(name) && config[name].is_number() ? config[name].get<std::int64_t>() : 0;
    };
    const auto window = micros("window_us"), hop = micros("hop_us");
    if (!window || !hop) return {events};
    const auto first = events.front().t, duration = events.back().t - first;
    const auto num = hop > 0 ? (duration + 1 - window) / hop + 1 : description::most_windows + 1;
    if (num > description::most_windows)
        throw std::runtime_error(source + " has " + std::to_string(num) + " windows, one every " + std::to_string(hop) +
                                 " µs; at most " + std::to_string(description::most_windows) + " are run");
    std::vector<Events> windows;
    for (std::int64_t start = 0; start + window <= duration + 1; start += hop) {
        const auto from = std::ranges::lower_bound(events, first + start, {}, &Event::t);
        const auto to = std::ranges::lower_bound(events, first + start + window, {}, &Event::t);
        if (from != to) windows.emplace_back(from, to);
    }
    if (windows.empty())
        throw std::runtime_error(source + " spans " + std::to_string(duration) +
                                 " µs, the model was trained on windows of " + std::to_string(window) + " µs");
    return windows;
}
