import { expect, it } from "vitest";

import { windowOf } from "./window";

it("draws few of ten thousand rows, wherever the list is", () => {
  for (const top of [0, 64, 320_000, 639_360]) {
    const { first, after } = windowOf(10_000, 64, top, 640);
    expect(first).toBeLessThanOrEqual(top / 64);
    expect(after).toBeGreaterThanOrEqual(Math.min(10_000, (top + 640) / 64));
    expect(after - first).toBeLessThanOrEqual(27);
  }
  expect(windowOf(0, 64, 0, 640)).toEqual({ first: 0, after: 0 });
  expect(windowOf(3, 64, 9999, 640)).toEqual({ first: 0, after: 3 });
});
