/** Media keys and the lock screen. */

import { effect } from "@preact/signals";

import type { Preview } from "../api/types";
import { duration, place, playing, seek, skip, speed, toggle } from "./player";
import { wavHeader } from "./wav";

const [RATE, SECONDS] = [8000, 6]; // Chromium shows nothing that is shorter than five seconds

/** Silence, without which browsers do not give the media keys to a page that plays with Web Audio. */
function silence(): HTMLAudioElement {
  const frames = RATE * SECONDS;
  const audio = new Audio(URL.createObjectURL(new Blob([wavHeader(RATE, frames), new Uint8Array(4 * frames)], { type: "audio/wav" })));
  audio.loop = true;
  return audio;
}

/** Tells the system whether and where the song plays. */
export function followMedia(): void {
  if (!("mediaSession" in navigator)) return;
  const keeper = silence();
  effect(() => {
    navigator.mediaSession.playbackState = playing.value ? "playing" : "paused";
    if (playing.value) keeper.play().catch(() => undefined); // only the keys are lost
    else keeper.pause();
  });
  effect(() => {
    const [length, position] = [duration.value, Math.floor(place.value)];
    if (length > 0) navigator.mediaSession.setPositionState({ duration: length, position: Math.min(position, length), playbackRate: speed.value });
  });
}

/** Shows a song to the system, which may then play, pause and seek it. */
export function announce(title: string, preview: Preview | null): void {
  if (!("mediaSession" in navigator)) return;
  const session = navigator.mediaSession;
  session.metadata = new MediaMetadata({ title });
  const act = (action: MediaSessionAction, handler: MediaSessionActionHandler): void => session.setActionHandler(action, handler);
  act("play", () => preview && toggle(preview));
  act("pause", () => preview && toggle(preview));
  act("seekbackward", () => skip(-5));
  act("seekforward", () => skip(5));
  act("previoustrack", () => seek(0));
  act("seekto", (details) => details.seekTime !== undefined && seek(details.seekTime));
}
