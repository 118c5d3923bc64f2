/** Songs on their way to the service: sent in resumable pieces, two at a time, then turned into separations. */

import { signal } from "@preact/signals";
import { DetailedError, Upload as Tus } from "tus-js-client";

import { key, postJson, Problem, type ProblemDocument } from "../api/client";
import type { Separation } from "../api/types";
import { lengthOf, refusal } from "../bring/check";
import { choices, fields, type Choices } from "../bring/choices";
import { limits } from "../bring/service";
import { put, selected } from "../songs/songs";
import { all, forget, keep, type StoredUpload } from "./stored";

export type UploadState = "waiting" | "sending" | "paused" | "offline" | "checking" | "failed";

export interface Upload extends StoredUpload {
  readonly state: UploadState;
  readonly share: number;
  readonly problem: string | null;
  readonly details: ProblemDocument | null;
}

const AT_ONCE = 2;
const PIECE = 8 << 20; // bytes of a request: little to send again after a break
const RETRIES = [0, 1000, 3000, 5000, 10_000]; // milliseconds

export const uploads = signal<readonly Upload[]>([]);
const running = new Map<string, Tus>();

function change(id: string, values: Partial<Upload>): void {
  uploads.value = uploads.value.map((upload) => (upload.id === id ? { ...upload, ...values } : upload));
}

const added = (stored: StoredUpload): Upload => ({ ...stored, state: "waiting", share: 0, problem: null, details: null });

/** Queues files; those that the service would refuse are shown with the reason. */
export async function bring(files: readonly File[]): Promise<void> {
  for (const file of files) {
    const seconds = await lengthOf(file);
    const chosen = choices.value;
    const reason = refusal(file, seconds, limits.value, chosen.first);
    const stored = { id: crypto.randomUUID(), file, choices: chosen, seconds, url: null };
    uploads.value = [...uploads.value, { ...added(stored), ...(reason ? { state: "failed", problem: reason } : {}) }];
    if (!reason) void keep(stored);
  }
  next();
}

/** Goes on with what was being sent before a reload. */
export async function goOn(): Promise<void> {
  const known = new Set(uploads.value.map((upload) => upload.id));
  uploads.value = [...uploads.value, ...(await all()).filter(({ id }) => !known.has(id)).map(added)];
  next();
}

function next(): void {
  for (const upload of uploads.value) {
    if (running.size >= AT_ONCE) return;
    if (upload.state === "waiting") send(upload);
  }
}

function send(upload: Upload): void {
  const { id, file } = upload;
  change(id, { state: "sending", problem: null, details: null });
  const tus = new Tus(file, {
    endpoint: "v1/uploads",
    ...(upload.url ? { uploadUrl: upload.url } : {}),
    headers: { "X-API-KEY": key.value },
    chunkSize: PIECE,
    retryDelays: RETRIES,
    metadata: { filename: file.name },
    storeFingerprintForResuming: false, // ``stored`` keeps the file and its address
    onUploadUrlAvailable: () => {
      const url = tus.url;
      change(id, { url });
      void keep({ id, file, choices: upload.choices, seconds: upload.seconds, url });
    },
    onProgress: (sent, size) => change(id, { share: sent / (size || 1), state: "sending" }),
    onShouldRetry: (error) => {
      const status = error.originalResponse?.getStatus() ?? 0;
      if (!status) change(id, { state: "offline" });
      return status === 0 || status === 409 || status === 423 || status === 429 || status >= 500;
    },
    onError: (error) => {
      running.delete(id);
      const lost = error instanceof DetailedError && !error.originalResponse;
      if (lost) change(id, { state: "offline" });
      else fail(id, problemOf(error));
      next();
    },
    onSuccess: () => void submit(id),
  });
  running.set(id, tus);
  tus.start();
}

function problemOf(error: Error): Problem {
  const response = error instanceof DetailedError ? error.originalResponse : null;
  let document: ProblemDocument = { detail: error.message };
  try {
    document = JSON.parse(response?.getBody() ?? "") as ProblemDocument;
  } catch {
    // it is not a problem document
  }
  return new Problem({ ...document, status: response?.getStatus() ?? 0 });
}

async function submit(id: string): Promise<void> {
  const upload = uploads.value.find((one) => one.id === id);
  if (!upload) return;
  change(id, { state: "checking", share: 1 });
  try {
    const url = running.get(id)?.url ?? upload.url;
    const job = await postJson<Separation>("v1/separations", { upload: url?.split("/").at(-1), ...fields(upload.choices) });
    put(job);
    selected.value ??= job.id;
    discard(id);
  } catch (error) {
    fail(id, error instanceof Problem ? error : new Problem({ detail: String(error) }));
  } finally {
    running.delete(id);
    next();
  }
}

function fail(id: string, problem: Problem): void {
  change(id, { state: "failed", problem: problem.message, details: problem.document });
}

/** Fetches a song from an address by the service. */
export async function fetchFrom(address: string): Promise<void> {
  const job = await postJson<Separation>("v1/separations", { source_url: address, ...fields(choices.value) });
  put(job);
  selected.value = job.id;
}

export function pause(id: string): void {
  void running.get(id)?.abort();
  running.delete(id);
  change(id, { state: "paused" });
  next();
}

export function resume(id: string): void {
  change(id, { state: "waiting", problem: null });
  next();
}

/** Stops sending a song, and removes what the service has of it. */
export function cancel(id: string): void {
  running.get(id)?.abort(true).catch(() => undefined);
  running.delete(id);
  discard(id);
  next();
}

function discard(id: string): void {
  uploads.value = uploads.value.filter((upload) => upload.id !== id);
  void forget(id);
}

addEventListener("online", () => {
  for (const upload of uploads.value) if (upload.state === "offline" && !running.has(upload.id)) resume(upload.id);
});

export type { Choices };
