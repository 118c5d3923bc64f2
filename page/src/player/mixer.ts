/** What is heard of each stem: mute, solo, volume and pan, without any sound. */

export interface Strip {
  readonly muted: boolean;
  readonly soloed: boolean;
  readonly volume: number; // dB
  readonly pan: number; // -1 to 1
}

export type Strips = Readonly<Record<string, Strip>>;

export const SILENT = -60; // dB, from which on a volume counts as none
export const LOUDEST = 6; // dB
const NEUTRAL: Strip = { muted: false, soloed: false, volume: 0, pan: 0 };

export const clamp = (value: number, low: number, high: number): number => Math.min(high, Math.max(low, value));

export const neutral = (names: readonly string[]): Strips => Object.fromEntries(names.map((name) => [name, NEUTRAL]));

/** Returns the factor by which a stem is heard. */
export function factor(strips: Strips, name: string): number {
  const strip = strips[name];
  if (!strip) return 0;
  const anySolo = Object.values(strips).some((one) => one.soloed);
  if (anySolo ? !strip.soloed : strip.muted) return 0;
  return strip.volume <= SILENT ? 0 : 10 ** (strip.volume / 20);
}

export const change = (strips: Strips, name: string, values: Partial<Strip>): Strips =>
  strips[name] ? { ...strips, [name]: { ...strips[name], ...values } } : strips;

export const toggleMute = (strips: Strips, name: string): Strips => change(strips, name, { muted: !strips[name]?.muted });

/** Solos a stem alone or, if others may stay, besides them; a second time takes it back. */
export function toggleSolo(strips: Strips, name: string, others: boolean): Strips {
  const soloed = !strips[name]?.soloed;
  const rest = others ? strips : Object.fromEntries(Object.entries(strips).map(([one, strip]) => [one, { ...strip, soloed: false }]));
  return change(rest, name, { soloed });
}

/** Returns whether all that is heard is in the middle, as in mixes of the service. */
export const isCentred = (strips: Strips): boolean => Object.entries(strips).every(([name, { pan }]) => pan === 0 || factor(strips, name) === 0);

/** Returns the expression of the API for what is heard: "vocals@-6dB+drums"; null if nothing is. */
export function expression(strips: Strips): string | null {
  const heard = Object.keys(strips).filter((name) => factor(strips, name) > 0);
  const terms = heard.map((name) => {
    const volume = strips[name]?.volume ?? 0;
    return volume === 0 ? name : `${name}@${Math.round(10 * volume) / 10}dB`;
  });
  return terms.length ? terms.join("+") : null;
}

/** Returns the strips by which the stems sound like a mix of the API; null where it has what they do not. */
export function mixed(sum: string, names: readonly string[]): Strips | null {
  let strips = names.reduce(toggleMute, neutral(names));
  for (const term of sum.split(/\+(?!\d)/)) {
    const [, name = "", volume = "0"] = /^\s*([\w-]+)\s*(?:@\s*([-+]?[\d.]+)\s*dB)?\s*$/i.exec(term) ?? [];
    const stems = name === "instrumental" ? names.filter((one) => one !== "vocals") : [name === "acapella" ? "vocals" : name];
    if (!stems.every((one) => names.includes(one))) return null;
    for (const stem of stems) strips = change(strips, stem, { muted: false, volume: clamp(Number(volume), SILENT, LOUDEST) });
  }
  return strips;
}

/** Writes the strips as a short text for the address: mutes, solos, volumes and pans that differ from neutral. */
export function written(strips: Strips): string {
  const parts = Object.entries(strips).flatMap(([name, { muted, soloed, volume, pan }]) => {
    const marks = `${muted ? "m" : ""}${soloed ? "s" : ""}${volume ? `v${volume}` : ""}${pan ? `p${pan}` : ""}`;
    return marks ? [`${name}.${marks}`] : [];
  });
  return parts.join("~");
}

/** Reads what ``written`` wrote, for stems that the song has. */
export function read(text: string, names: readonly string[]): Strips {
  let strips = neutral(names);
  for (const part of text.split("~")) {
    const found = /^(.+)\.(m?)(s?)(?:v(-?[\d.]+))?(?:p(-?[\d.]+))?$/.exec(part);
    if (!found) continue;
    const [, name = "", muted, soloed, volume, pan] = found;
    strips = change(strips, name, {
      muted: muted === "m",
      soloed: soloed === "s",
      volume: clamp(Number(volume ?? 0) || 0, SILENT, LOUDEST),
      pan: clamp(Number(pan ?? 0) || 0, -1, 1),
    });
  }
  return strips;
}
