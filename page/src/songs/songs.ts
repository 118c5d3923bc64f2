/** The key's separations, kept up to date. */

import { computed, effect, signal, untracked } from "@preact/signals";

import { download, getJson, hasKey, key, patiently, Problem } from "../api/client";
import { follow } from "../api/events";
import type { Separation, SeparationPage, Summary } from "../api/types";
import { clear, insert, leave, need, renew, total } from "./listing";
import { words } from "../text/language";

export type Song = Summary & Partial<Separation>;

/** Songs that are hidden, and will be erased; with `until`, that one and all that are older. */
interface Deleted {
  readonly songs: readonly Song[];
  readonly until: string | null;
}

const UNDO = 10_000; // milliseconds before what was deleted is erased
const QUEUE = 5000; // milliseconds between looks at the queue
const STREAMS = 3; // browsers open six connections to a host, and the player needs some

/** The songs that the page knows: those that were in sight, are worked on, or are shown. */
export const songs = signal<readonly Song[]>([]);
/** Path of the song that is shown, which stays in the address. */
export const selected = signal<string | null>(new URLSearchParams(location.hash.slice(1)).get("song"));
/** Id of the song that plays as soon as it can be heard. */
export const startsWith = signal<string | null>(null);
/** Whether the service answers; false while the connection to follow songs is lost. */
export const connected = signal(true);
/** What was deleted last, until it cannot be undone any more. */
export const deleted = signal<Deleted | null>(null);
export const failure = signal<Problem | null>(null);

/** Shows why something failed, unless the page itself has given it up. */
export function tell(error: unknown): void {
  if (error instanceof DOMException && error.name === "AbortError") return;
  failure.value = error instanceof Problem ? error : new Problem({ status: 500, detail: words.value.problem.odd });
}

/** Saves what a path serves. */
export const saveFile = (path: string): void => void download(path).catch(tell);

export const byId = computed(() => new Map(songs.value.map((song) => [song.id, song])));

const find = (id: string | null): Song | undefined => byId.value.get(id ?? "");

export const shown = computed(() => find(selected.value) ?? null);

export const isOpen = (song: Song): boolean => song.state === "queued" || song.state === "running";

const going = new Set<Deleted>();

/** Returns whether a song is hidden until it is erased. */
const isDeleted = (id: string): boolean =>
  [...going, ...(deleted.value ? [deleted.value] : [])].some(
    ({ songs, until }) => songs.some((song) => song.id === id) || (until !== null && until >= id), // ids sort by time
  );

/** Adds a song, or changes it. */
export function put(song: Song): void {
  if (isDeleted(song.id)) return;
  if (!find(song.id)) {
    insert(song.id);
    again();
  }
  know([song]);
}

/** Takes what the service says of songs, and returns those that are shown. Responses may overtake each other. */
function know(found: readonly Song[]): readonly Song[] {
  const fresh = found.filter((song) => !isDeleted(song.id));
  const known = new Map(byId.value);
  const news = fresh.filter((song) => !isOpen(song) || isOpen(known.get(song.id) ?? song)); // what has ended stays ended
  news.forEach((song) => known.set(song.id, { ...known.get(song.id), ...song }));
  songs.value = [...known.values()];
  news.filter(isOpen).forEach(watch);
  return fresh;
}

function drop(id: string): void {
  leave(id);
  songs.value = songs.value.filter((song) => song.id !== id);
  if (selected.value === id) selected.value = null;
}

let sight = { first: 0, after: 0 };

/** Loads the songs at some places of the list. */
export function show(first: number, after: number): void {
  sight = { first, after };
  if (!key.value || deleted.value?.until) return; // nothing is left to show
  need(first, after, know).catch(tell);
}

/** Loads again what is in sight. */
export function again(): void {
  renew();
  show(sight.first, sight.after);
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
    if (find(song.id)?.state === "queued") void refresh(song.id).catch(() => undefined);
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

/** Takes what an event says, unless the song has ended by what came before. */
function change(id: string, state: Song["state"], progress: number): void {
  songs.value = songs.value.map((song) => {
    if (song.id !== id || !isOpen(song)) return song;
    const began = state === "running" && song.state !== "running";
    return { ...song, state, progress, started_at: began ? new Date().toISOString() : song.started_at };
  });
}

/** Notes how far the previews reach; what they are called is asked for once. */
function reach(id: string, preview: { readonly segments: number; readonly seconds: number }): void {
  const song = find(id);
  if (!song) return;
  if (!song.preview) {
    void refresh(id).catch(() => undefined);
    return;
  }
  const reached = { ...song.preview, ...preview };
  songs.value = songs.value.map((one) => (one.id === id ? { ...one, preview: reached } : one));
}

/** Looks at the songs that are not followed: those of other pages too. */
async function lookAtOthers(): Promise<void> {
  const { items } = await getJson<SeparationPage>("v1/separations?limit=100&state=queued&state=running");
  know(items);
  const ended = songs.value.filter((song) => isOpen(song) && !watched.has(song.id) && !items.some(({ id }) => id === song.id));
  await Promise.all(ended.slice(0, STREAMS).map(({ id }) => refresh(id).then(() => done(id))));
}
setInterval(() => {
  if (songs.value.some((song) => isOpen(song) && !watched.has(song.id))) void lookAtOthers().catch(() => undefined); // the next look may succeed
}, QUEUE);

/** Takes out the songs whose time is over. */
function expire(): void {
  const over = songs.value.filter(({ expires_at: end, state }) => end && state !== "erasing" && Date.parse(end) < Date.now());
  over.forEach(({ id }) => drop(id));
  if (over.length > 0) again();
}
setInterval(expire, QUEUE);

type Listener = (song: Song) => void;
const listeners = new Set<Listener>();

/** Calls a function with each song that ends. */
export function onDone(listener: Listener): void {
  listeners.add(listener);
}

function done(id: string): void {
  again();
  const song = find(id);
  if (song) listeners.forEach((listener) => listener(song));
}

let erasing = 0;

/** Hides songs at once, and erases them after ten seconds unless that is undone. */
export function remove(gone: readonly Song[], until: string | null = null): void {
  void eraseNow();
  deleted.value = { songs: gone, until };
  if (until) {
    clear();
    [total.value, songs.value, selected.value] = [0, [], null];
  } else gone.forEach((song) => drop(song.id));
  erasing = window.setTimeout(() => void eraseNow(), UNDO);
}

/** Hides all songs up to the newest, and erases them like others. */
export async function removeAll(): Promise<void> {
  const { items } = await getJson<SeparationPage>("v1/separations?limit=1");
  if (items[0]) remove(songs.value, items[0].id);
}

export function undo(): void {
  window.clearTimeout(erasing);
  const back = deleted.value?.songs ?? [];
  deleted.value = null;
  know(back);
  again();
}

async function eraseNow(): Promise<void> {
  window.clearTimeout(erasing);
  const gone = deleted.value;
  deleted.value = null;
  if (gone) await erase(gone);
}

/** Erases a song that nothing is lost with, at once. */
export function discard(song: Song): void {
  drop(song.id);
  void erase({ songs: [song], until: null });
}

async function erase(gone: Deleted): Promise<void> {
  going.add(gone);
  gone.songs.forEach((song) => watched.get(song.id)?.abort());
  const paths = gone.until ? [`v1/separations?until=${gone.until}`] : gone.songs.map((song) => song.url);
  try {
    await Promise.all(paths.map((path) => patiently(path, { method: "DELETE", keepalive: true })));
  } catch (error) {
    if (!(error instanceof Problem && error.status === 404)) tell(error);
  }
  going.delete(gone);
  again();
}

addEventListener("pagehide", () => void eraseNow());
addEventListener("visibilitychange", () => document.hidden || again()); // others with the key may have changed the list

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
    const has = hasKey.value && key.value;
    untracked(() => {
      watched.forEach((stop) => stop.abort());
      clear();
      [failure.value, songs.value] = [null, []];
      if (!has) return;
      again();
      void lookAtOthers().catch(tell);
      const open = selected.value;
      if (open) refresh(open).catch((error: unknown) => (error instanceof Problem && error.status === 404 ? drop(open) : tell(error)));
    });
  });
}
