/** "Save this mix": what is heard, made of the full stems in the browser and saved as WAV. */

import { call, save } from "../api/client";
import type { StemFile } from "../api/types";
import { factor, type Strips } from "./mixer";
import { add, gains, rounded, wavFormat, wavHeader, type WavFormat } from "./wav";

const PIECE = 4 << 20; // bytes of a stem that are mixed at a time
const HEAD = 4096; // bytes that hold the header

interface Source {
  readonly stem: StemFile;
  readonly format: WavFormat;
}

async function bytesOf(stem: StemFile, from: number, to: number): Promise<DataView> {
  const response = await call(stem.url, { headers: { Range: `bytes=${from}-${to - 1}` } });
  return new DataView(await response.arrayBuffer());
}

/** Returns whether the browser can mix these stems: WAV of one format. */
export const mixable = (stems: readonly StemFile[]): boolean => stems.length > 0 && stems.every((stem) => stem.media_type === "audio/wav");

/** Returns what is heard in words: "without drums", "vocals + bass". */
export function described(strips: Strips, nameOf: (stem: string) => string, without: (stems: string) => string, mix: string): string {
  const names = Object.keys(strips);
  const heard = names.filter((name) => factor(strips, name) > 0);
  const silent = names.filter((name) => !heard.includes(name)).map((name) => nameOf(name).toLowerCase());
  if (silent.length === 0) return mix;
  return silent.length < heard.length ? without(silent.join(", ")) : heard.map((name) => nameOf(name).toLowerCase()).join(" + ");
}

/** Mixes the stems that are heard and saves the mix; `progress` hears the share that is done. */
export async function saveMix(stems: readonly StemFile[], strips: Strips, name: string, progress: (share: number) => void): Promise<void> {
  const heard = stems.filter((stem) => factor(strips, stem.name) > 0);
  const sources: Source[] = [];
  for (const stem of heard) {
    const format = wavFormat(await bytesOf(stem, 0, Math.min(HEAD, stem.size)));
    if (format) sources.push({ stem, format });
  }
  const frames = Math.max(0, ...sources.map(({ format }) => format.frames));
  const parts: BlobPart[] = [wavHeader(sources[0]?.format.rate ?? 44_100, frames)];
  const step = PIECE >> 3;
  for (let from = 0; from < frames; from += step) {
    const count = Math.min(step, frames - from);
    const mix = new Float32Array(2 * count);
    await Promise.all(sources.map((source) => addPart(mix, source, from, count, strips)));
    parts.push(rounded(mix));
    progress((from + count) / frames);
  }
  save(new Blob(parts, { type: "audio/wav" }), name);
}

async function addPart(mix: Float32Array, { stem, format }: Source, from: number, count: number, strips: Strips): Promise<void> {
  const width = (format.channels * format.bits) / 8;
  const after = Math.min(from + count, format.frames);
  if (after <= from) return;
  const bytes = await bytesOf(stem, format.begin + from * width, format.begin + after * width);
  add(mix, bytes, format, gains(factor(strips, stem.name), strips[stem.name]?.pan ?? 0));
}
