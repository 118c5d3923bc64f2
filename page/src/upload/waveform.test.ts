import { expect, it } from "vitest";

import { measured } from "./waveform";

it("measures each column of a file", () => {
  expect(measured(Float32Array.of(0.5, -0.25, 0, 2, -2, 0.125), 3)).toEqual({ bits: 8, length: 3, data: [-32, 64, 0, 127, -128, 16] });
  expect(measured(new Float32Array(1), 2).data).toEqual([0, 0, 0, 0]);
});
