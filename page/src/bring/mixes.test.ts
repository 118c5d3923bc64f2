import { expect, it } from "vitest";

import cases from "../../../tests/unit/separation/mix_cases.json";
import { parsed, refusedMix, suggested } from "./mixes";

const TWO = ["vocals", "accompaniment"];
const FOUR = ["vocals", "drums", "bass", "other"];

it("refuses the mixes that the service refuses", () => {
  for (const [name, expression, possible] of cases as [string, string, boolean][])
    expect([name, expression, refusedMix(name, expression, TWO, { taken: "vocals" }) === null]).toEqual([name, expression, possible]);
});

it("says what is wrong with a mix", () => {
  expect(refusedMix("k", "vocals+drums", TWO, {})).toBe("No stem is called drums. The stems are vocals, accompaniment.");
  expect(refusedMix("bass", "vocals", FOUR, {})).toContain("taken");
});

it("suggests mixes that the service makes", () => {
  expect(suggested(TWO)).toEqual({ quiet_vocals: "accompaniment+vocals@-12dB", quiet_accompaniment: "vocals+accompaniment@-12dB" });
  expect(suggested(FOUR)["no_drums"]).toBe("vocals+bass+other");
  for (const stems of [TWO, FOUR])
    for (const [name, expression] of Object.entries(suggested(stems))) expect(refusedMix(name, expression, stems, {})).toBeNull();
});

it("reads NAME=EXPRESSION", () => {
  expect(parsed(" k = vocals@-3 + bass ")).toEqual(["k", "vocals@-3 + bass"]);
  expect(parsed("acapella")).toEqual(["acapella", "acapella"]);
});
