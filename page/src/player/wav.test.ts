import { describe, expect, it } from "vitest";

import { add, gains, rounded, samplesOf, wavFormat, wavHeader } from "./wav";

const file = (samples: number[]): DataView =>
  new DataView(new Uint8Array([...wavHeader(44_100, samples.length / 2), ...new Uint8Array(Int16Array.from(samples).buffer)]).buffer);

describe("WAV files", () => {
  it("are read as they are written", () => {
    const format = wavFormat(file([1, -1, 32767, -32768]));
    expect(format).toEqual({ rate: 44_100, channels: 2, bits: 16, begin: 44, frames: 2 });
    expect(wavFormat(new DataView(new ArrayBuffer(100)))).toBeNull();
    expect(wavFormat(new DataView(new ArrayBuffer(3)))).toBeNull();
  });

  it("add up to the same samples where nothing is changed", () => {
    const samples = [1, -1, 32767, -32768, 12345, -4321];
    const view = file(samples);
    const mix = new Float32Array(6);
    const format = wavFormat(view);
    if (!format) throw new Error("no format");
    const stem = samplesOf(new DataView(view.buffer, format.begin), format);
    add(mix, stem, gains(1, 0));
    expect([...rounded(mix)]).toEqual(samples);
    add(mix, stem, gains(1, 0));
    expect([...rounded(mix)]).toEqual([2, -2, 32767, -32768, 24690, -8642]);
  });

  it("are panned with Web Audio's factors", () => {
    const round = (pan: number): number[] => gains(1, pan).flatMap(({ left, right }) => [left, right].map((one) => Math.round(1000 * one) / 1000));
    expect(round(0)).toEqual([1, 0, 0, 1]);
    expect(round(-1)).toEqual([1, 1, 0, 0]);
    expect(round(1)).toEqual([0, 0, 1, 1]);
    expect(round(0.5)).toEqual([0.707, 0, 0.707, 1]);
  });
});
