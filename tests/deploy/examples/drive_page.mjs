// Drive the web example in headless Chromium, and print what it showed as JSON.
//
//     node drive_page.mjs '{"folder": …, "chromium": …, "url": …, "screenshot": …, "actions": [[VERB, ARGUMENT…]…]}'
//
// Verbs: press KEY, click SELECTOR, drop FILE…, settle, which waits for an answer or an error, and inject, which tries
// what the page's content-security policy forbids and tells what came of it.

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { basename } from "node:path";

const { folder, chromium: executablePath, url, screenshot, actions } = JSON.parse(process.argv[2]);
const { chromium } = createRequire(`${folder}/`)("playwright-core");
const browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });
try {
  const page = await browser.newPage({ viewport: { width: 1000, height: 800 } });
  page.setDefaultTimeout(30_000);
  const complaints = [];
  const isForeign = (request) => new URL(request.url()).origin !== new URL(url).origin;
  page.on("pageerror", (error) => complaints.push(String(error)));
  page.on("request", (request) => isForeign(request) && complaints.push(`asks for ${request.url()}`));
  await page.goto(url);
  const shown = [];
  const does = {
    press: (key) => page.keyboard.press(key),
    click: (selector) => page.click(selector),
    drop: (...paths) => drop(page, paths),
    inject: async (elsewhere) => shown.push(await injected(page, elsewhere)),
    settle: async () => shown.push(await settled(page)),
  };
  for (const [verb, ...rest] of actions) await does[verb](...rest);
  if (screenshot) await page.screenshot({ path: screenshot });
  console.log(JSON.stringify({ shown, complaints }));
} finally {
  await browser.close();
}

async function drop(page, paths) {
  const files = paths.map((path) => [basename(path), readFileSync(path).toString("base64")]);
  await page.evaluate((files) => {
    const dataTransfer = new DataTransfer();
    for (const [name, content] of files)
      dataTransfer.items.add(new File([Uint8Array.from(atob(content), (c) => c.charCodeAt(0))], name));
    document.dispatchEvent(new DragEvent("drop", { dataTransfer, bubbles: true, cancelable: true }));
  }, files);
}

async function injected(page, elsewhere) {
  return page.evaluate(async (elsewhere) => {
    const refused = [];
    document.addEventListener("securitypolicyviolation", ({ effectiveDirective }) => refused.push(effectiveDirective));
    const script = document.createElement("script");
    script.textContent = "window.ran = true";
    document.body.append(script);
    const fetched = await fetch(elsewhere).then(() => true, () => false);
    await new Promise((resolve) => setTimeout(resolve, 50));
    return { ran: window.ran === true, fetched, refused: refused.sort() };
  }, elsewhere);
}

async function settled(page) {
  await page.waitForFunction(() => {
    const [error, answer] = ["#error", "#answer"].map((selector) => document.querySelector(selector));
    return !error.hidden || answer.textContent.endsWith("in the end");
  });
  return page.evaluate(() => ({
    error: document.querySelector("#error").hidden ? null : document.querySelector("#error").textContent,
    visible: document.querySelector("#stage").checkVisibility(),
    answer: document.querySelector("#answer").textContent,
    where: document.querySelector("#where").textContent,
    focus: document.activeElement?.id,
    classes: [...document.querySelectorAll("#classes li")].map((item) => item.firstChild.textContent),
    probabilities: [...document.querySelectorAll(".track")].map((track) => Number(track.getAttribute("aria-valuenow"))),
  }));
}
