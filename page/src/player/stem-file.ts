/** The full stems, read piece by piece. */

import { call } from "../api/client";
import type { StemFile } from "../api/types";
import { samplesOf, wavFormat, type WavFormat } from "./wav";

const HEAD = 4096; // bytes that hold the header

/** A stem that is open. */
export interface Reader {
  readonly format: Pick<WavFormat, "rate" | "channels">;
  /** Returns the samples of some frames by channel; fewer at the stem's end. */
  read(from: number, count: number, signal?: AbortSignal): Promise<Float32Array<ArrayBuffer>[]>;
}

export const isWav = (stem: StemFile): boolean => stem.media_type === "audio/wav";

/** Opens a stem of any format; null if this browser cannot decode it. */
export const openStem = async (stem: StemFile): Promise<Reader | null> =>
  isWav(stem) ? StemReader.open(stem) : (await import("./decoded-stem")).openDecoded(stem);

async function bytesOf(stem: StemFile, from: number, to: number, signal?: AbortSignal): Promise<DataView> {
  const response = await call(stem.url, { headers: { Range: `bytes=${from}-${to - 1}` }, ...(signal && { signal }) });
  return new DataView(await response.arrayBuffer());
}

/** A stem in WAV, which tells where a sample lies. */
export class StemReader implements Reader {
  private constructor(
    private readonly stem: StemFile,
    readonly format: WavFormat,
  ) {}

  static async open(stem: StemFile): Promise<StemReader> {
    const format = wavFormat(await bytesOf(stem, 0, Math.min(HEAD, stem.size)));
    if (!format) throw new TypeError(`${stem.name} is not a WAV file that can be read`);
    return new StemReader(stem, format);
  }

  async read(from: number, count: number, signal?: AbortSignal): Promise<Float32Array<ArrayBuffer>[]> {
    const { begin, channels, bits, frames } = this.format;
    const width = (channels * bits) / 8;
    const after = Math.min(from + count, frames);
    if (after <= from) return [];
    return samplesOf(await bytesOf(this.stem, begin + from * width, begin + after * width, signal), this.format);
  }
}
