/** The keys of the player, wherever the focus is, except in fields. */

import { focused, markLoop, mute, names, set, skip, solo, strips, toggle, toggleLoop, zoom } from "./player";
import { clamp, LOUDEST, SILENT } from "./mixer";

const STEP = 1; // dB

/** Returns whether a key event belongs to the element that has the focus. */
function taken(event: KeyboardEvent): boolean {
  const target = event.target;
  if (!(target instanceof HTMLElement)) return false;
  if (target.matches("input[type=range], [role=slider]")) return event.key.startsWith("Arrow");
  if (target.matches("input, select, textarea, [contenteditable], dialog *")) return true;
  return target.matches("button, a, summary") && (event.key === " " || event.key === "Enter");
}

function louder(step: number): void {
  const name = focused.value ?? names.value[0];
  const strip = name === undefined ? undefined : strips.value[name];
  if (name !== undefined && strip) set(name, { volume: clamp(strip.volume + step, SILENT, LOUDEST) });
}

/** Handles a key; returns whether it was one of the player's. */
export function press(event: KeyboardEvent, help: () => void): boolean {
  if (event.altKey || taken(event)) return false;
  const digit = /^Digit([1-9])$/.exec(event.code);
  const name = digit && names.value[Number(digit[1]) - 1];
  if (name !== null && name !== undefined) {
    if (event.shiftKey) solo(name, event.ctrlKey || event.metaKey);
    else if (event.ctrlKey || event.metaKey) return false;
    else mute(name);
    return true;
  }
  if (event.ctrlKey || event.metaKey) return false;
  const actions: Record<string, () => void> = {
    " ": toggle,
    ArrowLeft: () => skip(-5),
    ArrowRight: () => skip(5),
    ArrowUp: () => louder(STEP),
    ArrowDown: () => louder(-STEP),
    l: toggleLoop,
    L: toggleLoop,
    "[": () => markLoop("from"),
    "]": () => markLoop("to"),
    "+": () => zoom(0.5),
    "-": () => zoom(2),
    "?": help,
  };
  const action = actions[event.key];
  action?.();
  return action !== undefined;
}
