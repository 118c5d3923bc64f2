/** Mixes of stems to order with them, and what the service would refuse about one. */

import { words } from "../text/language";

export type Mixes = Readonly<Record<string, string>>; // expressions by name

export const MOST_MIXES = 8;
const LONGEST = 200; // characters of an expression
const QUIET = "-12dB";
const NAME = /^[A-Za-z0-9][A-Za-z0-9_-]{0,39}$/;
const OF_WINDOWS = /^(con|prn|aux|nul|(com|lpt)\d)$/i; // no file can have these names
const PLUS = /(?<!@)(?<!@ )\+/; // but not the sign of a gain
const GAIN = /^([+-]?\d{1,3}(\.\d{1,6})?)(dB)?$/i;

/** Returns the mixes that a model's stems suggest: without each of them, or of two stems each one quieter. */
export function suggested(stems: readonly string[]): Mixes {
  const others = (stem: string): string[] => stems.filter((other) => other !== stem);
  return Object.fromEntries(
    stems.length > 2
      ? stems.map((stem) => [`no_${stem}`, others(stem).join("+")])
      : stems.map((stem) => [`quiet_${stem}`, [...others(stem), `${stem}@${QUIET}`].join("+")]),
  );
}

/** Returns the name and the expression in NAME=EXPRESSION; a lone expression is also the name. */
export function parsed(text: string): [name: string, expression: string] {
  const [name = "", ...rest] = text.split("=");
  return [name.trim(), (rest.length > 0 ? rest.join("=") : name).trim()];
}

/** Returns why the service would refuse a mix beside others, or null. */
export function refusedMix(name: string, expression: string, stems: readonly string[], others: Mixes): string | null {
  const says = words.value.bring.mixes;
  if (!NAME.test(name) || OF_WINDOWS.test(name)) return says.name;
  const taken = [...stems, ...Object.keys(others)].some((other) => other.toLowerCase() === name.toLowerCase());
  if (taken) return says.taken;
  if (expression.length > LONGEST) return says.sum;
  const mixed = new Set<string>();
  for (const term of expression.split(PLUS)) {
    const [stem = "", ...gains] = term.split("@");
    const gain = GAIN.exec(gains.join("@").replace(/\s/g, ""));
    const decibels = Number(gain?.[1] ?? 0);
    if (!stem.trim() || (gains.length > 0 && !gain) || decibels < -120 || decibels > 24) return says.sum;
    for (const part of partsOf(stem.trim(), stems)) {
      if (!stems.includes(part)) return says.unknown(part, stems.join(", "));
      if (mixed.has(part)) return says.twice(part);
      mixed.add(part);
    }
  }
  return null;
}

/** Returns the stems that a name in an expression stands for. */
function partsOf(name: string, stems: readonly string[]): readonly string[] {
  if (stems.includes(name)) return [name];
  if (name === "acapella") return ["vocals"];
  return name === "instrumental" && stems.includes("vocals") ? stems.filter((stem) => stem !== "vocals") : [name];
}
