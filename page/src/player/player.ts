/** The song that is played: its engine, what is heard of it, and the loop; one at a time. */

import { batch, computed, effect, signal } from "@preact/signals";

import { call } from "../api/client";
import type { Preview } from "../api/types";
import { shown, type Song } from "../songs/songs";
import { Engine } from "./engine";
import { change, factor, neutral, read, toggleMute, toggleSolo, written, type Strip, type Strips } from "./mixer";
import type { Loop } from "./timeline";

export const engine = signal<Engine | null>(null);
export const playing = signal(false);
export const waiting = signal(false);
export const place = signal(0);
export const loop = signal<Loop | null>(null);
export const looping = signal(false);
export const speed = signal(1);
export const semitones = signal(0);
export const master = signal(0); // dB
export const strips = signal<Strips>({});
export const focused = signal<string | null>(null);
/** The part of the song that is drawn, in seconds. */
export const view = signal<Loop>({ from: 0, to: 1 });

export const names = computed(() => (shown.value ? stemsOf(shown.value) : []));
export const duration = computed(() => (shown.value ? durationOf(shown.value) : 0));

/** Returns the names of the stems that play together; of a song without stems but with mixes, those. */
export function stemsOf(song: Song): string[] {
  const stems = song.stems.length ? song.stems : song.mixes;
  return stems.length ? stems.map((stem) => stem.name) : [...(song.preview?.outputs ?? [])].filter((name) => !(name in wantedMixes(song)));
}

const wantedMixes = (song: Song): Record<string, string> => song.options.mixes;

const durationOf = (song: Song): number => (song.details as { duration?: number } | null | undefined)?.duration ?? song.input.seconds;

const current = signal<string | null>(null); // id of the song that the values above belong to

const fragment = (): URLSearchParams => new URLSearchParams(location.hash.slice(1));

/** Shows another song: stops what plays, and takes mutes, loop and speed from the address if it names this song. */
export function begin(song: Song): void {
  if (song.id === current.peek() && stemsOf(song).every((name) => name in strips.value)) return;
  void engine.value?.close();
  const given = fragment();
  const mine = given.get("song") === song.id;
  batch(() => {
    current.value = song.id;
    [engine.value, playing.value, waiting.value, place.value, focused.value] = [null, false, false, 0, null];
    strips.value = mine ? read(given.get("mix") ?? "", stemsOf(song)) : neutral(stemsOf(song));
    const [from, to] = (mine ? (given.get("loop") ?? "") : "").split("-").map(Number);
    loop.value = from !== undefined && to !== undefined && to > from ? { from, to } : null;
    looping.value = loop.value !== null;
    speed.value = (mine && Number(given.get("speed"))) || 1;
    semitones.value = (mine && Number(given.get("pitch"))) || 0;
    view.value = { from: 0, to: durationOf(song) };
  });
}

effect(() => {
  if (shown.value) return;
  void engine.peek()?.close(); // the song was deleted, or its key is gone
  batch(() => ([engine.value, playing.value, waiting.value, current.value] = [null, false, false, null]));
});

effect(() => {
  if (!shown.value || shown.value.id !== current.value) return;
  const values = {
    mix: written(strips.value),
    loop: loop.value && looping.value ? `${loop.value.from.toFixed(2)}-${loop.value.to.toFixed(2)}` : "",
    speed: speed.value === 1 ? "" : String(speed.value),
    pitch: semitones.value ? String(semitones.value) : "",
  };
  const rest = fragment();
  for (const [name, value] of Object.entries(values)) if (value) rest.set(name, value);
    else rest.delete(name);
  history.replaceState(null, "", `${location.pathname}${location.search}#${rest.toString()}`);
});

function opened(preview: Preview): Engine {
  if (engine.value) return engine.value;
  const song = { duration: duration.value, segmentSeconds: preview.segment_seconds };
  const fetch = async (stem: string, segment: number): Promise<ArrayBuffer> => {
    const path = preview.segment_url.replace("{stem}", encodeURIComponent(stem)).replace("{segment}", String(segment));
    return (await call(path)).arrayBuffer();
  };
  const made: Engine = new Engine(song, names.value, fetch, preview.segments, () => {
    [playing.value, waiting.value] = [made.playing, made.waiting];
    place.value = made.place;
  });
  engine.value = made;
  heard();
  if (looping.value) made.loop(loop.value);
  if (place.value) made.seek(place.value);
  if (speed.value !== 1 || semitones.value) void made.bend(speed.value, semitones.value);
  return made;
}

effect(() => {
  const preview = shown.value?.preview;
  if (preview) engine.value?.reach(preview.complete ? Infinity : preview.segments);
});

/** Passes on to the engine what the strips say. */
function heard(): void {
  for (const name of names.value) engine.value?.strip(name, { volume: factor(strips.value, name), pan: strips.value[name]?.pan ?? 0 });
}

effect(() => {
  if (engine.value) heard();
});
effect(() => engine.value?.master(10 ** (master.value / 20)));

export function toggle(preview: Preview): void {
  const player = opened(preview);
  if (player.playing) player.pause();
  else void player.play();
}

export function seek(to: number): void {
  place.value = Math.min(Math.max(0, to), duration.value);
  engine.value?.seek(place.value);
}

export const skip = (seconds: number): void => seek((engine.value?.place ?? place.value) + seconds);
export const mute = (name: string): void => void (strips.value = toggleMute(strips.value, name));
export const solo = (name: string, others: boolean): void => void (strips.value = toggleSolo(strips.value, name, others));
export const set = (name: string, values: Partial<Strip>): void => void (strips.value = change(strips.value, name, values));

export function setLoop(found: Loop | null): void {
  loop.value = found && found.to - found.from > 0.05 ? found : null;
  looping.value = loop.value !== null;
  engine.value?.loop(looping.value ? loop.value : null);
}

export function toggleLoop(): void {
  if (!loop.value) {
    setLoop(view.value);
    return;
  }
  looping.value = !looping.value;
  engine.value?.loop(looping.value ? loop.value : null);
}

/** Moves an end of the loop to the place that plays. */
export function markLoop(end: "from" | "to"): void {
  const other = loop.value ?? { from: 0, to: duration.value };
  setLoop({ ...other, [end]: engine.value?.place ?? place.value });
}

export function bend(newSpeed: number, newSemitones: number): void {
  [speed.value, semitones.value] = [newSpeed, newSemitones];
  void engine.value?.bend(newSpeed, newSemitones);
}

/** Shows more or less of the song around what plays. */
export function zoom(scale: number): void {
  const middle = engine.value?.place ?? place.value;
  const length = Math.min(duration.value, Math.max(1, (view.value.to - view.value.from) * scale));
  const from = Math.min(Math.max(0, middle - length / 2), duration.value - length);
  view.value = { from, to: from + length };
}
