/** Where on the clock each stretch of a song plays: loops and segment borders, without any sound. */

/** A stretch of the song that plays without a jump. Times are in seconds of the clock, places in seconds of the song. */
export interface Piece {
  readonly time: number;
  readonly from: number;
  readonly to: number;
  readonly speed: number;
}

export interface Loop {
  readonly from: number;
  readonly to: number;
}

export interface Song {
  readonly duration: number;
  readonly segmentSeconds: number;
}

export const lasts = (piece: Piece): number => (piece.to - piece.from) / piece.speed;
export const ends = (piece: Piece): number => piece.time + lasts(piece);

/** Returns the index of the segment that contains a place. */
export const segmentAt = (song: Song, place: number): number => Math.floor(place / song.segmentSeconds + 1e-9);

/** Returns the next piece from a place: to the end of its segment, of the loop or of the song; null at the song's end. */
export function nextPiece(song: Song, time: number, place: number, speed: number, loop: Loop | null): Piece | null {
  let from = place;
  if (loop && from >= loop.to - 1e-6 && from < loop.to + 1e-6) from = loop.from;
  if (from >= song.duration - 1e-6) return null;
  const border = (segmentAt(song, from) + 1) * song.segmentSeconds;
  const stop = loop && from < loop.to ? loop.to : song.duration;
  return { time, from, to: Math.min(border, stop, song.duration), speed };
}

/** Returns the place that plays at a time, given the pieces in order; null before the first and without any. */
export function placeAt(pieces: readonly Piece[], time: number): number | null {
  const piece = pieces.findLast((one) => one.time <= time);
  return piece ? Math.min(piece.to, piece.from + (time - piece.time) * piece.speed) : null;
}
