// AEDAT-2.0 recordings of a DVS128: text header, then big-endian (address, time in µs) pairs of 32-bit words.
//
// Address: bit 0 polarity (0 = ON), bits 1–7 x from the right, bits 8–14 y from the bottom, bit 15 external events,
// which are none of the sensor. The same as preprocessing/readers/aedat2.py, which reads a DAVIS too.

export const SENSOR = [128, 128]; // (width, height), px
const RECORD_BYTES = 8;
const MAX_DISORDER_US = 10_000;
const SIGNATURE = "#!AER-DAT2.0";
const LAST_LINE = "#End Of ASCII Header";

/**
 * The events of a recording in the order of time, at least one: {t µs, x px, y px, on}, each an array [N].
 * @param {ArrayBuffer} buffer the whole file
 * @param {string} source its name; errors begin with it
 */
export function readRecording(buffer, source) {
  const bytes = new Uint8Array(buffer);
  if (text(bytes.subarray(0, SIGNATURE.length)) !== SIGNATURE)
    throw new Error(`${source} is no AEDAT-2.0 file: it does not begin with ${SIGNATURE}`);
  const start = endOfHeader(bytes);
  checkCamera(text(bytes.subarray(0, start)), source);
  if ((bytes.length - start) % RECORD_BYTES) throw new Error(`${source} is cut in the middle of a record, at its end`);
  const events = decode(new DataView(buffer, start), start, source);
  if (!events.t.length) throw new Error(`${source} holds no events`);
  return inOrder(events, source);
}

const text = (bytes) => new TextDecoder("latin1").decode(bytes);

// A record may begin with "#" as well; the control bytes in it tell it from a header line.
const isText = (byte) => byte === 0x09 || byte === 0x0d || (byte >= 0x20 && byte !== 0x7f);

/** Where the header ends, behind the last "#" line of text. */
function endOfHeader(bytes) {
  let start = 0;
  while (bytes[start] === 0x23) {
    let stop = start;
    while (stop < bytes.length && isText(bytes[stop])) stop++;
    if (stop < bytes.length && bytes[stop] !== 0x0a) break;
    const line = text(bytes.subarray(start, stop));
    start = Math.min(stop + 1, bytes.length);
    if (line.startsWith(LAST_LINE)) break;
  }
  return start;
}

/** Refuses the cameras whose addresses look otherwise; a file that names none is a DVS128's. */
function checkCamera(header, source) {
  const name = header.match(/AEChip: *(\S+)/)?.[1].split(".").pop();
  if (name && !/^(DVS|Tmpdiff)128$/i.test(name))
    throw new Error(`${source} was recorded by a ${name}; this page reads the DVS128 only`);
}

/** Events of the records in the order of the file. A time far below the last one: the 32-bit clock has wrapped. */
function decode(view, headerBytes, source) {
  const events = { t: [], x: [], y: [], on: [] };
  let epoch = 0;
  let last = 0;
  for (let at = 0; at < view.byteLength; at += RECORD_BYTES) {
    const address = view.getUint32(at);
    if (address > 0xffff)
      throw new Error(`${source}: the address at byte ${headerBytes + at} is outside the 128×128 sensor; ` +
        "the file is damaged or from another camera");
    if (address & 0x8000) continue;
    const time = view.getUint32(at + 4);
    if (last - time > 2 ** 31) epoch += 2 ** 32;
    last = time;
    events.t.push(epoch + time);
    events.x.push(127 - ((address >> 1) & 127));
    events.y.push(127 - ((address >> 8) & 127));
    events.on.push(1 - (address & 1));
  }
  return events;
}

/** Events that are a little late are put in their place; equal times keep the order of the file. */
function inOrder(events, source) {
  let latest = events.t[0];
  let sorted = true;
  for (const time of events.t) {
    if (latest - time > MAX_DISORDER_US)
      throw new Error(`${source}: time runs backwards, from ${latest} to ${time} µs`);
    sorted &&= time >= latest;
    latest = Math.max(latest, time);
  }
  if (sorted) return events;
  const order = events.t.map((_, index) => index).sort((a, b) => events.t[a] - events.t[b]);
  return Object.fromEntries(Object.entries(events).map(([name, column]) => [name, order.map((at) => column[at])]));
}
