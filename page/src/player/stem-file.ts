/** The full stems, read piece by piece: only WAV tells where a sample lies. */

import { call } from "../api/client";
import type { StemFile } from "../api/types";
import { samplesOf, wavFormat, type WavFormat } from "./wav";

const HEAD = 4096; // bytes that hold the header

/** Returns whether the stems are files that can be read in pieces. */
export const readable = (stems: readonly StemFile[]): boolean => stems.length > 0 && stems.every((stem) => stem.media_type === "audio/wav");

async function bytesOf(stem: StemFile, from: number, to: number, signal?: AbortSignal): Promise<DataView> {
  const response = await call(stem.url, { headers: { Range: `bytes=${from}-${to - 1}` }, ...(signal && { signal }) });
  return new DataView(await response.arrayBuffer());
}

/** A full stem. */
export class StemReader {
  private constructor(
    private readonly stem: StemFile,
    readonly format: WavFormat,
  ) {}

  static async open(stem: StemFile): Promise<StemReader> {
    const format = wavFormat(await bytesOf(stem, 0, Math.min(HEAD, stem.size)));
    if (!format) throw new TypeError(`${stem.name} is not a WAV file that can be read`);
    return new StemReader(stem, format);
  }

  /** Returns the samples of some frames by channel; fewer at the stem's end. */
  async read(from: number, count: number, signal?: AbortSignal): Promise<Float32Array<ArrayBuffer>[]> {
    const { begin, channels, bits, frames } = this.format;
    const width = (channels * bits) / 8;
    const after = Math.min(from + count, frames);
    if (after <= from) return [];
    return samplesOf(await bytesOf(this.stem, begin + from * width, begin + after * width, signal), this.format);
  }
}
