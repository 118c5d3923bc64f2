import { describe, expect, it } from "vitest";

import css from "./page.css?raw";

/** The colours by name, as in the light and in the dark theme. */
const colours = [...css.matchAll(/--([\w-]+): light-dark\((#[0-9a-f]{6}), (#[0-9a-f]{6})\);/g)];
const palettes = [2, 3].map((theme) => new Map(colours.map((found) => [found[1] ?? "", found[theme] ?? ""])));

/** Returns the relative luminance as defined by WCAG 2.2. */
function luminance(colour: string): number {
  const [red = 0, green = 0, blue = 0] = [1, 3, 5].map((at) => {
    const value = parseInt(colour.slice(at, at + 2), 16) / 255;
    return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}

function contrast(palette: Map<string, string>, one: string, other: string): number {
  const [low = 0, high = 0] = [one, other].map((name) => luminance(palette.get(name) ?? "")).sort((a, b) => a - b);
  return (high + 0.05) / (low + 0.05);
}

describe("the colours", () => {
  it.each([
    ["light", 0],
    ["dark", 1],
  ])("are readable in the %s theme", (_, index) => {
    const palette = palettes[index] ?? new Map<string, string>();
    const texts = [["text", "ground"], ["text", "surface"], ["text", "sunken"], ["faint", "ground"], ["faint", "surface"], ["faint", "sunken"]] as const;
    const others = [["on-accent", "accent"], ["notice", "notice-ground"], ["notice", "surface"], ["bad", "bad-ground"], ["bad", "ground"]] as const;
    for (const [text, ground] of [...texts, ...others]) expect(contrast(palette, text, ground), `${text} on ${ground}`).toBeGreaterThanOrEqual(4.5);
    const stems = [...palette.keys()].filter((name) => name.startsWith("stem-"));
    expect(stems.length).toBeGreaterThan(10);
    for (const edge of ["strong-line", "accent", "good", ...stems])
      for (const ground of ["ground", "surface"]) expect(contrast(palette, edge, ground), `${edge} on ${ground}`).toBeGreaterThanOrEqual(3);
  });
});
