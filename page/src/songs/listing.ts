/** The part of the key's songs that is in sight: found, sorted and counted by the service, loaded as it is scrolled to. */

import { signal } from "@preact/signals";

import { getJson, key } from "../api/client";
import type { SeparationPage, Summary } from "../api/types";

export const SORTS = ["-created_at", "created_at", "name", "-name", "seconds", "-seconds", "expires_at", "-expires_at"] as const;
export type Sort = (typeof SORTS)[number];
export const STATES = { any: [], open: ["queued", "running"], ready: ["succeeded"], failed: ["failed"] } as const;
export type Filter = keyof typeof STATES;

const PIECE = 50; // songs of a request

export const search = signal("");
export const sort = signal<Sort>("-created_at");
export const filter = signal<Filter>("any");
/** Number of songs that fit; null until it is known. */
export const total = signal<number | null>(null);
/** Ids of the songs that fit, by their places; those that were never in sight are missing. */
export const places = signal<ReadonlyMap<number, string>>(new Map());

/** Whether the list is of all songs. */
export const isWhole = (): boolean => !search.value && filter.value === "any";

let cursors = new Map<number, string>(); // by the place that follows
let outdated = true;
let wanted = { first: 0, after: PIECE };
let filling = new AbortController();

/** Returns which songs to ask for: some after a place that is known, or else after the beginning. */
export function piece(place: number, known: ReadonlyMap<number, string>): { offset: number; cursor: string | null } {
  const from = Math.max(0, ...[...known.keys()].filter((one) => one <= place));
  return { offset: place - from, cursor: known.get(from) ?? null };
}

/** Returns places, or cursors, with those from one on moved. */
export const moved = <T>(map: ReadonlyMap<number, T>, from: number, by: 1 | -1): Map<number, T> =>
  new Map([...map].map(([place, value]) => [place >= from ? place + by : place, value]));

type Accept = (found: readonly Summary[]) => readonly Summary[];

let running: Promise<void> | null = null;

/** Loads what is missing of some places, one piece after another, always of what is wanted by then; `accept` says which
 * songs are shown. */
export function need(first: number, after: number, accept: Accept): Promise<void> {
  wanted = { first, after };
  running ??= fill(accept).finally(() => (running = null));
  return running;
}

async function fill(accept: Accept): Promise<void> {
  for (let place = missing(); place !== null && key.value; place = missing()) await load(place - (place % PIECE), accept);
}

function missing(): number | null {
  const after = Math.min(wanted.after, total.value ?? PIECE);
  if (outdated) return Math.max(0, Math.min(wanted.first, after - 1));
  for (let place = wanted.first; place < after; place++) if (!places.value.has(place)) return place;
  return null;
}

async function load(place: number, accept: Accept): Promise<void> {
  const { signal: stopped } = filling;
  const { offset, cursor } = outdated ? { offset: place, cursor: null } : piece(place, cursors);
  const fields = { limit: String(PIECE), offset: String(offset), sort: sort.value, search: search.value.trim(), count: "true" };
  const query = new URLSearchParams({ ...fields, ...(cursor ? { cursor } : {}) });
  STATES[filter.value].forEach((state) => query.append("state", state));
  let page: SeparationPage;
  try {
    page = await getJson<SeparationPage>(`v1/separations?${query.toString()}`, { signal: stopped });
  } catch (error) {
    if (stopped.aborted) return; // something else is wanted
    throw error;
  }
  const shown = accept(page.items);
  const count = (page.total ?? 0) - (page.items.length - shown.length);
  const kept = outdated ? [] : [...places.value].filter(([one]) => one < count);
  if (outdated) cursors = new Map();
  outdated = false;
  places.value = new Map([...kept, ...shown.map(({ id }, k) => [place + k, id] as const)]);
  if (page.next_cursor) cursors.set(place + shown.length, page.next_cursor);
  total.value = shown.length > 0 ? count : Math.min(count, place);
}

/** Loads anew what is in sight, and the rest as it is scrolled to. */
export function renew(): void {
  filling.abort();
  [filling, outdated] = [new AbortController(), true];
}

/** Empties the list. */
export function clear(): void {
  renew();
  [places.value, total.value] = [new Map(), null];
}

/** Makes room for a new song, unless the service has to say where. */
export function insert(id: string): void {
  const newest = places.value.get(0) ?? (total.value === 0 ? "" : null);
  if (!isWhole() || sort.value !== "-created_at" || newest === null || newest >= id) return; // ids sort by time
  places.value = moved(places.value, 0, 1).set(0, id);
  cursors = moved(cursors, 0, 1);
  total.value = (total.value ?? 0) + 1;
}

/** Closes the gap that a song leaves. */
export function leave(id: string): void {
  const place = [...places.value].find(([, one]) => one === id)?.[0];
  if (place === undefined) return;
  const rest = new Map([...places.value].filter(([one]) => one !== place));
  places.value = moved(rest, place, -1);
  cursors = moved(cursors, place + 1, -1);
  total.value = (total.value ?? 1) - 1;
}
