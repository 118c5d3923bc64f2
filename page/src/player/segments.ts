/** The decoded segments of a song's stems, few at a time. */

export type Fetch = (track: string, segment: number) => Promise<ArrayBuffer>;

interface Entry {
  readonly sound: Promise<AudioBuffer>;
  decoded: AudioBuffer | null;
  used: number;
}

/** A cache of decoded segments: those used longest ago are forgotten. */
export class Segments {
  readonly #entries = new Map<string, Entry>();
  #uses = 0;

  constructor(
    private readonly fetch: Fetch,
    private readonly decode: (data: ArrayBuffer) => Promise<AudioBuffer>,
    private readonly most: number,
  ) {}

  /** Returns a segment if it is decoded. */
  ready(track: string, segment: number): AudioBuffer | null {
    const entry = this.#entries.get(key(track, segment));
    if (entry?.decoded) entry.used = ++this.#uses;
    return entry?.decoded ?? null;
  }

  /** Fetches and decodes a segment, unless that was done or is under way. */
  async load(track: string, segment: number): Promise<AudioBuffer> {
    const name = key(track, segment);
    let entry = this.#entries.get(name);
    if (!entry) {
      const sound = this.fetch(track, segment).then(this.decode);
      const added: Entry = { sound, decoded: null, used: 0 };
      entry = added;
      this.#entries.set(name, entry);
      sound.then(
        (decoded) => (added.decoded = decoded),
        () => this.#entries.delete(name), // so that it is tried again
      );
      this.#forget();
    }
    entry.used = ++this.#uses;
    return entry.sound;
  }

  #forget(): void {
    const old = [...this.#entries].filter(([, entry]) => entry.decoded).sort(([, a], [, b]) => a.used - b.used);
    for (const [name] of old.slice(0, Math.max(0, this.#entries.size - this.most))) this.#entries.delete(name);
  }
}

const key = (track: string, segment: number): string => `${track}/${segment}`;
