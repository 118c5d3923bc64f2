/** "Save this mix": what is heard, made of full stems in WAV in the browser, or else by the service. */

import { download, getJson, Problem, save } from "../api/client";
import type { Separation, StemFile } from "../api/types";
import { discard, isOpen, type Song } from "../songs/songs";
import { mixAtService } from "../upload/uploads";
import { factor, type Strips } from "./mixer";
import { StemReader } from "./stem-file";
import { add, gains, rounded, wavHeader } from "./wav";

const PIECE = 1 << 19; // frames that are mixed at a time
const LOOK = 1000; // milliseconds between looks at how far the service is

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
  const sources = await Promise.all(
    heard.map(async (stem) => ({ file: await StemReader.open(stem), gains: gains(factor(strips, stem.name), strips[stem.name]?.pan ?? 0) })),
  );
  const frames = Math.max(0, ...sources.map(({ file }) => file.format.frames));
  const parts: BlobPart[] = [wavHeader(sources[0]?.file.format.rate ?? 44_100, frames)];
  for (let from = 0; from < frames; from += PIECE) {
    const count = Math.min(PIECE, frames - from);
    const mix = new Float32Array(2 * count);
    const read = await Promise.all(sources.map(({ file }) => file.read(from, count)));
    sources.forEach((source, k) => add(mix, read[k] ?? [], source.gains));
    parts.push(rounded(mix));
    progress((from + count) / frames);
  }
  save(new Blob(parts, { type: "audio/wav" }), name);
}

/** Has the service make a mix, saves it, and erases the separation that it was made with. */
export async function saveMixOfService(song: Song, sum: string, title: string, progress: (share: number) => void): Promise<void> {
  let job = await mixAtService(song, sum);
  try {
    while (isOpen(job)) {
      progress(job.progress);
      await new Promise((resolve) => setTimeout(resolve, LOOK));
      job = await getJson<Separation>(job.url);
    }
    if (job.error) throw new Problem({ status: 422, type: job.error.type, detail: job.error.message });
    for (const mix of job.mixes) await download(mix.url, title);
  } finally {
    discard(job);
  }
}
