// Events to frames, as a model's description asks: slices of time, counted per pixel and polarity, then resized.
//
//     frame[j, c, v, u] = Σ over the events of slice j with polarity c of  weight_x[x, u] · weight_y[y, v]
//
// A voxel grid shares an event out between the two slices that it lies between in time as well, in parts of 1/256.
// Weights are rational. Over their common denominator they are integers, so that the sums are exact and the frames
// equal those of preprocessing/rasterize.py bit for bit.

import { checker, isSize, isWhole } from "./description.js";
import { SENSOR } from "./recording.js";

const LONGEST_US = 1e12; // the limits of deploy/running/consistency.py
const MOST_OVERLAP = 1000;
const MOST_WINDOWS = 100_000;
const FINEST = 2 ** 31; // weights with a larger denominator are rounded to 1 / this

// The weight of a pixel in a bin, before a bin's weights are divided by their sum; see preprocessing/tables.py.
const WEIGHTS = {
  bilinear(pixels, bins, pixel, bin) {
    const place = Math.max((2 * bin + 1) * pixels - bins, 0);
    const low = Math.floor(place / (2 * bins));
    const rest = place % (2 * bins);
    const high = Math.min(low + 1, pixels - 1);
    return (pixel === low ? 2 * bins - rest : 0) + (pixel === high ? rest : 0);
  },
  "bilinear-antialias"(pixels, bins, pixel, bin) {
    const distance = Math.abs((2 * pixel + 1) * bins - (2 * bin + 1) * pixels);
    return Math.max(2 * Math.max(pixels, bins) - distance, 0);
  },
  area: (pixels, bins, pixel, bin) =>
    Number(Math.floor((bin * pixels) / bins) <= pixel && pixel < Math.ceil(((bin + 1) * pixels) / bins)),
  nearest: (pixels, bins, pixel, bin) => Number(pixel === Math.floor((bin * pixels) / bins)),
  sum: (pixels, bins, pixel, bin) => Number(bin === Math.floor((pixel * bins) / pixels)),
};

const SHARES = 256; // of an event of a voxel grid

const VALUES = {
  count: () => {},
  voxel: () => {},
  binary: (sums) => sums.forEach((sum, at) => (sums[at] = Number(sum > 0))),
  signed(sums, pixels) {
    for (let off = 0; off < pixels; off++) {
      const less = Math.min(sums[off], sums[off + pixels]);
      sums[off] -= less;
      sums[off + pixels] -= less;
    }
  },
};

const UNIT_US = { s: 1e6, ms: 1e3, us: 1, µs: 1 };

/**
 * Frames [T] of the events of a recording or a window of it; each is [2, H, W], channel 0 = OFF, channel 1 = ON.
 * @param {object} config the part "preprocessing" of a model's description
 * @returns {(events: object, from: number, to: number) => Float32Array[]}
 */
export function frameMaker(config) {
  const { steps, size, resize = "bilinear", value = "count" } = config;
  const { transpose = false, half_turn: halfTurn = false } = config;
  const slicing = parseSlicing(config.slicing ?? "count");
  refuseWhere(typeof resize !== "string" || !Object.hasOwn(WEIGHTS, resize), `the resizing ${resize}`);
  refuseWhere(typeof value !== "string" || !Object.hasOwn(VALUES, value), `the value ${value}`);
  const inTime = slicing.kind === "time" || slicing.kind === "duration";
  refuseWhere(value === "voxel" && !inTime, `the value voxel and the slicing ${config.slicing ?? "count"}`);
  refuseWhere(config.filters?.length, `the filters ${config.filters}`);
  checkSettings(config, { transpose, halfTurn });
  const [width, height] = size;
  const [sensorWidth, sensorHeight] = transpose ? SENSOR.toReversed() : SENSOR;
  const across = makeAxis(resize, sensorWidth, width);
  const down = makeAxis(resize, sensorHeight, height);
  const shares = value === "voxel" ? SHARES : 1;
  const unit = Math.min(across.denominator * down.denominator, FINEST / shares);
  const denominator = value === "binary" ? 1 : unit * shares;

  function add(events, i, sums, share) {
    const [x, y] = halfTurn ? [SENSOR[0] - 1 - events.x[i], SENSOR[1] - 1 - events.y[i]] : [events.x[i], events.y[i]];
    const [column, row] = transpose ? [y, x] : [x, y];
    for (const [v, weightY] of down.feeds[row])
      for (const [u, weightX] of across.feeds[column])
        sums[(events.on[i] * height + v) * width + u] += Math.round(weightY * weightX * unit) * share;
  }

  return (events, from = 0, to = events.t.length) => {
    const { edges, later } = (value === "voxel" ? placesBetween : placesIn)(events.t, from, to, steps, slicing);
    let next = new Float64Array(2 * height * width);
    return Array.from({ length: steps }, (_, step) => {
      const sums = next;
      next = new Float64Array(sums.length);
      for (let i = edges[step]; i < edges[step + 1]; i++) {
        const share = later(i, step);
        add(events, i, sums, shares - share);
        if (share) add(events, i, next, share);
      }
      VALUES[value](sums, height * width);
      return Float32Array.from(sums, (sum) => sum / denominator);
    });
  };
}

function checkSettings({ steps, size, window_us: windowUs, hop_us: hopUs }, { transpose, halfTurn }) {
  const check = checker("the model");
  check("preprocessing.steps", steps, isWhole(steps, 1, 100_000), "a whole number from 1 to 100,000");
  check("preprocessing.size", size, isSize(size), "width and height from 1 to 4096");
  check("preprocessing.transpose", transpose, typeof transpose === "boolean", "true or false");
  check("preprocessing.half_turn", halfTurn, typeof halfTurn === "boolean", "true or false");
  if ((windowUs ?? hopUs ?? null) === null) return;
  check("preprocessing.window_us", windowUs, isWhole(windowUs, steps, LONGEST_US), `whole µs from ${steps} on`);
  const least = Math.ceil(windowUs / MOST_OVERLAP);
  check("preprocessing.hop_us", hopUs, isWhole(hopUs, least, LONGEST_US), `whole µs from ${least} on`);
}

/** Index ranges [from, to] of the windows that a model was trained on; the whole recording where it was on such. */
export function windowsOf(t, { window_us: windowUs, hop_us: hopUs }, source) {
  if (!windowUs || !hopUs) return [[0, t.length]];
  const durationUs = t.at(-1) - t[0];
  const most = Math.floor((durationUs - windowUs) / hopUs) + 1;
  if (!(hopUs >= 1 && most <= MOST_WINDOWS))
    throw new Error(`${source} has ${most} windows, one every ${hopUs} µs; at most ${MOST_WINDOWS} are run`);
  const windows = [];
  for (let start = t[0]; start + windowUs <= t.at(-1) + 1; start += hopUs)
    windows.push([lowerBound(t, start), lowerBound(t, start + windowUs)]);
  const filled = windows.filter(([from, to]) => from < to);
  if (!filled.length)
    throw new Error(`${source} spans ${durationUs} µs, the model was trained on windows of ${windowUs} µs`);
  return filled;
}

function refuseWhere(unknown, what) {
  if (unknown) throw new Error(`the model was trained with ${what}, which this page cannot do`);
}

/** What each pixel along an axis feeds: [bin, weight] pairs; all weights are integers / denominator. */
function makeAxis(resize, pixels, bins) {
  const feeds = Array.from({ length: pixels }, () => []);
  let denominator = 1;
  for (let bin = 0; bin < bins; bin++) {
    const weights = feeds.map((_, pixel) => WEIGHTS[resize](pixels, bins, pixel, bin));
    const divisor = weights.reduce(gcd);
    const sum = resize === "sum" ? 1 : weights.reduce((a, b) => a + b) / divisor;
    weights.forEach((weight, pixel) => weight && feeds[pixel].push([bin, weight / divisor / sum]));
    denominator = Math.min((denominator / gcd(denominator, sum)) * sum, FINEST);
  }
  return { feeds, denominator };
}

function gcd(a, b) {
  return b ? gcd(b, a % b) : a;
}

/** "count", "time", "duration:50ms" or "events:2000" as a kind, with µs or a number of events. */
function parseSlicing(slicing) {
  refuseWhere(typeof slicing !== "string", `the slicing ${slicing}`);
  if (slicing === "count" || slicing === "time") return { kind: slicing };
  const [, kind, number, unit] = slicing.match(/^(duration|events):([\d.]+)(s|ms|us|µs)?$/) ?? [];
  refuseWhere(!kind || (kind === "duration") !== Boolean(unit), `the slicing ${slicing}`);
  const each = Math.round(number * (UNIT_US[unit] ?? 1));
  refuseWhere(!isWhole(each, 1, LONGEST_US), `the slicing ${slicing}`);
  return { kind, each };
}

/** The edges of slices whose events are all their own. */
function placesIn(t, from, to, steps, slicing) {
  return { edges: sliceEdges(t, from, to, steps, slicing), later: () => 0 };
}

/** The edges of slices from bin to bin in time, and the share of an event that is the next bin's; see slicing.py. */
function placesBetween(t, from, to, steps, slicing) {
  const first = t[from];
  const spanUs = t[to - 1] - first;
  let [rate, spacing, edges] = [1, slicing.each];
  if (slicing.kind === "duration") edges = sliceEdges(t, from, to, steps, slicing);
  else if (steps === 1 || !spanUs) [rate, spacing, edges] = [0, 1, [from, ...Array(steps).fill(to)]];
  else [rate, spacing, edges] = [steps - 1, spanUs, [...sliceEdges(t, from, to, steps - 1, slicing), to]];
  const later = (i, j) => {
    const behind = rate * (t[i] - first) - j * spacing;
    return Math.floor((2 * SHARES * behind + spacing) / (2 * spacing));
  };
  return { edges, later };
}

/** Indices [T + 1]: slice j holds the events from edges[j] up to edges[j + 1] − 1; see preprocessing/slicing.py. */
function sliceEdges(t, from, to, steps, { kind, each }) {
  const [count, first, last] = [to - from, t[from], t[to - 1]];
  const index = (time) => lowerBound(t, time, from, to);
  const edge = {
    count: (j) => (j === steps ? to : from + j * Math.floor(count / steps)),
    time: (j) => (j === steps ? to : index(first + Math.ceil((j * (last - first)) / steps))),
    events: (j) => from + Math.min(j * each, count),
    duration: (j) => index(Math.min(first + j * each, last + 1)),
  }[kind];
  return Array.from({ length: steps + 1 }, (_, j) => edge(j));
}

/** The first index from `from` on whose time is not below `time`. */
function lowerBound(t, time, from = 0, to = t.length) {
  while (from < to) {
    const middle = (from + to) >> 1;
    if (t[middle] < time) from = middle + 1;
    else to = middle;
  }
  return from;
}
