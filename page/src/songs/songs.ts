/** The key's separations, kept up to date. */

import { computed, effect, signal } from "@preact/signals";

import { call, getJson, hasKey, key, Problem } from "../api/client";
import { follow } from "../api/events";
import type { Separation, Summary } from "../api/types";

export type Song = Summary & Partial<Separation>;

const UNDO = 10_000; // milliseconds before what was deleted is erased
const QUEUE = 5000; // milliseconds between looks at the queue
const STREAMS = 3; // browsers open six connections to a host, and the player needs some

export const songs = signal<readonly Song[]>([]);
/** Path of the song that is shown, which stays in the address. */
export const selected = signal<string | null>(new URLSearchParams(location.hash.slice(1)).get("song"));
/** Whether the service answers; false while the connection to follow songs is lost. */
export const connected = signal(true);
export const complete = signal(false);
export const deleted = signal<readonly Song[]>([]);
export const failure = signal<Problem | null>(null);

export const shown = computed(() => songs.value.find((song) => song.id === selected.value) ?? null);

export const isOpen = (song: Song): boolean => song.state === "queued" || song.state === "running";

/** Adds a song at its place, or changes it. */
export function put(song: Song): void {
  const others = songs.value.filter((one) => one.id !== song.id);
  const old = songs.value.find((one) => one.id === song.id);
  songs.value = [...others, { ...old, ...song }].sort((a, b) => (a.id < b.id ? 1 : -1)); // ids sort by time
  if (isOpen(song)) watch(song);
}

function drop(id: string): void {
  songs.value = songs.value.filter((song) => song.id !== id);
  if (selected.value === id) selected.value = null;
}

interface Page {
  readonly items: Summary[];
  readonly next_cursor: string | null;
}

let loading = new AbortController();

/** Loads all songs of the key, page by page. */
export async function load(): Promise<void> {
  loading.abort();
  const mine = (loading = new AbortController());
  [songs.value, complete.value] = [[], false];
  let cursor: string | null = null;
  do {
    const query: string = cursor ? `&cursor=${encodeURIComponent(cursor)}` : "";
    const page: Page = await getJson<Page>(`v1/separations?limit=100${query}`, { signal: mine.signal });
    if (mine.signal.aborted) return;
    const known = new Set(songs.value.map((song) => song.id));
    songs.value = [...songs.value, ...page.items.filter((song) => !known.has(song.id))];
    page.items.filter(isOpen).forEach(watch);
    cursor = page.next_cursor;
  } while (cursor);
  complete.value = true;
}

/** Gets what only the song itself says: its place in the queue, its measurements. */
export async function refresh(id: string): Promise<void> {
  put(await getJson<Separation>(`v1/separations/${id}`));
}

const watched = new Map<string, AbortController>();

function watch(song: Song): void {
  if (watched.has(song.id) || watched.size >= STREAMS) return;
  const stop = new AbortController();
  watched.set(song.id, stop);
  const look = window.setInterval(() => {
    if (songs.value.find((one) => one.id === song.id)?.state === "queued") void refresh(song.id).catch(() => undefined);
  }, QUEUE);
  follow(
    song.events_url,
    stop.signal,
    (event) => {
      change(song.id, event.state as Song["state"], event.progress);
      if (event.preview) reach(song.id, event.preview);
    },
    (is) => (connected.value = is),
  )
    .then(() => refresh(song.id))
    .then(() => done(song.id))
    .catch((error: unknown) => error instanceof Problem && error.status === 404 && drop(song.id))
    .finally(() => {
      window.clearInterval(look);
      watched.delete(song.id);
    });
}

function change(id: string, state: Song["state"], progress: number): void {
  const began = state === "running" && songs.value.some((song) => song.id === id && song.state !== "running");
  songs.value = songs.value.map((song) =>
    song.id === id ? { ...song, state, progress, started_at: began ? new Date().toISOString() : song.started_at } : song,
  );
}

/** Notes how far the previews reach; what they are called is asked for once. */
function reach(id: string, preview: { readonly segments: number; readonly seconds: number }): void {
  const song = songs.value.find((one) => one.id === id);
  if (!song) return;
  if (!song.preview) {
    void refresh(id).catch(() => undefined);
    return;
  }
  const reached = { ...song.preview, ...preview };
  songs.value = songs.value.map((one) => (one.id === id ? { ...one, preview: reached } : one));
}

/** Looks at the songs that are not followed. */
function lookAtOthers(): void {
  if (!songs.value.some((song) => isOpen(song) && !watched.has(song.id))) return;
  getJson<Page>("v1/separations?limit=100").then(
    ({ items }) => items.filter((song) => songs.value.some((one) => one.id === song.id && isOpen(one))).forEach(put),
    () => undefined, // the next look may succeed
  );
}
setInterval(lookAtOthers, QUEUE);

type Listener = (song: Song) => void;
const listeners = new Set<Listener>();

/** Calls a function with each song that ends. */
export function onDone(listener: Listener): void {
  listeners.add(listener);
}

function done(id: string): void {
  const song = songs.value.find((one) => one.id === id);
  if (song) listeners.forEach((listener) => listener(song));
}

let erasing = 0;

/** Hides songs at once, and erases them after ten seconds unless that is undone. */
export function remove(gone: readonly Song[]): void {
  eraseNow();
  deleted.value = gone;
  gone.forEach((song) => drop(song.id));
  erasing = window.setTimeout(eraseNow, UNDO);
}

export function undo(): void {
  window.clearTimeout(erasing);
  deleted.value.forEach(put);
  deleted.value = [];
}

function eraseNow(): void {
  window.clearTimeout(erasing);
  for (const song of deleted.value) {
    watched.get(song.id)?.abort();
    call(song.url, { method: "DELETE", keepalive: true }).catch((error: unknown) => {
      if (!(error instanceof Problem) || error.status === 404) return;
      put(song);
      failure.value = error;
    });
  }
  deleted.value = [];
}

addEventListener("pagehide", eraseNow);

effect(() => {
  const fragment = new URLSearchParams(location.hash.slice(1));
  if (selected.value) fragment.set("song", selected.value);
  else fragment.delete("song");
  const rest = fragment.toString();
  history.replaceState(null, "", location.pathname + location.search + (rest && `#${rest}`));
});

/** Loads the songs of each key that is entered. */
export function followKey(): void {
  effect(() => {
    watched.forEach((stop) => stop.abort());
    failure.value = null;
    if (!hasKey.value || !key.value) {
      songs.value = [];
      return;
    }
    load().catch((error: unknown) => {
      if (error instanceof Problem) failure.value = error;
    });
  });
}
