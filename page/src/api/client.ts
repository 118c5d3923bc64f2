/** Calls to the API, each with the visitor's key. */

import { computed, signal } from "@preact/signals";

import { words } from "../text/language";

const STORED = "stems-key";

/** The visitor's key; empty until there is one. */
export const key = signal("");
/** Why the service did not accept the last key; null if it did. */
export const refused = signal<string | null>(null);
/** What calls wait for that go on by themselves. */
export const waits = signal<readonly Problem[]>([]);

const BREAK = 3000; // milliseconds before a call goes on, if the service does not say
const PASSING = new Set([0, 502, 503, 504]);

/** Takes the key out of the address, where the service's first message puts it, or from where it was kept. */
export function findKey(): void {
  const fragment = new URLSearchParams(location.hash.slice(1));
  const given = fragment.get("key");
  if (given) {
    fragment.delete("key");
    const rest = fragment.toString();
    history.replaceState(null, "", location.pathname + location.search + (rest && `#${rest}`));
    keepKey(given, false);
  } else key.value = sessionStorage.getItem(STORED) ?? localStorage.getItem(STORED) ?? "";
}

export function keepKey(text: string, remember: boolean): void {
  refused.value = trial = null;
  key.value = text;
  sessionStorage.setItem(STORED, text);
  if (remember) localStorage.setItem(STORED, text);
}

export function forgetKey(): void {
  key.value = "";
  sessionStorage.removeItem(STORED);
  localStorage.removeItem(STORED);
}

/** Asks for another key, unless that has already happened. */
export function refuse(used: string, { reason = "" }: ProblemDocument): void {
  if (used !== key.value) return;
  forgetKey();
  refused.value = reason;
}

export const hasKey = computed(() => key.value !== "");

export interface ProblemDocument {
  type?: string;
  title?: string;
  detail?: string;
  status?: number;
  request_id?: string;
  reason?: string;
}

/** A refusal of the service, in its own words, or the lack of an answer (status 0). */
export class Problem extends Error {
  readonly status: number;
  readonly type: string;
  readonly document: ProblemDocument;
  readonly wait: number; // seconds before the same call may succeed, if the service knows
  readonly at = Date.now();

  constructor(document: ProblemDocument, wait: string | null | undefined = null) {
    super(document.detail ?? document.title);
    this.document = document;
    this.status = document.status ?? 0;
    this.type = document.type ?? "";
    this.wait = Number(wait ?? 0) || 0;
  }

  /** What is wrong, in the page's language as far as it knows the problem. */
  get text(): string {
    const says = words.value.problem;
    if (this.status === 0) return says.unreachable;
    return this.status === 401 ? words.value.key.wrong : says.told(this.type, this.message || says.odd);
  }

  /** Whether the same call may succeed later. */
  get passing(): boolean {
    return this.status === 0 || this.status === 429 || this.status >= 500;
  }
}

async function problemOf(response: Response): Promise<Problem> {
  const document = (await response.json().catch(() => ({}))) as ProblemDocument;
  return new Problem({ ...document, status: response.status }, response.headers.get("Retry-After"));
}

let trial: { readonly key: string; readonly end: Promise<unknown> } | null = null;

/** Calls the API and returns a successful response; the others wait for the first with a key, so that a wrong one fails once. */
export async function call(path: string, options: RequestInit = {}): Promise<Response> {
  const used = key.value;
  if (trial?.key !== used) {
    const answer = send(path, options, used);
    trial = { key: used, end: answer.catch(() => undefined) };
    return answer;
  }
  await trial.end;
  if (used !== key.value) throw new Problem({ status: 401 });
  return send(path, options, used);
}

async function send(path: string, options: RequestInit, used: string): Promise<Response> {
  const headers = new Headers(options.headers);
  if (used) headers.set("X-API-KEY", used);
  const response = await connected(fetch(path, { ...options, headers }));
  if (response.ok) return response;
  const problem = await problemOf(response);
  if (response.status === 401) refuse(used, problem.document);
  throw problem;
}

/** Returns what the network brings; throws a Problem if the connection is lost. */
const connected = <T>(coming: Promise<T>): Promise<T> =>
  coming.catch((error: unknown) => {
    if (error instanceof DOMException && error.name === "AbortError") throw error;
    throw new Problem({});
  });

/** Calls the API until nothing that passes is in the way: too many requests, a lost connection, a restart. */
export async function patiently(path: string, options?: RequestInit): Promise<Response>;
export async function patiently<T>(path: string, options: RequestInit, read: (response: Response) => Promise<T>): Promise<T>;
export async function patiently(path: string, options: RequestInit = {}, read = (response: Response): Promise<unknown> => Promise.resolve(response)): Promise<unknown> {
  let last: Problem | null = null;
  const wait = (next: Problem | null): void => {
    waits.value = [...waits.value.filter((one) => one !== last), ...(next ? [next] : [])];
    last = next;
  };
  try {
    for (;;) {
      try {
        return await connected(read(await call(path, options)));
      } catch (error) {
        if (!(error instanceof Problem) || !passes(error, options.method)) throw error;
        wait(error);
        await pause(error, options.signal);
      }
    }
  } finally {
    wait(null);
  }
}

/** Returns whether a call is made again: always if it was not looked at, else unless it may have been carried out. */
const passes = (problem: Problem, method = "GET"): boolean =>
  problem.type === "/problems/too-many-requests" || (method !== "POST" && PASSING.has(problem.status));

/** Waits as long as the service asks for, or until the network is back. */
const pause = (problem: Problem, stop?: AbortSignal | null): Promise<void> =>
  new Promise((resolve) => {
    const goOn = (): void => {
      clearTimeout(timer);
      removeEventListener("online", goOn);
      resolve();
    };
    const timer = setTimeout(goOn, 1000 * problem.wait || BREAK);
    if (problem.status === 0) addEventListener("online", goOn);
    stop?.addEventListener("abort", goOn);
  });

export const getJson = <T>(path: string, options: RequestInit = {}): Promise<T> =>
  patiently(path, options, (response) => response.json() as Promise<T>);

export const postJson = <T>(path: string, body: unknown, headers: Record<string, string> = {}): Promise<T> =>
  getJson<T>(path, { method: "POST", headers: { "Content-Type": "application/json", ...headers }, body: JSON.stringify(body) });

/** Saves what a path serves under the name that the service gives it, or under a title with that name's ending. */
export async function download(path: string, title?: string): Promise<void> {
  const [blob, disposition] = await patiently(path, {}, async (response) => [await response.blob(), response.headers.get("Content-Disposition") ?? ""] as const);
  const name = decodeURIComponent(/filename\*=UTF-8''([^;]+)/.exec(disposition)?.[1] ?? "download");
  save(blob, title === undefined ? name : title + (/\.[^.]+$/.exec(name)?.[0] ?? ""));
}

export function save(blob: Blob, name: string): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}
