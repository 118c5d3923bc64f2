/** Full stems in other formats than WAV: Mediabunny finds their packets, and the browser decodes them. */

import { CustomSource, EncodedPacketSink, FLAC, Input, MP3, MP4, OGG } from "mediabunny";

import { call } from "../api/client";
import type { StemFile } from "../api/types";
import type { Reader } from "./stem-file";

const AHEAD = 10e6; // bytes of a stem that are kept: Mediabunny reads up to 8 MiB ahead
const BEFORE = 0.3; // seconds to decode before what is wanted, on which it depends in lossy formats
const MP3_DELAY = 1105; // frames before the song: 576 of LAME, which makes all MP3 here, and 529 of decoders

/** Opens a stem; null if this browser cannot decode it. */
export async function openDecoded(stem: StemFile): Promise<Reader | null> {
  let stop: AbortSignal | null = null; // of what is read now
  const read = async (from: number, to: number): Promise<ReadableStream<Uint8Array>> => {
    const { body } = await call(stem.url, { headers: { Range: `bytes=${from}-${to - 1}` }, signal: stop });
    return body as ReadableStream<Uint8Array>;
  };
  const handleUnhandledError = (): void => undefined; // what could not be read ahead is read again
  const source = new CustomSource({ getSize: () => stem.size, read, maxCacheSize: AHEAD, prefetchProfile: "network", handleUnhandledError });
  const input = new Input({ source, formats: [FLAC, MP3, MP4, OGG] });
  const track = (await input.canRead()) ? await input.getPrimaryAudioTrack() : null;
  const config = await track?.getDecoderConfig();
  if (!track || !config || !(await track.canDecode())) return null;
  const packets = new EncodedPacketSink(track);
  const { sampleRate: rate, numberOfChannels: channels } = config;
  const delay = (await track.getCodec()) === "mp3" ? MP3_DELAY : 0;
  return {
    format: { rate, channels },
    async read(from, count, signal) {
      stop = signal ?? null;
      const first = from + delay;
      const last = await packets.getPacket((first + count) / rate);
      const begin = (await packets.getPacket(first / rate - BEFORE)) ?? (await packets.getFirstPacket());
      if (!last || !begin) return [];
      const chunks: EncodedAudioChunk[] = [];
      for await (const packet of packets.packets(begin)) {
        signal?.throwIfAborted();
        chunks.push(packet.clone({ timestamp: packet.timestamp - begin.timestamp }).toEncodedAudioChunk()); // Chromium takes no times below 0
        if (packet.sequenceNumber >= last.sequenceNumber) break;
      }
      const decoded = await decode(config, chunks);
      // Decoders leave out what they cannot decode at the beginning, and name wrong times for what follows.
      let at = Math.round(last.timestamp * rate) - first - decoded.slice(0, -1).reduce((sum, data) => sum + data.numberOfFrames, 0);
      const found = Array.from({ length: channels }, () => new Float32Array(count));
      for (const data of decoded) {
        const [start, after] = [Math.max(0, at), Math.min(count, at + data.numberOfFrames)];
        found.forEach((samples, planeIndex) => {
          if (start < after) data.copyTo(samples.subarray(start, after), { format: "f32-planar", planeIndex, frameOffset: start - at, frameCount: after - start });
        });
        at += data.numberOfFrames;
        data.close();
      }
      return found;
    },
  };
}

async function decode(config: AudioDecoderConfig, chunks: readonly EncodedAudioChunk[]): Promise<AudioData[]> {
  const decoded: AudioData[] = [];
  const decoder = new AudioDecoder({ output: (data) => void decoded.push(data), error: () => undefined }); // flush() fails then
  decoder.configure(config);
  for (const chunk of chunks) decoder.decode(chunk);
  await decoder.flush();
  decoder.close();
  return decoded;
}
