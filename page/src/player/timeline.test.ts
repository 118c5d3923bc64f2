import { describe, expect, it } from "vitest";

import { ends, nextPiece, placeAt, type Piece } from "./timeline";

const song = { duration: 25, segmentSeconds: 10 };

function pieces(count: number, from: number, speed = 1, loop: { from: number; to: number } | null = null): Piece[] {
  const made: Piece[] = [];
  for (let k = 0; k < count; k += 1) {
    const last = made.at(-1);
    const piece = nextPiece(song, last ? ends(last) : 100, last?.to ?? from, speed, loop);
    if (!piece) break;
    made.push(piece);
  }
  return made;
}

describe("the timeline", () => {
  it("plays a song segment by segment to its end, without a gap", () => {
    expect(pieces(9, 3).map(({ time, from, to }) => [time, from, to])).toEqual([
      [100, 3, 10],
      [107, 10, 20],
      [117, 20, 25],
    ]);
  });

  it("takes twice as long at half the speed", () => {
    expect(pieces(2, 0, 0.5).map(({ time }) => time)).toEqual([100, 120]);
  });

  it("repeats a loop, across the border of a segment, for ever", () => {
    expect(pieces(5, 9, 1, { from: 9, to: 11 }).map(({ from, to }) => [from, to])).toEqual([
      [9, 10],
      [10, 11],
      [9, 10],
      [10, 11],
      [9, 10],
    ]);
  });

  it("plays on to the end behind a loop", () => {
    expect(pieces(9, 12, 1, { from: 9, to: 11 }).at(-1)?.to).toBe(25);
  });

  it("knows the place that plays at a time", () => {
    const made = pieces(3, 3, 2);
    expect(placeAt(made, 99)).toBeNull();
    expect(placeAt(made, 101)).toBe(5);
    expect(placeAt(made, 104.5)).toBe(12);
    expect(placeAt(made, 999)).toBe(25);
  });
});
