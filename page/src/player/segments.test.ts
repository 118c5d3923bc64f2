import { expect, it } from "vitest";

import { Segments } from "./segments";

const sound = (name: string): AudioBuffer => ({ name }) as unknown as AudioBuffer;

function segments(most: number, failing: Set<string> = new Set()): { cache: Segments; fetched: string[] } {
  const fetched: string[] = [];
  const fetch = (track: string, segment: number): Promise<ArrayBuffer> => {
    const name = `${track}${segment}`;
    fetched.push(name);
    return failing.has(name) ? Promise.reject(new Error("lost")) : Promise.resolve(new TextEncoder().encode(name).buffer);
  };
  const decode = (data: ArrayBuffer): Promise<AudioBuffer> => Promise.resolve(sound(new TextDecoder().decode(data)));
  return { cache: new Segments(fetch, decode, most), fetched };
}

it("fetches a segment once", async () => {
  const { cache, fetched } = segments(9);
  expect(cache.ready("a", 0)).toBeNull();
  await Promise.all([cache.load("a", 0), cache.load("a", 0)]);
  expect(cache.ready("a", 0)).toEqual(sound("a0"));
  expect(fetched).toEqual(["a0"]);
});

it("forgets what was used longest ago", async () => {
  const { cache, fetched } = segments(2);
  for (const k of [0, 1, 0, 2, 0]) await cache.load("a", k);
  expect(fetched).toEqual(["a0", "a1", "a2"]);
  expect(cache.ready("a", 1)).toBeNull();
});

it("tries a segment that could not be fetched again", async () => {
  const failing = new Set(["a0"]);
  const { cache } = segments(2, failing);
  await expect(cache.load("a", 0)).rejects.toThrow("lost");
  failing.clear();
  await expect(cache.load("a", 0)).resolves.toEqual(sound("a0"));
});
