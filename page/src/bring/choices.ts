/** What the visitor chose about new songs, kept on this device. */

import { computed, effect, signal } from "@preact/signals";

import { hasKey, key, Problem } from "../api/client";
import type { Limits, Model } from "../api/types";
import { failure } from "../songs/songs";
import type { Mixes } from "./mixes";
import { byCount, loadLimits, models, presets } from "./service";

export interface Choices {
  readonly preset: string | null; // null for a choice of one's own
  readonly stems: number;
  readonly codec: string;
  readonly bitrate: string | null; // null for the codec's own, and without any
  readonly quality: "official" | "best";
  readonly level: string;
  readonly rate: string;
  readonly mixes: Mixes;
  readonly first: boolean; // only the first 30 seconds
}

const STORED = "stems-choices";
const DEFAULTS: Choices = { preset: null, stems: 2, codec: "wav", bitrate: null, quality: "official", level: "as-is", rate: "44100", mixes: {}, first: false };

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

/** The model that the choices lead to, if it is installed. */
export const model = computed<Model | null>(() => {
  const chosen = choices.value;
  const preset = presets.value.find(({ name }) => name === chosen.preset)?.options as { stems?: number } | undefined;
  return byCount(models.value).find(({ count }) => count === (preset?.stems ?? chosen.stems))?.model ?? null;
});

export const modelName = computed(() => model.value?.name);

/** Looks at the key's limits, and at the time that the chosen model takes. */
export function watchLimits(): void {
  effect(() => {
    if (!hasKey.value || !key.value) return;
    loadLimits(modelName.value).catch((error: unknown) => error instanceof Problem && (failure.value = error));
  });
}

export const LEVELS = ["as-is", "prevent-clipping", "-14"]; // the last is what streaming services play at, in LUFS
export const RATES = ["44100", "48000", "source"];
const BITRATES = [128, 192, 256, 320]; // kbit/s

const ALL_IN_ONE = "stem.mp4"; // a file for DJ programs, which holds the song and four stems

/** Returns whether a format can hold so many stems. */
export const fitting = (codec: string, stems: number): boolean => codec !== ALL_IN_ONE || stems === 4;

/** Returns whether mixes can be written beside the stems. */
export const mixing = (codec: string): boolean => codec !== ALL_IN_ONE;

/** Returns the bitrates to choose from in a format; none if it is lossless. */
export function bitrates(format: Limits["formats"][number] | undefined): number[] {
  const possible = format?.bitrates;
  if (!possible) return [];
  const steps = possible.steps.length > 0 ? possible.steps.map((step) => step / 1000) : BITRATES;
  return steps.filter((rate) => 1000 * rate >= Math.max(possible.minimum, 96_000) && 1000 * rate <= possible.maximum);
}

/** Returns the fields of a request that carry the choices. */
export function fields(chosen: Choices): Record<string, unknown> {
  const part = chosen.first ? { duration: 30 } : {};
  if (chosen.preset) return { preset: chosen.preset, ...part };
  const codec = fitting(chosen.codec, chosen.stems) ? chosen.codec : DEFAULTS.codec;
  return {
    stems: chosen.stems,
    codec,
    ...(chosen.bitrate === null ? {} : { bitrate: chosen.bitrate }),
    ...(chosen.level === DEFAULTS.level ? {} : { level: chosen.level }),
    ...(chosen.rate === DEFAULTS.rate ? {} : { sample_rate: chosen.rate }),
    ...(chosen.quality === "best" ? { quality: "best" } : {}),
    ...(mixing(codec) && Object.keys(chosen.mixes).length > 0 ? { mixes: chosen.mixes } : {}),
    ...part,
  };
}
