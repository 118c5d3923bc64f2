/** The player's engine: stems scheduled on the clock of one AudioContext, so that they cannot drift apart. */

import type { StretchNode } from "signalsmith-stretch";

import type { Segments } from "./segments";
import { ends, nextPiece, placeAt, segmentAt, type Loop, type Piece, type Song } from "./timeline";

const AHEAD = 4; // seconds of the clock that are scheduled before they play
const TICK = 200; // milliseconds
const START = 0.08; // seconds from a command to its sound
const FADE = 0.01; // seconds, so that nothing clicks

export interface Strip {
  readonly volume: number; // factor
  readonly pan: number; // -1 to 1
}

interface Channel {
  readonly input: GainNode;
  readonly pan: StereoPannerNode;
  readonly meter: AnalyserNode;
}

/** A player of one song. `changed` is called whenever it starts, stops or waits for a segment. */
export class Engine {
  readonly context: AudioContext;
  readonly #song: Song;
  readonly #segments: Segments;
  readonly #channels = new Map<string, Channel>();
  readonly #mix: GainNode;
  readonly #master: GainNode;
  readonly #meter: AnalyserNode;
  readonly #samples = new Float32Array(2048);
  readonly #timer: number;
  #stretch: StretchNode | null = null;
  #pieces: Piece[] = [];
  #sources: AudioBufferSourceNode[] = [];
  #place = 0;
  #speed = 1;
  #semitones = 0;
  #wanted = false;
  #loop: Loop | null = null;
  #available: number;

  constructor(
    song: Song,
    segments: Segments,
    sampleRate: number,
    available: number,
    private readonly changed: () => void,
  ) {
    this.context = new AudioContext({ sampleRate, latencyHint: "playback" });
    this.#song = song;
    this.#segments = segments;
    this.#available = available;
    this.#mix = this.context.createGain();
    this.#master = this.context.createGain();
    this.#meter = this.context.createAnalyser();
    this.#mix.connect(this.#master).connect(this.#meter).connect(this.context.destination);
    for (const track of segments.tracks) this.#channels.set(track, this.#channel());
    this.#timer = window.setInterval(() => this.#tick(), TICK);
  }

  #channel(): Channel {
    const [input, pan, meter] = [this.context.createGain(), this.context.createStereoPanner(), this.context.createAnalyser()];
    meter.fftSize = this.#samples.length;
    input.connect(pan).connect(meter).connect(this.#mix);
    return { input, pan, meter };
  }

  get playing(): boolean {
    return this.#wanted;
  }

  /** Whether it would play if the next segments were there. */
  get waiting(): boolean {
    return this.#wanted && this.#pieces.length === 0;
  }

  /** The place that is heard now, in seconds of the song. */
  get place(): number {
    const heard = this.context.currentTime - this.#delay;
    return placeAt(this.#pieces, heard) ?? this.#pieces[0]?.from ?? this.#place;
  }

  /** Seconds between the schedule and what is heard. */
  get #delay(): number {
    return (this.context.outputLatency || 0) + (this.#stretch?.delay ?? 0);
  }

  /** Says how many segments can be fetched. */
  reach(segments: number): void {
    this.#available = segments;
  }

  async play(): Promise<void> {
    if (this.#place >= this.#song.duration - 0.01) this.#place = this.#loop?.from ?? 0;
    this.#wanted = true;
    this.#tick();
    this.changed();
    await this.context.resume();
  }

  pause(): void {
    this.#place = this.place;
    this.#wanted = false;
    this.#silence();
    this.changed();
  }

  seek(place: number): void {
    this.#silence();
    this.#place = Math.min(Math.max(0, place), this.#song.duration);
    this.#tick();
    this.changed();
  }

  loop(loop: Loop | null): void {
    this.#loop = loop;
    this.seek(loop && (this.place < loop.from || this.place >= loop.to) ? loop.from : this.place);
  }

  /** Sets the speed (1 is the song's own) and the transposition in semitones, each without the other. */
  async bend(speed: number, semitones: number): Promise<void> {
    const place = this.place;
    [this.#speed, this.#semitones] = [speed, semitones];
    if ((speed !== 1 || semitones) && !this.#stretch) {
      const { stretching } = await import("./stretch");
      this.#stretch ??= await stretching(this.context);
    }
    this.#route();
    this.seek(place);
  }

  /** Sends the mix through the pitch shifter if something is bent: it takes back what the speed does to the pitch. */
  #route(): void {
    const shift = this.#semitones - 12 * Math.log2(this.#speed);
    this.#mix.disconnect();
    this.#stretch?.disconnect();
    if (this.#stretch && (this.#speed !== 1 || this.#semitones)) {
      this.#mix.connect(this.#stretch).connect(this.#master);
      void this.#stretch.schedule({ active: true, semitones: shift });
    } else this.#mix.connect(this.#master);
  }

  strip(track: string, { volume, pan }: Strip): void {
    const channel = this.#channels.get(track);
    channel?.input.gain.setTargetAtTime(volume, this.context.currentTime, FADE / 3);
    channel?.pan.pan.setTargetAtTime(pan, this.context.currentTime, FADE / 3);
  }

  master(volume: number): void {
    this.#master.gain.setTargetAtTime(volume, this.context.currentTime, FADE / 3);
  }

  /** Returns the peak of what a stem plays now, as a factor; without a name, of everything. */
  level(track?: string): number {
    const meter = track === undefined ? this.#meter : this.#channels.get(track)?.meter;
    if (!meter) return 0;
    meter.getFloatTimeDomainData(this.#samples);
    let peak = 0;
    for (const sample of this.#samples) peak = Math.max(peak, Math.abs(sample));
    return peak;
  }

  async close(): Promise<void> {
    window.clearInterval(this.#timer);
    this.#wanted = false;
    this.#silence();
    await this.context.close();
  }

  #silence(): void {
    const now = this.context.currentTime;
    this.#mix.gain.cancelScheduledValues(now);
    this.#mix.gain.setTargetAtTime(0, now, FADE / 3);
    this.#mix.gain.setTargetAtTime(1, now + 2 * FADE, FADE / 3);
    for (const source of this.#sources) source.stop(now + 2 * FADE);
    [this.#pieces, this.#sources] = [[], []];
  }

  /** Schedules what plays within the next seconds, and loads what comes after it. */
  #tick(): void {
    const now = this.context.currentTime;
    const last = this.#pieces.at(-1);
    if (last && ends(last) < now && this.#wanted) this.#fallBehind(last);
    const waited = this.waiting;
    while (this.#wanted && this.#schedule(now));
    this.#pieces = this.#pieces.filter((piece, k) => k === this.#pieces.length - 1 || ends(piece) > now - 10);
    this.#load();
    if (waited !== this.waiting) this.changed();
  }

  /** Stops at the song's end; where a segment came too late, begins again with it. */
  #fallBehind(last: Piece): void {
    this.#place = last.to;
    this.#pieces = [];
    if (last.to >= this.#song.duration - 1e-6 && !this.#loop) {
      this.#wanted = false;
      this.changed();
    }
  }

  /** Returns what plays after a piece; after none, from the place. */
  #after(last: Piece | undefined, now = this.context.currentTime): Piece | null {
    const { sampleRate } = this.context;
    const time = last ? ends(last) : Math.round((now + START) * sampleRate) / sampleRate;
    return nextPiece(this.#song, time, last?.to ?? this.#place, this.#speed, this.#loop);
  }

  #schedule(now: number): boolean {
    const piece = this.#after(this.#pieces.at(-1), now);
    if (!piece || piece.time > now + AHEAD) return false;
    const segment = segmentAt(this.#song, piece.from);
    const sounds = this.#segments.ready(segment);
    if (!sounds) return false;
    this.#segments.tracks.forEach((track, k) => this.#play(track, sounds[k] as AudioBuffer, piece, segment));
    this.#pieces.push(piece);
    return true;
  }

  #load(): void {
    const next = this.#after(this.#pieces.at(-1));
    const wanted = [next, next && this.#after(next)].flatMap((piece) => (piece ? [segmentAt(this.#song, piece.from)] : []));
    this.#segments.want(
      wanted.filter((segment) => segment < this.#available),
      () => this.waiting && this.#tick(),
    );
  }

  #play(track: string, sound: AudioBuffer, piece: Piece, segment: number): void {
    const channel = this.#channels.get(track);
    if (!channel) return;
    const source = new AudioBufferSourceNode(this.context, { buffer: sound, playbackRate: piece.speed });
    source.connect(channel.input);
    source.start(piece.time, piece.from - segment * this.#song.segmentSeconds, piece.to - piece.from);
    source.onended = () => {
      source.disconnect();
      source.buffer = null; // holds its samples until then
      this.#sources = this.#sources.filter((one) => one !== source);
    };
    this.#sources.push(source);
  }
}
