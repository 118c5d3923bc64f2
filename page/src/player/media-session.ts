/** Media keys and the lock screen. */

import { skip, toggle, seek } from "./player";
import type { Preview } from "../api/types";

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
