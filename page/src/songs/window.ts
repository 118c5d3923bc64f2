/** Which rows of a long list are in sight. */

const SPARE = 8; // rows above and below, so that scrolling shows no gap

/** Returns the first row to draw, and the one after the last. */
export function windowOf(count: number, row: number, top: number, height: number): { first: number; after: number } {
  const first = Math.max(0, Math.min(count, Math.floor(top / row)) - SPARE);
  return { first, after: Math.min(count, Math.ceil((top + height) / row) + SPARE) };
}
