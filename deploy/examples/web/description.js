// What an exported step model says of itself: the JSON text in the metadata of an ONNX file, checked.
//
// onnxruntime-web does not hand it out, so the file is looked through here. The fields are those of
// deploy/running/metadata.py; each has a kind and a range, and they have to go together.

import { SENSOR } from "./recording.js";

const KEY = "evglif";
const [GRAPH, METADATA_PROPS, FUNCTIONS] = [7, 14, 25]; // fields of ONNX's ModelProto
const VERSION = 2;
const MOST_SAMPLE_BYTES = 2 ** 30;
const EXPORT = "export the checkpoint with python -m deploy.export --format onnx-step";

/**
 * The description in an ONNX file, refused where it is damaged or this page cannot do what it asks for.
 * @param {Uint8Array} bytes the file
 * @param {string} source its name; errors begin with it
 */
export function readDescription(bytes, source) {
  const parts = (message, number) =>
    messageOf(message, source).filter(([found]) => found === number).map(([, part]) => part);
  if (parts(bytes, FUNCTIONS).length || parts(bytes, GRAPH).some((graph) => holdsGraph(graph, parts)))
    throw new Error(`${source} holds a graph whose run need not end, which no export does; ${EXPORT}`);
  const entries = parts(bytes, METADATA_PROPS).map((entry) => Object.fromEntries(messageOf(entry, source)));
  const decoder = new TextDecoder();
  const found = entries.find((entry) => entry[1] && decoder.decode(entry[1]) === KEY);
  if (!found) throw new Error(`${source} holds no description by evglif; ${EXPORT}`);
  return usable(parsed(decoder.decode(found[2] ?? new Uint8Array()), source), source);
}

/** Refuses what does not fit into the rest; frames.js has refused by then what no frames can be made of. */
export function checkTogether(description, source) {
  const { steps, size, states, classes, channels, preprocessing } = description;
  const check = checker(source);
  check("steps", steps, isWhole(steps, 1, 100_000), "a whole number from 1 to 100,000");
  check("size", size, isSize(size), "width and height from 1 to 4096");
  check("preprocessing.steps", preprocessing.steps, preprocessing.steps === steps, steps);
  check("preprocessing.size", preprocessing.size, String(preprocessing.size) === String(size), size);
  check("steps", steps, 8 * steps * size[0] * size[1] <= MOST_SAMPLE_BYTES, "frames of at most 1 GiB a sample");
  check("channels", channels, Array.isArray(channels) && channels.length === 2, "OFF and ON");
  check("classes", classes, areNames(classes) && classes.length > 0, "names, each once");
  check("states", states, Array.isArray(states), "a list");
  states.forEach((state, at) => {
    const { shape, rest } = state ?? {};
    const fits = Array.isArray(shape) && shape.every((side) => isWhole(side, 1, 2 ** 24));
    check(`states[${at}].shape`, shape, fits && 4 * shape.reduce((a, b) => a * b, 1) <= MOST_SAMPLE_BYTES, "sides");
    check(`states[${at}].rest`, rest, Number.isFinite(rest), "a number");
  });
  check("states", states, areNames(states.map(({ name }) => name)), "names, each once");
}

/** A check of one field: throws an error that names it, its value and what was expected. */
export function checker(source) {
  return (field, value, fits, expected) => {
    if (fits) return;
    const shown = (JSON.stringify(value) ?? "nothing").slice(0, 60);
    throw new Error(`${source}: its description is damaged: ${field} is ${shown}, expected ${expected}; ${EXPORT}`);
  };
}

export const isWhole = (value, low, high) => Number.isInteger(value) && value >= low && value <= high;
export const isSize = (value) =>
  Array.isArray(value) && value.length === 2 && value.every((side) => isWhole(side, 1, 4096));

function areNames(values) {
  const areTexts = Array.isArray(values) && values.every((name) => typeof name === "string");
  return areTexts && new Set(values).size === values.length;
}

function parsed(text, source) {
  try {
    const description = JSON.parse(text);
    if (description?.constructor !== Object) throw new Error("no table");
    return description;
  } catch (error) {
    throw new Error(`${source}: its description is damaged (${error.message}); ${EXPORT}`);
  }
}

/** The description, refused where this page cannot do what it asks for. */
function usable(description, source) {
  const { version, form, model, preprocessing, sensor } = description;
  const refuse = (why) => { throw new Error(`${source} ${why}`); };
  if (version !== VERSION) refuse(`has a description of version ${version}, this page reads ${VERSION}; ${EXPORT}`);
  if (form !== "step") refuse(`runs all time steps at once, this page runs one at a time; ${EXPORT}`);
  if ((model?.encoder ?? "frames") !== "frames") refuse("was trained on images, not on events");
  if (!preprocessing || !sensor) refuse("does not know how its training data were made");
  checker(source)("sensor", sensor, isSize(sensor), "width and height from 1 to 4096");
  if (String(sensor) !== String(SENSOR))
    refuse(`was trained on a ${sensor.join("×")} sensor; this page reads recordings of the DVS128, 128×128`);
  return description;
}

/** Whether an operator of a graph has a graph of its own, as Loop and If have. */
function holdsGraph(graph, parts) {
  const [NODE, ATTRIBUTE, INNER, INNERS] = [1, 5, 6, 11];
  const attributes = parts(graph, NODE).flatMap((node) => parts(node, ATTRIBUTE));
  return attributes.some((each) => parts(each, INNER).length + parts(each, INNERS).length > 0);
}

function messageOf(bytes, source) {
  try {
    return [...fields(bytes)];
  } catch {
    throw new Error(`${source} is no ONNX file, or is damaged`);
  }
}

/** The fields [number, bytes] of a protobuf message that have a length; the others are passed over. */
function* fields(bytes) {
  let at = 0;
  const varint = () => {
    let value = 0;
    for (let scale = 1; ; scale *= 128) {
      if (at >= bytes.length) throw new RangeError("cut");
      const byte = bytes[at++];
      value += (byte & 127) * scale;
      if (byte < 128) return value;
    }
  };
  while (at < bytes.length) {
    const tag = varint();
    const [number, wire] = [Math.floor(tag / 8), tag % 8];
    if (wire === 2) {
      const length = varint();
      if (length > bytes.length - at) throw new RangeError("cut");
      yield [number, bytes.subarray(at, (at += length))];
    } else if (wire === 0) varint();
    else if (wire === 1 || wire === 5) at += wire === 1 ? 8 : 4;
    else throw new RangeError("no protobuf");
  }
}
