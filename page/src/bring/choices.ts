/** What the visitor chose about new songs, kept on this device. */

import { effect, signal } from "@preact/signals";

export interface Choices {
  readonly preset: string | null; // null for a choice of one's own
  readonly stems: number;
  readonly codec: string;
  readonly bitrate: string;
  readonly quality: "official" | "best";
  readonly level: string;
  readonly rate: string;
  readonly first: boolean; // only the first 30 seconds
}

const STORED = "stems-choices";
const DEFAULTS: Choices = { preset: null, stems: 2, codec: "wav", bitrate: "192k", quality: "official", level: "as-is", rate: "44100", first: false };

function stored(): Choices {
  try {
    return { ...DEFAULTS, ...(JSON.parse(localStorage.getItem(STORED) ?? "{}") as Partial<Choices>) };
  } catch {
    return DEFAULTS;
  }
}

export const choices = signal<Choices>(stored());
export const choose = (change: Partial<Choices>): void => void (choices.value = { ...choices.value, ...change });

effect(() => localStorage.setItem(STORED, JSON.stringify(choices.value)));

export const LEVELS = ["as-is", "prevent-clipping", "-14"]; // the last is what streaming services play at, in LUFS
export const RATES = ["44100", "48000", "source"];
export const LOSSY = new Set(["mp3", "m4a", "ogg", "opus", "wma"]);

/** Returns whether a format can hold so many stems: files for DJ programs hold four. */
export const fitting = (codec: string, stems: number): boolean => codec !== "stem.mp4" || stems === 4;

/** Returns the fields of a request that carry the choices. */
export function fields(chosen: Choices): Record<string, string | number> {
  const part = chosen.first ? { duration: 30 } : {};
  if (chosen.preset) return { preset: chosen.preset, ...part };
  const codec = fitting(chosen.codec, chosen.stems) ? chosen.codec : DEFAULTS.codec;
  return {
    stems: chosen.stems,
    codec,
    ...(LOSSY.has(codec) ? { bitrate: chosen.bitrate } : {}),
    ...(chosen.level === DEFAULTS.level ? {} : { level: chosen.level }),
    ...(chosen.rate === DEFAULTS.rate ? {} : { sample_rate: chosen.rate }),
    ...(chosen.quality === "best" ? { quality: "best" } : {}),
    ...part,
  };
}
