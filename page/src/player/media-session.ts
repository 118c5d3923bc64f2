/** Media keys and the lock screen. */

import { computed, effect } from "@preact/signals";

import { duration, place, playing, seek, skip, speed, toggle } from "./player";
import { wavHeader } from "./wav";

const STEP = 5; // seconds
const [RATE, SECONDS] = [8000, 6]; // Chromium shows nothing that is shorter than five seconds
const LEVEL = 16; // of 32768: nobody hears it, but Firefox shows nothing that is more quiet

/** A sound that is not heard, without which browsers do not give the media keys to a page that plays with Web Audio. */
function inaudible(): HTMLAudioElement {
  const frames = RATE * SECONDS;
  const samples = Int16Array.from({ length: 2 * frames }, (_, k) => Math.round(LEVEL * Math.sin((Math.PI * k) / (2 * frames)))); // 0 at both ends
  const audio = new Audio(URL.createObjectURL(new Blob([wavHeader(RATE, frames), samples], { type: "audio/wav" })));
  audio.loop = true;
  return audio;
}

/** Tells the system whether and where the song plays. */
export function followMedia(): void {
  if (!("mediaSession" in navigator)) return;
  const keeper = inaudible();
  effect(() => {
    navigator.mediaSession.playbackState = playing.value ? "playing" : "paused";
    if (playing.value) keeper.play().catch(() => undefined); // only the keys are lost
    else keeper.pause();
  });
  const moment = computed(() => `${playing.value} ${Math.floor(place.value)}`); // between two, the system counts by itself
  effect(() => {
    const length = duration.value;
    if (length === 0 || !moment.value) return;
    navigator.mediaSession.setPositionState({ duration: length, position: Math.min(place.peek(), length), playbackRate: speed.value });
  });
}

/** Shows a song to the system, which may then play, pause and seek it. */
export function announce(title: string): void {
  if (!("mediaSession" in navigator)) return;
  const session = navigator.mediaSession;
  session.metadata = new MediaMetadata({ title });
  const act = (action: MediaSessionAction, handler: MediaSessionActionHandler): void => session.setActionHandler(action, handler);
  const turn = (on: boolean): void => {
    if (playing.value !== on) toggle();
  };
  act("play", () => turn(true));
  act("pause", () => turn(false));
  act("stop", () => {
    turn(false);
    seek(0);
  });
  act("seekbackward", ({ seekOffset }) => skip(-(seekOffset ?? STEP)));
  act("seekforward", ({ seekOffset }) => skip(seekOffset ?? STEP));
  act("previoustrack", () => seek(0));
  act("seekto", ({ seekTime }) => seekTime !== undefined && seek(seekTime));
}
