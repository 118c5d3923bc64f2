/** The song that is played: its engine, what is heard of it, and the loop; one at a time. */

import { batch, computed, effect, signal } from "@preact/signals";

import { Problem } from "../api/client";
import type { StemFile } from "../api/types";
import { shown, tell, type Song } from "../songs/songs";
import { words } from "../text/language";
import { Engine } from "./engine";
import { change, clamp, factor, neutral, read, toggleMute, toggleSolo, written, type Strip, type Strips } from "./mixer";
import { fullStems, previews, type Sounds } from "./sounds";
import type { Loop } from "./timeline";

export const [SLOWEST, FASTEST, OCTAVE] = [0.25, 2, 12] as const;
const SHORTEST = 0.05; // seconds of a loop
const SEGMENT = 10; // seconds, of a song without previews

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

/** Returns the names of the stems that play together; of a song with mixes alone, those. */
export function stemsOf(song: Song): string[] {
  const files = song.stems.length ? song.stems : song.mixes;
  const made = files.length ? files.map((file) => file.name) : (song.preview?.outputs ?? []);
  const stems = made.filter((name) => !(name in song.options.mixes));
  return stems.length ? stems : [...made];
}

/** The files of these stems, if they can be played and not only their previews. */
export const files = computed((): StemFile[] => {
  const song = shown.value;
  if (song?.state !== "succeeded" || song.options.codec === "stem.mp4") return [];
  return [...song.stems, ...song.mixes].filter((file) => names.value.includes(file.name));
});

const segmentSeconds = computed(() => shown.value?.preview?.segment_seconds ?? SEGMENT);
export const playable = computed(() => Boolean(shown.value?.preview) || files.value.length > 0);

/** Returns what is heard at first: all stems, but only the first of several mixes. */
function unmixed(song: Song): Strips {
  const found = stemsOf(song);
  const [first, ...others] = found;
  const areMixes = first !== undefined && others.length > 0 && first in song.options.mixes;
  return areMixes ? toggleSolo(neutral(found), first, false) : neutral(found);
}

const durationOf = (song: Song): number => (song.details as { duration?: number } | null | undefined)?.duration ?? song.input.seconds;

/** Returns a loop within a song; null if that leaves too little of it. */
function within(end: number, { from, to }: Loop): Loop | null {
  const found = { from: clamp(from, 0, end), to: clamp(to, 0, end) };
  return found.to - found.from > SHORTEST ? found : null;
}

const current = signal<string | null>(null); // id of the song that the values above belong to

const fragment = (): URLSearchParams => new URLSearchParams(location.hash.slice(1));

/** Shows another song: stops what plays, and takes mutes, loop and speed from the address if it names this song. */
export function begin(song: Song): void {
  if (song.id === current.peek() && stemsOf(song).every((name) => name in strips.value)) return;
  const given = fragment();
  const mine = given.get("song") === song.id;
  batch(() => {
    stop();
    [current.value, place.value, focused.value, full.value] = [song.id, 0, null, false];
    const mix = mine ? given.get("mix") : null;
    strips.value = mix === null ? unmixed(song) : read(mix, stemsOf(song));
    const [from = 0, to = 0] = (mine ? (given.get("loop") ?? "") : "").split("-").map(Number);
    loop.value = within(durationOf(song), { from, to });
    looping.value = loop.value !== null;
    const bends = mine && isSecureContext; // browsers bend nothing elsewhere
    speed.value = clamp((bends && Number(given.get("speed"))) || 1, SLOWEST, FASTEST);
    semitones.value = clamp(Math.round((bends && Number(given.get("pitch"))) || 0), -OCTAVE, OCTAVE);
    view.value = { from: 0, to: durationOf(song) };
  });
}

effect(() => {
  if (shown.value) return;
  batch(() => {
    stop(); // the song was deleted, or its key is gone
    current.value = null;
  });
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

/** Whether the full stems play instead of their previews. */
export const full = signal(false);

let sounds: Sounds | null = null; // of the song that is shown

/** Stops what plays and frees its memory. */
function stop(): void {
  void engine.peek()?.close();
  sounds?.segments.clear();
  sounds = null;
  [engine.value, playing.value, waiting.value] = [null, false, false];
}

function opened({ segments, rate }: Sounds): Engine {
  const song = { duration: duration.value, segmentSeconds: segmentSeconds.value };
  const made: Engine = new Engine(song, segments, rate, available(), () => {
    [playing.value, waiting.value] = [made.playing, made.waiting];
    place.value = made.place;
  });
  if (looping.value) made.loop(loop.value);
  if (place.value) made.seek(place.value);
  if (speed.value !== 1 || semitones.value) void made.bend(speed.value, semitones.value);
  return made;
}

/** Returns how many segments can be fetched. */
function available(): number {
  const preview = shown.value?.preview;
  return !preview || full.peek() || preview.complete ? Infinity : preview.segments;
}

/** Passes on how far the previews reach; before the song is played, loads where it will begin. */
effect(() => {
  const preview = shown.value?.preview;
  if (!preview || shown.value?.id !== current.value) return;
  engine.value?.reach(available());
  if (engine.value || full.value) return;
  sounds ??= previews(preview, names.value);
  const first = Math.floor(place.value / segmentSeconds.value);
  sounds.segments.want(first < available() ? [first] : [], () => undefined);
});

/** Plays the full stems instead of the previews, or the reverse, from the same place. */
export async function swap(): Promise<void> {
  const [song, preview] = [current.value, shown.value?.preview];
  const next = full.value && preview ? previews(preview, names.value) : await fullStems(files.value, segmentSeconds.value);
  if (song !== current.value) return; // another one was chosen
  if (!next) throw new Problem({ status: 415, detail: words.value.player.cannotDecode(isSecureContext) });
  const [at, played] = [engine.value?.place ?? place.value, playing.value];
  batch(() => {
    stop();
    [sounds, place.value, full.value] = [next, at, !full.value];
  });
  if (played) toggle();
}

/** Opens the stems of a song without previews, and plays them. */
function openFull(): void {
  if (!playable.value || waiting.value) return;
  const song = current.value;
  waiting.value = true;
  swap().then(
    () => song === current.value && toggle(),
    (error: unknown) => {
      if (song !== current.value) return; // another one was chosen
      waiting.value = false;
      tell(error);
    },
  );
}

/** Passes on to the engine what the strips say. */
function heard(): void {
  for (const name of names.value) engine.value?.strip(name, { volume: factor(strips.value, name), pan: strips.value[name]?.pan ?? 0 });
}

effect(() => {
  if (engine.value) heard();
});
effect(() => engine.value?.master(10 ** (master.value / 20)));

/** Plays the song or pauses it; one without previews begins when its stems are open. */
export function toggle(): void {
  const preview = shown.value?.preview;
  sounds ??= preview ? previews(preview, names.value) : null;
  if (!sounds) {
    openFull();
    return;
  }
  engine.value ??= opened(sounds);
  if (engine.value.playing) engine.value.pause();
  else void engine.value.play();
}

export function seek(to: number): void {
  place.value = clamp(to, 0, duration.value);
  engine.value?.seek(place.value);
}

export const skip = (seconds: number): void => seek((engine.value?.place ?? place.value) + seconds);
export const mute = (name: string): void => void (strips.value = toggleMute(strips.value, name));
export const solo = (name: string, others: boolean): void => void (strips.value = toggleSolo(strips.value, name, others));
export const set = (name: string, values: Partial<Strip>): void => void (strips.value = change(strips.value, name, values));

export function setLoop(found: Loop): void {
  loop.value = within(duration.value, found);
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
  const from = clamp(middle - length / 2, 0, duration.value - length);
  view.value = { from, to: from + length };
}
