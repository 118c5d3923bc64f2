/** Server-sent events, read with fetch since EventSource cannot send a key. */

import { call, Problem } from "./client";

const PAUSES = [500, 2000, 5000]; // milliseconds before reconnecting
const FINAL = new Set(["succeeded", "failed", "cancelled"]);

export interface JobEvent {
  readonly kind: string;
  readonly state: string;
  readonly progress: number;
  readonly preview?: { readonly segments: number; readonly seconds: number };
}

/** Follows a separation to its end, through lost connections; `connected` hears of both. */
export async function follow(
  path: string,
  signal: AbortSignal,
  hear: (event: JobEvent) => void,
  connected: (is: boolean) => void,
): Promise<void> {
  let last = "";
  for (let failures = 0; ; ) {
    try {
      const response = await call(path, { signal, headers: last ? { "Last-Event-ID": last } : {} });
      connected(true);
      failures = 0;
      if (response.status === 204 || !response.body) return;
      for await (const { id, ...event } of parsed(response.body)) {
        last = id;
        hear(event);
        if (FINAL.has(event.state)) return;
      }
    } catch (error) {
      if (signal.aborted || (error instanceof Problem && !error.passing)) throw error;
      connected(false);
    }
    await new Promise((resolve) => setTimeout(resolve, PAUSES[Math.min(failures++, PAUSES.length - 1)]));
  }
}

async function* parsed(body: ReadableStream<Uint8Array<ArrayBuffer>>): AsyncGenerator<JobEvent & { id: string }> {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  const lines = new EventText();
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    yield* lines.add(value);
  }
}

/** The text of a stream of events, cut into events as it arrives. */
export class EventText {
  #text = "";

  add(piece: string): (JobEvent & { id: string })[] {
    const pieces = (this.#text + piece).split("\n\n");
    this.#text = pieces.pop() ?? "";
    return pieces.flatMap((text) => {
      const fields = Object.fromEntries(text.split("\n").map((line) => line.split(/: (.*)/s)) as [string, string][]) as Record<string, string>;
      if (!fields["data"]) return [];
      const data = JSON.parse(fields["data"]) as Omit<JobEvent, "kind">;
      return [{ ...data, id: fields["id"] ?? "", kind: fields["event"] ?? "" }];
    });
  }
}
