import { expect, it, vi } from "vitest";

import { Segments } from "./segments";

/** Segments of two tracks, what was loaded of them, and the memory that each sound still holds. */
function segments(most: number): { cache: Segments; asked: string[]; held: Map<string, ArrayBuffer[]>; failing: Set<string>; want: (...wanted: number[]) => Promise<void> } {
  const asked: string[] = [];
  const held = new Map<string, ArrayBuffer[]>();
  const failing = new Set<string>();
  const load = async (track: string, segment: number, stop: AbortSignal): Promise<AudioBuffer> => {
    const name = `${track}${segment}`;
    asked.push(name);
    await Promise.resolve();
    stop.throwIfAborted();
    if (failing.has(name)) throw new Error("lost");
    const data = new Float32Array(4);
    held.set(name, [...(held.get(name) ?? []), data.buffer]);
    return { numberOfChannels: 1, getChannelData: () => data } as unknown as AudioBuffer;
  };
  const cache = new Segments(["a", "b"], load, most);
  const want = (...wanted: number[]): Promise<void> =>
    new Promise((resolve) => cache.want(wanted, () => wanted.every((one) => cache.ready(one)) && resolve()));
  return { cache, asked, held, failing, want };
}

const bytes = (buffers: ArrayBuffer[] | undefined): number => (buffers ?? []).reduce((sum, one) => sum + one.byteLength, 0);

it("loads what is wanted once, the first of it first", async () => {
  const { cache, asked, want } = segments(3);
  expect(cache.ready(1)).toBeNull();
  const both = want(1, 2);
  expect(asked).toEqual(["a1", "b1"]);
  await both;
  expect(asked).toEqual(["a1", "b1", "a2", "b2"]);
  expect(cache.ready(1)).toHaveLength(2);
});

it("forgets what was used longest ago, and frees its memory", async () => {
  const { cache, held, want } = segments(2);
  for (const one of [0, 1]) await want(one);
  cache.ready(0);
  await want(2);
  expect([0, 1, 2].map((one) => cache.ready(one) !== null)).toEqual([true, false, true]);
  expect(["a0", "a1", "b1"].map((name) => bytes(held.get(name)))).toEqual([16, 0, 0]);
  cache.clear();
  expect([...held.values()].map(bytes)).toEqual([0, 0, 0, 0, 0, 0]);
});

it("stops loading what is no longer wanted", async () => {
  const { cache, asked, held, want } = segments(2);
  cache.want([0], () => undefined);
  cache.want([7], () => undefined);
  await want(9);
  expect(asked).toEqual(["a0", "b0", "a9", "b9"]);
  expect(held.has("a0")).toBe(false);
});

it("tries a segment that could not be loaded again, a second later", async () => {
  vi.useFakeTimers();
  const { cache, asked, held, failing, want } = segments(2);
  failing.add("b0");
  await new Promise<void>((resolve) => cache.want([0], resolve));
  expect(bytes(held.get("a0"))).toBe(0);
  failing.clear();
  cache.want([0], () => undefined);
  expect(asked).toHaveLength(2);
  vi.advanceTimersByTime(1000);
  await want(0);
  expect(asked).toHaveLength(4);
  vi.useRealTimers();
});
