import { expect, it } from "vitest";

import type { Limits } from "../api/types";
import { choose } from "../text/language";
import { refusal } from "./check";

const LIMITS = {
  file_bytes: 1000,
  song_seconds: 600,
  extensions: ["mp3", "wav"],
  any_name: true,
  shares: { stored_bytes: { limit: 5000, in_all: 50_000, used: 4000, of_service: true } },
} as unknown as Limits;
const SONG = { name: "Song.MP3", size: 500, type: "audio/mpeg" };

it("says what the service would refuse", () => {
  const said = (file: object, seconds: number | null = 60, limits: object = {}, part = false, sending = 0): string | undefined =>
    refusal({ ...SONG, ...file }, seconds, { ...LIMITS, ...limits }, part, sending)?.();
  expect(said({})).toBeUndefined();
  expect(said({}, null)).toBeUndefined();
  expect(said({ size: 0 })).toContain("empty");
  expect(said({ size: 1001 })).toContain("up to 1 kB");
  expect(said({ name: "Song.flac" }, 60, { any_name: false })).toContain("Known are mp3, wav");
  expect(said({ name: "Song.flac", type: "audio/flac" })).toBeUndefined();
  expect(said({ name: "notes.txt", type: "text/plain" }, null)).toContain("does not look like sound");
  expect(said({ name: "odd.txt", type: "text/plain" }, 60)).toBeUndefined(); // the browser plays it
  expect(said({}, 601)).toContain("10:00");
  expect(said({}, 601, {}, true)).toBeUndefined();
  expect(said({}, 60, {}, false, 500)).toContain("5 kB, of which 500 bytes are left");
  expect(refusal(SONG, 601, null, false, 0)).toBeNull(); // the service decides
});

it("says it in the language of the moment", () => {
  const reason = refusal({ ...SONG, size: 0 }, null, LIMITS, false, 0);
  choose("fr");
  expect(reason?.()).toContain("vide");
  choose("en");
});
