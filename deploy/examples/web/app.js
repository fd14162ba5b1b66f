// The page: takes files, runs the model over the frames of a recording, and shows frame and classes at every step.
//
// ?model=URL&recording=URL loads files that lie beside the page.

import { windowsOf } from "./frames.js";
import { loadModel } from "./model.js";
import { readRecording } from "./recording.js";

const STEP_MS = 300;
const EXAMPLE = { model: "model.step.onnx", recording: "example.aedat" };
const [OFF, ON, NOTHING] = [[213, 94, 0], [0, 114, 178], [239, 239, 239]]; // red, green, blue, as in style.css

const element = (id) => document.getElementById(id);
const loaded = { model: null, recording: null };
let shown = []; // what was shown of the run at hand, one entry a step
let run = 0; // number of the run at hand; one that finds another here ends

/** Take a file, a model or a recording by its suffix, and classify once both are there. */
async function take(name, buffer) {
  const kind = name.endsWith(".onnx") ? "model" : "recording";
  element(kind).textContent = "loading …";
  try {
    loaded[kind] = kind === "model" ? await loadModel(buffer, name) : { name, events: readRecording(buffer, name) };
    element(kind).textContent = `${name}: ${kind === "model" ? modelFacts() : recordingFacts()}`;
  } catch (error) {
    loaded[kind] = null;
    element(kind).textContent = "none yet";
    throw error;
  }
}

function modelFacts() {
  const { classes, steps, size } = loaded.model.description;
  return `${classes.length} classes, ${steps} steps, frames of ${size.join("×")}`;
}

function recordingFacts() {
  const { t } = loaded.recording.events;
  return `${t.length.toLocaleString("en")} events in ${((t.at(-1) - t[0]) / 1e6).toFixed(2)} s`;
}

/** End the run at hand and do something else; whatever that throws stands on the page. */
async function reporting(work) {
  run++;
  element("error").hidden = true;
  element("answer").textContent = "";
  try {
    await work();
  } catch (error) {
    element("stage").hidden = true;
    element("error").textContent = error.message;
    element("error").hidden = false;
  }
}

async function takeFiles(files) {
  for (const file of files) await take(file.name, await file.arrayBuffer());
  await classify();
}

async function takeAddresses(addresses) {
  for (const address of addresses) {
    const url = new URL(address, location);
    if (url.origin !== location.origin)
      throw new Error(`${address} lies elsewhere; only files beside this page are loaded: save it, and drop it here`);
    const response = await fetch(url, { redirect: "error" });
    if (!response.ok) throw new Error(`there is no ${address} beside this page (${response.status}); see README.md`);
    await take(url.pathname.split("/").pop(), await response.arrayBuffer());
  }
  await classify();
}

/** Run the model step by step over every window of the recording; the answer is the mean over the windows. */
async function classify() {
  if (!loaded.model || !loaded.recording) return;
  const mine = ++run;
  const { model, recording: { name, events } } = loaded;
  const { preprocessing, classes, steps } = model.description;
  const windows = windowsOf(events.t, preprocessing, name);
  const mean = new Float64Array(classes.length);
  begin(classes, windows.length * steps);
  for (const [index, [from, to]] of windows.entries()) {
    const frames = model.framesOf(events, from, to);
    const next = model.begin();
    const brightest = frames.reduce((most, frame) => frame.reduce((a, b) => Math.max(a, b), most), 0);
    for (let step = 0; step < steps; step++) {
      const probabilities = await next(frames[step]);
      if (mine !== run) return;
      const window = windows.length > 1 ? `window ${index + 1} of ${windows.length}, ` : "";
      const where = `${window}step ${step + 1} of ${steps}`;
      shown.push({ frame: frames[step], brightest, probabilities, where, final: false });
      show(shown.length - 1);
      if (step === steps - 1) probabilities.forEach((each, at) => (mean[at] += each / windows.length));
      await pause();
      if (mine !== run) return;
    }
  }
  Object.assign(shown.at(-1), { probabilities: [...mean], final: true });
  show(shown.length - 1);
  element("step").disabled = false;
}

function pause() {
  const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
  return new Promise((resolve) => setTimeout(resolve, still ? 0 : STEP_MS));
}

function begin(classes, numSteps) {
  shown = [];
  element("stage").hidden = false;
  Object.assign(element("step"), { max: numSteps, value: 1, disabled: true });
  element("classes").replaceChildren(...classes.map(row));
}

function row(name) {
  const item = document.createElement("li");
  item.innerHTML = `<span></span>
    <div class="track" role="meter" aria-valuemin="0" aria-valuemax="1"><span></span></div>
    <span class="percent"></span>`;
  item.firstChild.textContent = name;
  item.querySelector(".track").setAttribute("aria-label", name);
  return item;
}

/** Show a step that was run. */
function show(index) {
  const { frame, brightest, probabilities, where, final } = shown[index];
  const best = probabilities.indexOf(Math.max(...probabilities));
  draw(frame, brightest);
  element("where").textContent = where;
  element("step").value = index + 1;
  element("answer").ariaBusy = !final; // only the last answer is read out
  element("answer").textContent =
    `${loaded.model.description.classes[best]}, ${percent(probabilities[best])} ${final ? "in the end" : "so far"}`;
  [...element("classes").children].forEach((item, at) => {
    const track = item.querySelector(".track");
    track.setAttribute("aria-valuenow", probabilities[at].toFixed(6));
    track.firstChild.style.width = `${100 * probabilities[at]}%`;
    item.querySelector(".percent").textContent = percent(probabilities[at]);
    item.classList.toggle("best", at === best);
  });
}

const percent = (probability) => `${(100 * probability).toFixed(1)} %`;

/** A frame [2, H, W]: the hue tells the balance of OFF and ON, how far it is from grey how many they are, as a root. */
function draw(frame, brightest) {
  const [width, height] = loaded.model.description.size;
  const image = new ImageData(width, height);
  for (let at = 0; at < width * height; at++) {
    const [off, on] = [frame[at], frame[at + width * height]];
    const light = Math.min(1, Math.sqrt((off + on) / (brightest || 1)));
    for (let channel = 0; channel < 3; channel++) {
      const hue = (off * OFF[channel] + on * ON[channel]) / (off + on || 1);
      image.data[4 * at + channel] = NOTHING[channel] + light * (hue - NOTHING[channel]);
    }
    image.data[4 * at + 3] = 255;
  }
  Object.assign(element("frame"), { width, height });
  element("frame").getContext("2d").putImageData(image, 0, 0);
}

element("files").addEventListener("change", ({ target }) => {
  const files = [...target.files];
  target.value = ""; // the same file may be chosen again
  reporting(() => takeFiles(files));
});
element("example").addEventListener("click", () => reporting(() => takeAddresses(Object.values(EXAMPLE))));
element("play").addEventListener("click", () => reporting(classify));
element("step").addEventListener("input", ({ target }) => show(target.value - 1));
for (const type of ["dragenter", "dragover", "dragleave", "drop"])
  document.addEventListener(type, (event) => {
    event.preventDefault();
    element("drop").classList.toggle("over", type === "dragenter" || type === "dragover");
    if (type === "drop") reporting(() => takeFiles([...event.dataTransfer.files]));
  });

const asked = new URLSearchParams(location.search);
const addresses = ["model", "recording"].map((name) => asked.get(name)).filter(Boolean);
if (addresses.length) reporting(() => takeAddresses(addresses));
