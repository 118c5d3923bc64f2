import { describe, expect, it } from "vitest";

import { change, expression, factor, mixed, neutral, read, toggleMute, toggleSolo, written } from "./mixer";

const names = ["vocals", "drums", "bass"];
const heard = (strips: ReturnType<typeof neutral>): number[] => names.map((name) => factor(strips, name));

describe("the mixer", () => {
  it("mutes a stem, and hears it again", () => {
    const muted = toggleMute(neutral(names), "drums");
    expect(heard(muted)).toEqual([1, 0, 1]);
    expect(heard(toggleMute(muted, "drums"))).toEqual([1, 1, 1]);
  });

  it("solos one stem alone unless others may stay", () => {
    const one = toggleSolo(neutral(names), "vocals", false);
    expect(heard(toggleSolo(one, "bass", false))).toEqual([0, 0, 1]);
    expect(heard(toggleSolo(one, "bass", true))).toEqual([1, 0, 1]);
    expect(heard(toggleSolo(one, "vocals", false))).toEqual([1, 1, 1]);
  });

  it("writes what is heard as the API's expression", () => {
    const quiet = change(toggleMute(neutral(names), "drums"), "vocals", { volume: -6 });
    expect(expression(quiet)).toBe("vocals@-6dB+bass");
    expect(expression(names.reduce(toggleMute, neutral(names)))).toBeNull();
  });

  it("plays a mix of the API, unless stems of it are missing", () => {
    expect(heard(mixed("instrumental", names) ?? {})).toEqual([0, 1, 1]);
    expect(heard(mixed("acapella", names) ?? {})).toEqual([1, 0, 0]);
    expect(mixed("bass + vocals@-6 dB", names)).toEqual(change(toggleMute(neutral(names), "drums"), "vocals", { volume: -6 }));
    expect(expression(mixed("bass@+3dB+vocals", names) ?? {})).toBe("vocals+bass@3dB");
    expect(mixed("piano+vocals", names)).toBeNull();
    expect(mixed("", names)).toBeNull();
  });

  it("reads from the address what it wrote, and nothing worse", () => {
    const strips = change(toggleSolo(toggleMute(neutral(names), "bass"), "drums", false), "vocals", { volume: -4.5, pan: 0.5 });
    expect(read(written(strips), names)).toEqual(strips);
    expect(written(neutral(names))).toBe("");
    expect(read("horn.m~vocals.v999~drums.p-7~~.m", names)).toEqual(
      change(change(neutral(names), "vocals", { volume: 6 }), "drums", { pan: -1 }),
    );
  });
});
