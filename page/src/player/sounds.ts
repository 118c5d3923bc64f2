/** What the engine plays: the previews or, on request, the full stems. */

import { call, Problem } from "../api/client";
import type { Preview, StemFile } from "../api/types";
import { tell } from "../songs/songs";
import { Segments, type Load } from "./segments";
import { openStem, type Reader } from "./stem-file";

const MOST_BYTES = 60e6; // of decoded segments, besides those that are needed at a time
const NEEDED = 3; // the segment that plays and the next two

/** Segments, and the sample rate that they are played at. */
export interface Sounds {
  readonly segments: Segments;
  readonly rate: number;
}

function sounds(tracks: readonly string[], seconds: number, rate: number, load: Load): Sounds {
  const bytes = tracks.length * seconds * rate * 2 * Float32Array.BYTES_PER_ELEMENT;
  const told: Load = (track, segment, stop) =>
    load(track, segment, stop).catch((error: unknown) => {
      if (error instanceof Problem && !error.passing) tell(error); // what passes is tried again
      throw error;
    });
  return { segments: new Segments(tracks, told, Math.max(NEEDED, Math.floor(MOST_BYTES / bytes))), rate };
}

/** Returns sounds that are fetched by a function as files that the browser can decode. */
export function encoded(
  tracks: readonly string[],
  seconds: number,
  fetch: (track: string, segment: number, stop: AbortSignal) => Promise<ArrayBuffer>,
): Sounds {
  const rate = 48_000; // Opus has no other
  const decoder = new OfflineAudioContext(2, 1, rate);
  return sounds(tracks, seconds, rate, async (track, segment, stop) => {
    const data = await fetch(track, segment, stop);
    stop.throwIfAborted();
    return decoder.decodeAudioData(data);
  });
}

export function previews(preview: Preview, tracks: readonly string[]): Sounds {
  return encoded(tracks, preview.segment_seconds, async (stem, segment, signal) => {
    const path = preview.segment_url.replace("{stem}", encodeURIComponent(stem)).replace("{segment}", String(segment));
    return (await call(path, { signal })).arrayBuffer();
  });
}

/** Returns the sounds of the full stems; null if this browser cannot decode them. */
export async function fullStems(stems: readonly StemFile[], seconds: number): Promise<Sounds | null> {
  const readers = await Promise.all(stems.map(openStem));
  if (!readers.every((reader) => reader !== null)) return null;
  const named = new Map(stems.map(({ name }, k) => [name, readers[k] as Reader]));
  const rate = Math.max(...readers.map(({ format }) => format.rate));
  return sounds([...named.keys()], seconds, rate, async (track, segment, stop) => {
    const reader = named.get(track) as Reader;
    const length = seconds * reader.format.rate;
    const channels = await reader.read(segment * length, length, stop);
    const sound = new AudioBuffer({ length, numberOfChannels: reader.format.channels, sampleRate: reader.format.rate });
    channels.forEach((samples, channel) => sound.copyToChannel(samples, channel));
    return sound;
  });
}
