// Calls to the API, with the key kept for this tab.

const KEY = "spleeter-key";
const PAUSE = 2000; // milliseconds before reconnecting

export const key = {
  get: () => sessionStorage.getItem(KEY) ?? "",
  set: (text) => sessionStorage.setItem(KEY, text),
};

// A problem document of the API; its message is meant for people.
export class Problem extends Error {
  constructor(document) {
    super(document.detail ?? document.title ?? "The service sent an unexpected response.");
    this.type = document.type ?? "";
    this.status = document.status ?? 0;
  }
}

const UNREACHABLE = { detail: "The service cannot be reached. Check your connection and try again." };

async function problemOf(response) {
  try {
    return new Problem(await response.json());
  } catch {
    return new Problem({ status: response.status, detail: `The service responded with status ${response.status}.` });
  }
}

async function call(path, options = {}) {
  const headers = { ...options.headers, "X-API-KEY": key.get() };
  let response;
  try {
    response = await fetch(path, { ...options, headers });
  } catch (error) {
    throw error.name === "AbortError" ? error : new Problem(UNREACHABLE);
  }
  if (!response.ok) throw await problemOf(response);
  return response;
}

export const getHealth = async () => (await fetch("health/ready")).json(); // a 503 has a body too
export const getJson = async (path) => (await call(path)).json();
export const remove = (path) => call(path, { method: "DELETE" });

// Fetches a file and returns it with its name.
export async function download(path) {
  const response = await call(path);
  const disposition = response.headers.get("Content-Disposition") ?? "";
  const name = /filename\*=UTF-8''([^;]+)/.exec(disposition)?.[1] ?? "download";
  return { name: decodeURIComponent(name), blob: await response.blob() };
}

// Uploads a song; fetch cannot report the progress of an upload.
export function submit(form, signal, onProgress) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", "v1/separations");
    request.setRequestHeader("X-API-KEY", key.get());
    request.responseType = "json";
    request.upload.onprogress = (event) => onProgress(event.loaded / (event.total || 1));
    request.onload = () =>
      request.status < 300 ? resolve(request.response) : reject(new Problem(request.response ?? {}));
    request.onerror = () => reject(new Problem(UNREACHABLE));
    request.onabort = () => reject(new DOMException("Cancelled", "AbortError"));
    signal.addEventListener("abort", () => request.abort());
    request.send(form);
  });
}

// Follows a separation to its end. EventSource cannot send the key.
export async function follow(path, signal, onEvent) {
  let last = "";
  for (;;) {
    try {
      const response = await call(path, { signal, headers: last ? { "Last-Event-ID": last } : {} });
      if (response.status === 204) return;
      for await (const event of events(response.body)) {
        last = event.id;
        onEvent(event);
        if (["succeeded", "failed", "cancelled"].includes(event.state)) return;
      }
    } catch (error) {
      if (signal.aborted || (error.status >= 400 && error.status < 500 && error.status !== 429)) throw error;
    }
    await new Promise((resolve) => setTimeout(resolve, PAUSE));
  }
}

async function* events(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const pieces = (text + value).split("\n\n");
    text = pieces.pop();
    for (const piece of pieces) {
      const fields = Object.fromEntries(piece.split("\n").map((line) => line.split(/: (.*)/s)));
      if (fields.data) yield { id: fields.id, kind: fields.event, ...JSON.parse(fields.data) };
    }
  }
}
