// An exported step model in onnxruntime-web: one time step a run, with membranes that travel from step to step.
//
// The contract is that of deploy/step.py: inputs frame [1, C, H, W], step [] and membrane_<i>; outputs logits of this
// step alone and membrane_<i>_next. The answer after t steps is the softmax of the mean of their logits.

import * as ort from "./node_modules/onnxruntime-web/dist/ort.wasm.bundle.min.mjs";
import { frameMaker } from "./frames.js";
import { SENSOR } from "./recording.js";

ort.env.wasm.numThreads = 1; // more would need headers that a plain server does not send

const KEY = "evglif";
const METADATA_PROPS = 14; // the field of ONNX's ModelProto with (1: key, 2: value) pairs
const VERSION = 2; // of the description, see deploy/metadata.py
const EXPORT = "export the checkpoint with python -m deploy.export --format onnx-step";

/**
 * Load a model.
 * @param {ArrayBuffer} buffer an ONNX file
 * @param {string} source its name; errors begin with it
 */
export async function loadModel(buffer, source) {
  const description = checked(descriptionOf(new Uint8Array(buffer), source), source);
  try {
    const framesOf = frameMaker(description.preprocessing);
    return new StepModel(await ort.InferenceSession.create(buffer), description, framesOf);
  } catch (error) {
    throw new Error(`${source} cannot be used: ${error.message}`);
  }
}

class StepModel {
  #session;

  constructor(session, description, framesOf) {
    this.#session = session;
    this.description = description;
    this.framesOf = framesOf; // see frameMaker
  }

  /** Begin a window at rest: a function from the next frame [2, H, W] to the class probabilities [K] so far. */
  begin() {
    const { size: [width, height], states, classes } = this.description;
    let membranes = Object.fromEntries(states.map((state) => [state.name, atRest(state)]));
    const sum = new Float32Array(classes.length);
    let step = 0;
    return async (frame) => {
      const inputs = {
        ...membranes,
        frame: new ort.Tensor("float32", frame, [1, 2, height, width]),
        step: new ort.Tensor("int64", BigInt64Array.of(BigInt(step)), []),
      };
      const known = this.#session.inputNames.map((name) => [name, inputs[name]]);
      const outputs = await this.#session.run(Object.fromEntries(known));
      membranes = Object.fromEntries(states.map(({ name }) => [name, outputs[`${name}_next`]]));
      outputs.logits.data.forEach((logit, at) => (sum[at] += logit));
      step++;
      return softmax(Array.from(sum, (each) => each / step));
    };
  }
}

function atRest({ shape, rest }) {
  const membrane = new Float32Array(shape.reduce((a, b) => a * b, 1)).fill(rest);
  return new ort.Tensor("float32", membrane, [1, ...shape]);
}

function softmax(logits) {
  const largest = Math.max(...logits);
  const exponentials = logits.map((logit) => Math.exp(logit - largest));
  const sum = exponentials.reduce((a, b) => a + b);
  return exponentials.map((each) => each / sum);
}

/** The description, refused where this page cannot do what it asks for. */
function checked(description, source) {
  const { version, form, model, preprocessing, sensor } = description;
  const refuse = (why) => { throw new Error(`${source} ${why}`); };
  if (version !== VERSION) refuse(`has a description of version ${version}, this page reads ${VERSION}; ${EXPORT}`);
  if (form !== "step") refuse(`runs all time steps at once, this page runs one at a time; ${EXPORT}`);
  if ((model.encoder ?? "frames") !== "frames") refuse("was trained on images, not on events");
  if (!preprocessing || !sensor) refuse("does not know how its training data were made");
  if (String(sensor) !== String(SENSOR))
    refuse(`was trained on a ${sensor.join("×")} sensor; this page reads recordings of the DVS128, 128×128`);
  return description;
}

/** The JSON text under our key in the metadata of an ONNX file (onnxruntime-web does not hand it out). */
function descriptionOf(bytes, source) {
  let entries;
  try {
    const properties = [...fields(bytes)].filter(([number]) => number === METADATA_PROPS);
    entries = properties.map(([, entry]) => Object.fromEntries(fields(entry)));
  } catch {
    throw new Error(`${source} is no ONNX file, or is damaged`);
  }
  const decoder = new TextDecoder();
  const found = entries.find((entry) => entry[1] && decoder.decode(entry[1]) === KEY);
  if (!found) throw new Error(`${source} holds no description by evglif; ${EXPORT}`);
  return JSON.parse(decoder.decode(found[2]));
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
