/** The waveform of a file that was not sent yet, drawn from what the browser decodes of it. */

import type { Peaks } from "../api/types";

const LONGEST = 420; // seconds, of which the browser decodes at most 150 MB
const LARGEST = 64 << 20; // bytes
const RATE = 8000; // Hz: little to keep, and enough to draw
const COLUMNS = 200;

let last: Promise<unknown> = Promise.resolve(); // one file at a time

/** Returns whether a file is short enough to decode it for a drawing. */
export const drawable = (file: File, seconds: number | null): seconds is number =>
  seconds !== null && seconds <= LONGEST && file.size <= LARGEST;

/** Returns the peaks of a file, or null if the browser cannot decode it. */
export function peaksOf(file: File): Promise<Peaks | null> {
  const mine = last.then(async () => measured(await decoded(file))).catch(() => null);
  last = mine;
  return mine;
}

async function decoded(file: File): Promise<Float32Array> {
  const context = new OfflineAudioContext(1, 1, RATE);
  return (await context.decodeAudioData(await file.arrayBuffer())).getChannelData(0);
}

/** Returns the lowest and highest sample of each column. */
export function measured(samples: Float32Array, count = COLUMNS): Peaks {
  const data = Array.from({ length: count }, (_, column) => {
    const part = samples.subarray(Math.floor((column * samples.length) / count), Math.floor(((column + 1) * samples.length) / count));
    let [low, high] = [0, 0];
    for (const sample of part) {
      if (sample < low) low = sample;
      if (sample > high) high = sample;
    }
    return [Math.max(-128, Math.round(128 * low)), Math.min(127, Math.round(128 * high))];
  });
  return { bits: 8, length: count, data: data.flat() };
}
