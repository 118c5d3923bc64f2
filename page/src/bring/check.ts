/** What the service would refuse about a file, said before a byte is sent. */

import type { Limits } from "../api/types";
import { bytes, clock, words } from "../text/language";

/** Returns the ending of a file's name, in lower case and without the dot. */
export const ending = (name: string): string => /\.([^.]+)$/.exec(name)?.[1]?.toLowerCase() ?? "";

/** Returns why a file would be refused, or null; a length that the browser cannot read is left to the service. */
export function refusal(file: { name: string; size: number }, seconds: number | null, limits: Limits | null, part: boolean): string | null {
  const says = words.value.refused;
  if (file.size === 0) return says.empty;
  if (!limits) return null;
  if (file.size > limits.file_bytes) return says.size(bytes(file.size), bytes(limits.file_bytes));
  const end = ending(file.name);
  if (end && !limits.any_name && !limits.extensions.includes(end)) return says.type(end, limits.extensions.join(", "));
  if (seconds !== null && !part && seconds > limits.song_seconds) return says.length(clock(seconds), clock(limits.song_seconds));
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
