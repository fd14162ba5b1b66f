// An exported step model in onnxruntime-web: one time step a run, with membranes that travel from step to step.
//
// The contract is that of deploy/step.py: inputs frame [1, C, H, W], step [] and membrane_<i>; outputs logits of this
// step alone and membrane_<i>_next. The answer after t steps is the softmax of the mean of their logits.

import * as ort from "./node_modules/onnxruntime-web/dist/ort.wasm.bundle.min.mjs";
import { checkTogether, readDescription } from "./description.js";
import { frameMaker } from "./frames.js";

ort.env.wasm.numThreads = 1; // more would need headers that a plain server does not send

/**
 * Load a model.
 * @param {ArrayBuffer} buffer an ONNX file
 * @param {string} source its name; errors begin with it
 */
export async function loadModel(buffer, source) {
  const description = readDescription(new Uint8Array(buffer), source);
  try {
    const framesOf = frameMaker(description.preprocessing);
    checkTogether(description, source);
    const session = await ort.InferenceSession.create(buffer);
    checkGraph(session, description);
    return new StepModel(session, description, framesOf);
  } catch (error) {
    throw new Error(`${source} cannot be used: ${error.message}`);
  }
}

/** The graph takes and gives what its description says; the shapes are looked at with the first answer. */
function checkGraph({ inputNames, outputNames }, { states }) {
  const expected = [
    ["takes", inputNames, ["frame", "step", ...states.map(({ name }) => name)]],
    ["gives", outputNames, ["logits", ...states.map(({ name }) => `${name}_next`)]],
  ];
  for (const [verb, found, names] of expected)
    if (String(found.toSorted()) !== String(names.toSorted()))
      throw new Error(`its graph ${verb} ${found}, its description says ${names}`);
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
      if (outputs.logits.data.length !== classes.length)
        throw new Error(`the model has ${outputs.logits.data.length} outputs for ${classes.length} classes`);
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
