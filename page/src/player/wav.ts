/** WAV files, read and written piece by piece, so that a mix of long stems needs little memory. */

export interface WavFormat {
  readonly rate: number;
  readonly channels: number;
  readonly bits: 16 | 24 | 32; // 32 is floating point
  readonly begin: number; // bytes before the samples
  readonly frames: number;
}

/** Reads the header at the beginning of a WAV or RF64 file; null if it is none that can be mixed. */
export function wavFormat(head: DataView): WavFormat | null {
  const tag = (at: number): string => String.fromCharCode(...new Uint8Array(head.buffer, head.byteOffset + at, 4));
  if (head.byteLength < 44 || !["RIFF", "RF64"].includes(tag(0)) || tag(8) !== "WAVE") return null;
  let [channels, rate, bits, long] = [0, 0, 0, 0];
  for (let at = 12; at + 8 <= head.byteLength; ) {
    const [name, size] = [tag(at), head.getUint32(at + 4, true)];
    if (name === "ds64") long = Number(head.getBigUint64(at + 16, true));
    if (name === "fmt ") [channels, rate, bits] = [head.getUint16(at + 10, true), head.getUint32(at + 12, true), head.getUint16(at + 22, true)];
    if (name === "data") {
      const bytes = size === 0xffffffff ? long : size;
      if (channels < 1 || channels > 2 || (bits !== 16 && bits !== 24 && bits !== 32)) return null;
      return { rate, channels, bits, begin: at + 8, frames: Math.floor(bytes / ((channels * bits) / 8)) };
    }
    at += 8 + size + (size % 2);
  }
  return null;
}

/** Returns the samples of a WAV file, by channel, as factors of full scale. */
export function samplesOf(bytes: DataView, { channels, bits }: WavFormat): Float32Array<ArrayBuffer>[] {
  const width = bits / 8;
  const read =
    bits === 16
      ? (at: number): number => bytes.getInt16(at, true) / 32768
      : bits === 24
        ? (at: number): number => (bytes.getInt8(at + 2) * 65536 + bytes.getUint16(at, true)) / 8388608
        : (at: number): number => bytes.getFloat32(at, true);
  const frames = Math.floor(bytes.byteLength / (channels * width));
  return Array.from({ length: channels }, (_, channel) => {
    const samples = new Float32Array(frames);
    for (let k = 0; k < frames; k += 1) samples[k] = read((k * channels + channel) * width);
    return samples;
  });
}

/** Adds a stem to a mix of two channels, each channel by its factors. */
export function add(mix: Float32Array, [left, right = left]: readonly Float32Array[], [leftGain, rightGain]: Gains): void {
  left?.forEach((sample, k) => {
    const other = right?.[k] ?? 0;
    mix[2 * k] = (mix[2 * k] ?? 0) + sample * leftGain.left + other * leftGain.right;
    mix[2 * k + 1] = (mix[2 * k + 1] ?? 0) + sample * rightGain.left + other * rightGain.right;
  });
}

/** For each channel of the mix, the factors of the stem's two channels. */
export type Gains = readonly [{ left: number; right: number }, { left: number; right: number }];

/** Returns the factors of a volume and a pan, as Web Audio's StereoPannerNode has them. */
export function gains(volume: number, pan: number): Gains {
  const angle = ((pan <= 0 ? pan + 1 : pan) * Math.PI) / 2;
  const [near, far] = [Math.cos(angle), Math.sin(angle)];
  return pan <= 0
    ? [{ left: volume, right: volume * near }, { left: 0, right: volume * far }]
    : [{ left: volume * near, right: 0 }, { left: volume * far, right: volume }];
}

/** Returns the header of a WAV file of 16 bits and two channels. */
export function wavHeader(rate: number, frames: number): Uint8Array<ArrayBuffer> {
  const view = new DataView(new ArrayBuffer(44));
  const text = (at: number, value: string): void => value.split("").forEach((letter, k) => view.setUint8(at + k, letter.charCodeAt(0)));
  text(0, "RIFF");
  view.setUint32(4, 36 + 4 * frames, true);
  text(8, "WAVEfmt ");
  view.setUint32(16, 16, true);
  view.setUint16(20, 1, true);
  view.setUint16(22, 2, true);
  view.setUint32(24, rate, true);
  view.setUint32(28, 4 * rate, true);
  view.setUint16(32, 4, true);
  view.setUint16(34, 16, true);
  text(36, "data");
  view.setUint32(40, 4 * frames, true);
  return new Uint8Array(view.buffer);
}

/** Rounds a mix to 16 bits; what is beyond full scale is clipped, as the service does. */
export function rounded(mix: Float32Array): Int16Array<ArrayBuffer> {
  return Int16Array.from(mix, (sample) => Math.min(32767, Math.max(-32768, Math.round(sample * 32768))));
}
