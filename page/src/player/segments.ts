/** The decoded segments of a song's stems: those that play next, and few of those that played. */

export type Load = (track: string, segment: number, stop: AbortSignal) => Promise<AudioBuffer>;

const PAUSE = 1000; // milliseconds after which a segment that could not be loaded is tried again

/** A cache of segments, each with the sounds of all tracks; one is loaded at a time, so that quick jumps cost little. */
export class Segments {
  readonly #kept = new Map<number, AudioBuffer[]>(); // the one used last is the last
  #loading: { readonly segment: number; readonly stop: AbortController } | null = null;
  #wanted: readonly number[] = [];
  #loaded = (): void => undefined;
  #failed = -PAUSE;

  constructor(
    readonly tracks: readonly string[],
    private readonly load: Load,
    private readonly most: number,
  ) {}

  /** Returns the sounds of a segment, in the order of the tracks, if they are decoded. */
  ready(segment: number): readonly AudioBuffer[] | null {
    const sounds = this.#kept.get(segment);
    if (!sounds) return null;
    this.#kept.delete(segment);
    this.#kept.set(segment, sounds);
    return sounds;
  }

  /** Loads segments, the first one first, and stops loading any other; `loaded` is called after each attempt. */
  want(segments: readonly number[], loaded: () => void): void {
    [this.#wanted, this.#loaded] = [segments, loaded];
    if (this.#loading && !segments.includes(this.#loading.segment)) this.#loading.stop.abort();
    void this.#next();
  }

  /** Frees everything. */
  clear(): void {
    this.want([], () => undefined);
    this.#kept.forEach(free);
    this.#kept.clear();
  }

  async #next(): Promise<void> {
    const segment = this.#wanted.find((one) => !this.#kept.has(one));
    if (segment === undefined || this.#loading || performance.now() < this.#failed + PAUSE) return;
    const stop = new AbortController();
    this.#loading = { segment, stop };
    const loads = await Promise.allSettled(this.tracks.map((track) => this.load(track, segment, stop.signal)));
    this.#loading = null;
    const sounds = loads.flatMap((load) => (load.status === "fulfilled" ? [load.value] : []));
    if (sounds.length === this.tracks.length && !stop.signal.aborted) {
      this.#kept.set(segment, sounds);
      this.#forget();
    } else {
      free(sounds);
      if (!stop.signal.aborted) this.#failed = performance.now();
    }
    this.#loaded();
    void this.#next();
  }

  #forget(): void {
    for (const [segment, sounds] of this.#kept) {
      if (this.#kept.size <= this.most) return;
      if (this.#wanted.includes(segment)) continue;
      this.#kept.delete(segment);
      free(sounds);
    }
  }
}

/**
 * Frees the memory of sounds at once, which browsers collect minutes later; what plays of them goes on. What is sent to
 * nobody is gone; Chromium would keep what ``ArrayBuffer.transfer`` takes away.
 */
function free(sounds: readonly AudioBuffer[]): void {
  const { port1, port2 } = new MessageChannel();
  port1.postMessage(
    null,
    sounds.flatMap((sound) => Array.from({ length: sound.numberOfChannels }, (_, channel) => sound.getChannelData(channel).buffer)),
  );
  port1.close();
  port2.close();
}
