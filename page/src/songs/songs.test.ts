import { expect, it } from "vitest";

import { put, songs, type Song } from "./songs";

const song = (state: Song["state"]): Song => ({ id: "a", state, progress: 0 }) as Song;

it("keeps what has ended as it is if an older response comes late", () => {
  for (const state of ["failed", "running", "queued"] as const) put(song(state));
  expect(songs.value).toEqual([song("failed")]);
  put({ ...song("erasing"), progress: 1 });
  expect(songs.value[0]?.state).toBe("erasing");
});
