import { describe, expect, it } from "vitest";

import { en } from "./en";
import { fr } from "./fr";
import { bytes, choose, clock, duration, preferred, until } from "./language";

describe("the languages", () => {
  it("have the same texts, and none is empty", () => {
    const paths = (value: unknown, path = ""): string[] =>
      value !== null && typeof value === "object" && !Array.isArray(value)
        ? Object.entries(value).flatMap(([name, one]) => paths(one, `${path}.${name}`))
        : [`${path}:${typeof value}`];
    expect(paths(fr)).toEqual(paths(en));
    const texts = (value: unknown): unknown[] => (value !== null && typeof value === "object" ? Object.values(value).flatMap(texts) : [value]);
    expect([...texts(en), ...texts(fr)].filter((text) => text === "")).toEqual([]);
  });

  it("follow the browser unless one is chosen", () => {
    expect(preferred(null, ["de-DE", "fr-CA", "en"])).toBe("fr");
    expect(preferred("en", ["fr"])).toBe("en");
    expect(preferred("xx", ["ja"])).toBe("en");
  });

  it("use the right plurals", () => {
    expect([en.songs.found(0), en.songs.found(1), en.songs.found(2)]).toEqual(["0 songs", "1 song", "2 songs"]);
    expect([fr.songs.found(0), fr.songs.found(1), fr.songs.found(2)]).toEqual(["0 morceau", "1 morceau", "2 morceaux"]);
  });

  it("say what the service refuses, in French as far as it is known", () => {
    expect(en.problem.told("/problems/no-sound", "It has no sound.")).toBe("It has no sound.");
    expect(fr.problem.told("/problems/no-sound", "It has no sound.")).toBe("Ce fichier n’a pas de son. Envoyez un morceau.");
    expect(fr.problem.told("/problems/new-one", "It is new.")).toBe("It is new.");
  });

  it("say sizes and times as their readers do", () => {
    choose("en");
    expect([bytes(999), bytes(5_292_044), clock(3725), duration(8.4), duration(200)]).toEqual(["999 bytes", "5.3 MB", "1:02:05", "8 seconds", "3 minutes"]);
    choose("fr");
    expect(until("2026-03-02T18:40", Date.parse("2026-03-01T09:00"))).toEqual(["demain, 18\u00a0h\u00a040", true]);
    expect(until("2026-03-07T18:40", Date.parse("2026-03-01T09:00"))).toEqual(["samedi 7 mars, 18\u00a0h\u00a040", false]);
    expect(bytes(5_292_044).replace(/\s/g, " ")).toBe("5,3 Mo");
  });
});
