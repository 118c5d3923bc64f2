import { expect, it } from "vitest";

import { moved, piece } from "./listing";

it("asks for songs from the nearest place that is known before them", () => {
  const known = new Map([[50, "b"], [100, "c"]]);
  expect(piece(0, known)).toEqual({ offset: 0, cursor: null });
  expect(piece(49, known)).toEqual({ offset: 49, cursor: null });
  expect(piece(100, known)).toEqual({ offset: 0, cursor: "c" });
  expect(piece(9_950, known)).toEqual({ offset: 9_850, cursor: "c" });
});

it("moves what follows a song that comes or goes", () => {
  const places = new Map([[0, "a"], [1, "b"], [700, "z"]]);
  expect([...moved(places, 1, 1)]).toEqual([[0, "a"], [2, "b"], [701, "z"]]);
  places.delete(1);
  expect([...moved(places, 1, -1)]).toEqual([[0, "a"], [699, "z"]]);
});
