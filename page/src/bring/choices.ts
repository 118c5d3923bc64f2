/** What the visitor chose about new songs, kept on this device. */

import { effect, signal } from "@preact/signals";

export interface Choices {
  readonly preset: string | null; // null for a choice of one's own
  readonly stems: number;
  readonly codec: string;
  readonly bitrate: string;
  readonly quality: "official" | "best";
  readonly first: boolean; // only the first 30 seconds
}

const STORED = "stems-choices";
const DEFAULTS: Choices = { preset: null, stems: 2, codec: "wav", bitrate: "192k", quality: "official", first: false };

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

export const LOSSY = new Set(["mp3", "m4a", "ogg", "opus", "wma"]);

/** Returns the fields of a request that carry the choices. */
export function fields(chosen: Choices): Record<string, string | number> {
  const part = chosen.first ? { duration: 30 } : {};
  if (chosen.preset) return { preset: chosen.preset, ...part };
  return {
    stems: chosen.stems,
    codec: chosen.codec,
    ...(LOSSY.has(chosen.codec) ? { bitrate: chosen.bitrate } : {}),
    ...(chosen.quality === "best" ? { quality: "best" } : {}),
    ...part,
  };
}
