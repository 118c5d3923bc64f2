/** What the service would refuse about a file, said before a byte is sent. */

import type { Limits } from "../api/types";
import type { Words } from "../text/en";
import { bytes, clock, words } from "../text/language";

/** Returns the ending of a file's name, in lower case and without the dot. */
export const ending = (name: string): string => /\.([^.]+)$/.exec(name)?.[1]?.toLowerCase() ?? "";

interface Found {
  readonly name: string;
  readonly size: number;
  readonly type: string; // as the browser takes it from the name
}

const NO_SOUND = /^(text|image|font)\/|^application\/(pdf|zip|json|x-zip|msword|vnd\.(?!apple))/;

/**
 * Returns why a file would be refused, as a text in the page's language, or null; a length that the browser cannot read is left to the service.
 *
 * `part` says whether only a part of the song is wanted, and `sending` how many bytes are on their way besides.
 */
export function refusal(file: Found, seconds: number | null, limits: Limits | null, part: boolean, sending: number): (() => string) | null {
  const says = (): Words["refused"] => words.value.refused;
  if (file.size === 0) return () => says().empty;
  if (!limits) return null;
  if (file.size > limits.file_bytes) return () => says().size(bytes(file.size), bytes(limits.file_bytes));
  const end = ending(file.name);
  if (end && !limits.any_name && !limits.extensions.includes(end)) return () => says().type(end, limits.extensions.join(", "));
  if (seconds === null && NO_SOUND.test(file.type)) return () => says().noSound;
  const { limit, used } = limits.shares["stored_bytes"] ?? { limit: Infinity, used: 0 };
  const left = limit - (used ?? 0) - sending;
  if (file.size >= left) return () => says().full(bytes(Math.max(0, left)), bytes(limit));
  if (seconds !== null && !part && seconds > limits.song_seconds) return () => says().length(clock(seconds), clock(limits.song_seconds));
  return null;
}

const PATIENCE = 5000; // milliseconds: a busy browser may never say

/** Returns the length of a file in seconds, if the browser can read it. */
export function lengthOf(file: File): Promise<number | null> {
  return new Promise((resolve) => {
    const audio = new Audio();
    const address = URL.createObjectURL(file);
    const end = (seconds: number | null): void => {
      window.clearTimeout(timer);
      audio.removeAttribute("src");
      URL.revokeObjectURL(address);
      resolve(seconds !== null && Number.isFinite(seconds) ? seconds : null);
    };
    const timer = window.setTimeout(() => end(null), PATIENCE);
    audio.preload = "metadata";
    audio.onloadedmetadata = () => end(audio.duration);
    audio.onerror = () => end(null);
    audio.src = address;
  });
}
