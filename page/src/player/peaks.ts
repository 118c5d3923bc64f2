/** Waveforms: peaks of the API, drawn on a canvas. */

import type { Peaks } from "../api/types";
import type { Loop } from "./timeline";

/** Returns the lowest and highest peak, as factors, of each of some columns of a part of the song. */
export function columns(peaks: Peaks, duration: number, view: Loop, count: number): (readonly [number, number])[] {
  const unit = 2 ** (peaks.bits - 1);
  const perSecond = peaks.length / duration;
  return Array.from({ length: count }, (_, x) => {
    const at = (column: number): number => Math.floor((view.from + ((view.to - view.from) * column) / count) * perSecond);
    const first = Math.max(0, at(x));
    const after = Math.min(peaks.length, Math.max(first + 1, at(x + 1)));
    let [low, high] = [0, 0];
    for (let k = first; k < after; k += 1) {
      low = Math.min(low, peaks.data[2 * k] ?? 0);
      high = Math.max(high, peaks.data[2 * k + 1] ?? 0);
    }
    return [low / unit, high / unit] as const;
  });
}

/** Draws a waveform in the canvas's own colour, at the resolution of the screen. */
export function draw(canvas: HTMLCanvasElement, peaks: Peaks, duration: number, view: Loop): void {
  const scale = devicePixelRatio || 1;
  const width = (canvas.width = Math.round(canvas.clientWidth * scale));
  const height = (canvas.height = Math.round(canvas.clientHeight * scale));
  const brush = canvas.getContext("2d");
  if (!brush || !width) return;
  brush.fillStyle = getComputedStyle(canvas).color;
  const middle = height / 2;
  columns(peaks, duration, view, width).forEach(([low, high], x) => {
    const top = Math.round(middle - high * middle);
    brush.fillRect(x, top, 1, Math.max(scale, Math.round(middle - low * middle) - top));
  });
}
