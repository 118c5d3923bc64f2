/** What the service says of itself: its health, its limits and its models. */

import { computed, effect, signal } from "@preact/signals";

import { getJson, hasKey, patiently, Problem } from "../api/client";
import type { Health, Limits, Model, Preset } from "../api/types";
import { failure } from "../songs/songs";

export const health = signal<Health | null>(null);
export const limits = signal<Limits | null>(null);
export const models = signal<readonly Model[]>([]);
export const presets = signal<readonly Preset[]>([]);

const USUAL = 240; // seconds of the song whose time the page tells

export const state = computed<"ready" | "starting" | "down">(() => {
  if (!health.value) return "starting";
  return health.value.status === "unavailable" ? "down" : "ready";
});

let [asked, answered] = [0, 0];

/** Asks what the key may send, and how long a model takes. */
export async function loadLimits(model?: string, ask = patiently): Promise<void> {
  const mine = (asked += 1);
  const found = (await (await ask(`v1/limits?seconds=${USUAL}${model ? `&model=${encodeURIComponent(model)}` : ""}`)).json()) as Limits;
  if (mine > answered) [answered, limits.value] = [mine, found];
}

/** Looks at the service now and then, and at its models and presets whenever there is a key. */
export function watchService(): void {
  const look = async (): Promise<void> => {
    try {
      health.value = (await (await fetch("health/ready")).json()) as Health; // a 503 has a body too
    } catch {
      health.value = { status: "unavailable", parts: {}, warnings: [] };
    }
  };
  void look();
  window.setInterval(() => void look(), 30_000);
  effect(() => {
    if (!hasKey.value) return;
    Promise.all([getJson<{ models: Model[] }>("v1/models"), getJson<{ presets: Preset[] }>("v1/presets")]).then(
      ([{ models: known }, { presets: offered }]) => ([models.value, presets.value] = [known, offered]),
      (error: unknown) => error instanceof Problem && (failure.value = error),
    );
  });
}

/** Returns the smallest installed model of each number of stems, and the others as not installed. */
export function byCount(list: readonly Model[]): { count: number; model: Model | null; stems: readonly string[] }[] {
  const counts = [...new Set(list.map((model) => model.stems.length))].sort((a, b) => a - b);
  return counts.map((count) => {
    const fitting = list.filter((model) => model.stems.length === count && model.bandwidth === "official");
    const model = fitting.find((one) => one.installed && one.quality === "official") ?? fitting.find((one) => one.installed);
    return { count, model: model ?? null, stems: (model ?? fitting[0] ?? list.find((one) => one.stems.length === count))?.stems ?? [] };
  });
}
