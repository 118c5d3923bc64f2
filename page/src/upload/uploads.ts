/** Songs on their way to the service: sent in resumable pieces, two at a time, then turned into separations. */

import { effect, signal, untracked } from "@preact/signals";
import { DetailedError, Upload as Tus } from "tus-js-client";

import { call, hasKey, key, postJson, Problem, refuse, type ProblemDocument } from "../api/client";
import type { Separation } from "../api/types";
import { lengthOf, refusal } from "../bring/check";
import { choices, fields, modelName, type Choices } from "../bring/choices";
import { limits, loadLimits } from "../bring/service";
import { discard as discardSong, put, selected, startsWith, type Song } from "../songs/songs";
import { all, forget, keep, type StoredUpload } from "./stored";

export type UploadState = "reading" | "refused" | "waiting" | "sending" | "paused" | "offline" | "held" | "checking" | "failed";

export interface Upload extends StoredUpload {
  readonly state: UploadState;
  readonly share: number;
  readonly rest: number | null; // seconds until all is sent, by the rate so far
  readonly problem: (() => string) | null; // in the language of the page
  readonly details: ProblemDocument | null;
}

const AT_ONCE = 2;
const PIECE = 8 << 20; // bytes of a request: little to send again after a break
const RETRIES = [0, 1000, 3000]; // milliseconds before a cancelled upload is removed again
const PAUSE = 3; // seconds before sending goes on after a break

export const uploads = signal<readonly Upload[]>([]);
const running = new Map<string, Tus>();

function change(id: string, values: Partial<Upload>): void {
  uploads.value = uploads.value.map((upload) => (upload.id === id ? { ...upload, ...values } : upload));
}

const find = (id: string): Upload | undefined => uploads.value.find((upload) => upload.id === id);

const added = (stored: StoredUpload): Upload => ({ ...stored, state: "waiting", share: 0, rest: null, problem: null, details: null });

/** Queues files; those that the service would refuse are shown with the reason. */
export async function bring(files: readonly File[]): Promise<void> {
  const brought = files.map((file) => ({ id: crypto.randomUUID(), file, choices: choices.value, seconds: null, url: null, sent: false }));
  uploads.value = [...uploads.value, ...brought.map((one) => ({ ...added(one), state: "reading" as const }))];
  await loadLimits(modelName.peek(), call).catch(() => undefined); // then the service checks
  for (const one of brought) {
    const seconds = await lengthOf(one.file);
    if (!find(one.id)) continue; // cancelled
    const reason = refusal(one.file, seconds, limits.value, one.choices.first, onTheWay(one.id));
    change(one.id, { seconds, ...(reason ? { state: "refused", problem: reason } : { state: "waiting" }) });
    if (!reason) void keep({ ...one, seconds });
    next();
  }
}

/** Returns how many bytes of other songs will still be sent. */
const onTheWay = (id: string): number =>
  uploads.value
    .filter((upload) => upload.id !== id && !["reading", "refused", "failed"].includes(upload.state))
    .reduce((sum, { file, share }) => sum + file.size * (1 - share), 0);

/** Goes on with what was being sent before a reload. */
export async function goOn(): Promise<void> {
  const kept = await all(); // by then, others may have been brought
  const known = new Set(uploads.value.map((upload) => upload.id));
  uploads.value = [...uploads.value, ...kept.filter(({ id }) => !known.has(id)).map(added)];
  next();
}

function next(): void {
  for (const upload of uploads.value) {
    if (running.size >= AT_ONCE || !key.value) return;
    if (upload.state === "waiting") send(upload);
  }
}

effect(() => {
  if (hasKey.value) untracked(next);
});

function send(upload: Upload): void {
  const { id, file } = upload;
  const used = key.value;
  let begun: [time: number, sent: number] | null = null;
  const note = (values: Pick<StoredUpload, "url" | "sent">): void => {
    change(id, values);
    void keep({ id, file, choices: upload.choices, seconds: upload.seconds, ...values });
  };
  const tus = new Tus(file, {
    endpoint: "v1/uploads",
    ...(upload.url ? { uploadUrl: upload.url } : {}),
    headers: { "X-API-KEY": used },
    chunkSize: PIECE,
    retryDelays: null, // ``fail`` goes on
    metadata: { filename: file.name },
    storeFingerprintForResuming: false, // ``stored`` keeps the file and its address
    onUploadUrlAvailable: () => note({ url: tus.url, sent: false }),
    onProgress: (sent, size) => {
      begun ??= [Date.now(), sent];
      const seconds = (Date.now() - begun[0]) / 1000;
      const rest = seconds < 2 ? null : (seconds * (size - sent)) / (sent - begun[1]);
      change(id, { share: sent / (size || 1), rest: rest !== null && Number.isFinite(rest) ? rest : null, state: "sending" });
    },
    onError: (error) => {
      const problem = problemOf(error);
      if (problem.status === 401) refuse(used, problem.document);
      fail(id, problem);
    },
    onSuccess: () => {
      note({ url: tus.url, sent: true });
      void submit(id);
    },
  });
  running.set(id, tus);
  if (upload.sent) void submit(id);
  else {
    change(id, { state: "sending", problem: null, details: null });
    tus.start();
  }
}

function problemOf(error: Error): Problem {
  const response = error instanceof DetailedError ? error.originalResponse : null;
  if (!(error instanceof DetailedError)) return new Problem({ detail: error.message, status: 400 });
  if (!response || response.getStatus() < 400) return new Problem({}); // or half an answer
  let document: ProblemDocument = { detail: error.message };
  try {
    document = JSON.parse(response.getBody()) as ProblemDocument;
  } catch {
    // it is not a problem document
  }
  return new Problem({ ...document, status: response.getStatus() }, response.getHeader("Retry-After"));
}

async function submit(id: string): Promise<void> {
  const upload = find(id);
  if (!upload) return;
  change(id, { state: "checking", share: 1 });
  try {
    const body = { upload: upload.url?.split("/").at(-1), ...fields(upload.choices) };
    const job = await postJson<Separation>("v1/separations", body, { "Idempotency-Key": id });
    put(job);
    selected.value ??= job.id;
    running.delete(id);
    discard(id);
    next();
  } catch (error) {
    fail(id, error instanceof Problem ? error : new Problem({ detail: String(error) }));
  }
}

const BUSY = new Set([409, 423]); // the service still holds the part that was broken off

/** Goes on by itself after what passes, with the next key after a refused one; the rest is the visitor's to decide. */
function fail(id: string, problem: Problem): void {
  running.delete(id);
  if (problem.status === 401) change(id, { state: "waiting" });
  else if (problem.passing || BUSY.has(problem.status)) {
    change(id, { state: problem.status === 0 || BUSY.has(problem.status) ? "offline" : "held", problem: () => problem.text });
    window.setTimeout(() => goOnWith(id), 1000 * (problem.wait || PAUSE));
  } else change(id, { state: "failed", problem: () => problem.text, details: problem.document });
  next();
}

function goOnWith(id: string): void {
  const state = find(id)?.state;
  if (state === "offline" || state === "held") resume(id);
}

/** Fetches a song from an address by the service. */
export async function fetchFrom(address: string): Promise<void> {
  await begin({ source_url: address, ...fields(choices.value) });
}

/** Separates the service's example, which plays as soon as it can be heard. */
export async function hearExample(): Promise<void> {
  startsWith.value = (await begin({ example: true }, { "Idempotency-Key": "example" })).id; // the same one while it is kept
}

/** Separates a failed song, which the service still has, with the same options. */
export async function tryAgain(song: Song): Promise<void> {
  await once(song, "again", song.options);
  discardSong(song);
}

/** Separates all of a song of which a part was separated. */
export const separateWhole = (song: Song): Promise<unknown> => once(song, "whole", { ...song.options, offset: 0, duration: null });

/** Has the service mix stems of a song, which it still has, in their format. */
export const mixAtService = (song: Song, sum: string): Promise<Separation> =>
  postJson("v1/separations", wanted(song, { ...song.options, mixes: { mix: sum }, only: ["mix"], video: {}, destination_url: null }));

const once = (song: Song, purpose: string, options: Song["options"]): Promise<Separation> =>
  begin(wanted(song, options), { "Idempotency-Key": `${purpose}-${song.id}` });

/** Returns the request to separate a song that the service has. */
function wanted(song: Song, { destination_url: destination, ...options }: Song["options"]): object {
  const given = Object.entries({ ...options, metadata: song.metadata }).filter(([, value]) => value !== null);
  const folder = typeof destination === "string" ? { destination_url: destination } : {}; // signatures are not shown
  return { separation: song.id, ...Object.fromEntries(given), ...folder };
}

async function begin(body: object, headers = {}): Promise<Separation> {
  const job = await postJson<Separation>("v1/separations", body, headers);
  put(job);
  selected.value = job.id;
  return job;
}

export function pause(id: string): void {
  void running.get(id)?.abort();
  running.delete(id);
  change(id, { state: "paused" });
  next();
}

export function resume(id: string): void {
  const failed = find(id)?.state === "failed"; // then the service may have lost what it had
  change(id, { state: "waiting", problem: null, ...(failed ? { sent: false } : {}) });
  next();
}

/** Stops sending a song, and removes what the service has of it. */
export function cancel(id: string): void {
  const url = running.get(id)?.url ?? find(id)?.url;
  const end = (): Promise<void> | undefined => (url ? Tus.terminate(url, { headers: { "X-API-KEY": key.value }, retryDelays: RETRIES }) : undefined);
  void Promise.resolve(running.get(id)?.abort()).then(end).catch(() => undefined); // it expires otherwise
  running.delete(id);
  discard(id);
  next();
}

function discard(id: string): void {
  uploads.value = uploads.value.filter((upload) => upload.id !== id);
  void forget(id);
}

addEventListener("online", () => uploads.value.forEach(({ id }) => goOnWith(id)));

export type { Choices };
