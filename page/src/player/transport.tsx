/** Play, loop, speed, pitch and the master volume. */

import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import type { JSX } from "preact";

import { IconButton, Icon } from "../look/icons";
import { clock, percent, words } from "../text/language";
import { LOUDEST, SILENT } from "./mixer";
import {
  bend, duration, engine, FASTEST, files, full, looping, markLoop, master, OCTAVE, place, playable, playing, seek, semitones, SLOWEST, speed, swap, toggle, toggleLoop, waiting, zoom,
} from "./player";
import { loudness, Meter } from "./stem-row";
import { tell, type Song } from "../songs/songs";

export function Transport({ song }: { song: Song }): JSX.Element {
  const says = words.value.player;
  const on = playing.value;
  useEffect(() => {
    if (!on) return;
    let frame = 0;
    const show = (): void => {
      place.value = engine.peek()?.place ?? place.value;
      frame = requestAnimationFrame(show);
    };
    show();
    return () => cancelAnimationFrame(frame);
  }, [on]);
  return (
    <div class="controls">
      <div class="transport" role="group" aria-label={says.label}>
        <input type="range" id="place" class="place" min="0" max={duration.value} step="0.01" value={place.value} aria-label={says.place}
          aria-valuetext={clock(place.value)} onInput={(event) => seek(event.currentTarget.valueAsNumber)} />
        <IconButton name="start" label={says.start} onClick={() => seek(0)} />
        <button type="button" class="primary round" id="play" disabled={!playable.value} aria-label={on ? says.pause : says.play} onClick={toggle}>
          <Icon name={on ? "pause" : "play"} />
        </button>
        <IconButton name="loop" label={says.loop} aria-pressed={looping.value} onClick={toggleLoop} />
        <span class="time" id="time">
          {clock(place.value)} / {clock(duration.value)}
        </span>
        <small role="status">{waiting.value && says.loading}</small>
      </div>
      <div class="tools">
        {song.preview && files.value.length > 0 && <Full />}
        <button type="button" class="quiet" aria-label={says.loopFrom} title={says.loopFrom} onClick={() => markLoop("from")}>[</button>
        <button type="button" class="quiet" aria-label={says.loopTo} title={says.loopTo} onClick={() => markLoop("to")}>]</button>
        <IconButton name="minus" label={says.zoomOut} onClick={() => zoom(2)} />
        <IconButton name="add" label={says.zoomIn} onClick={() => zoom(0.5)} />
      </div>
    </div>
  );
}

/** Chooses between the stems themselves and their previews. */
function Full(): JSX.Element {
  const says = words.value.player;
  const busy = useSignal(false);
  const act = (): void => {
    busy.value = true;
    void swap().catch(tell).finally(() => (busy.value = false));
  };
  return (
    <button type="button" id="full" class="quiet" title={says.fullNote} aria-pressed={full.value} disabled={busy.value} onClick={act}>{says.full}</button>
  );
}

/** Speed, pitch and the volume of everything. */
export function Bends(): JSX.Element {
  const says = words.value.player;
  return (
    <div class="bends">
      {!isSecureContext && <small>{says.needsHttps}</small>}
      <label class="slider">
        <span>{says.speed}</span>
        <input type="range" id="speed" min={SLOWEST} max={FASTEST} step="0.05" value={speed.value} disabled={!isSecureContext} aria-valuetext={percent(speed.value)}
          onInput={(event) => bend(event.currentTarget.valueAsNumber, semitones.value)} onDblClick={() => bend(1, semitones.value)} />
        <output>{percent(speed.value)}</output>
      </label>
      <label class="slider">
        <span>{says.pitch}</span>
        <input type="range" id="pitch" min={-OCTAVE} max={OCTAVE} step="1" value={semitones.value} disabled={!isSecureContext} aria-valuetext={says.semitones(semitones.value)}
          onInput={(event) => bend(speed.value, event.currentTarget.valueAsNumber)} onDblClick={() => bend(speed.value, 0)} />
        <output>{says.semitones(semitones.value)}</output>
      </label>
      <div class="level">
        <label class="slider">
          <span>{says.master}</span>
          <input type="range" min={SILENT} max={LOUDEST} step="0.5" value={master.value} aria-valuetext={loudness(master.value)}
            onInput={(event) => (master.value = event.currentTarget.valueAsNumber)} onDblClick={() => (master.value = 0)} />
          <output>{loudness(master.value)}</output>
        </label>
        <Meter />
      </div>
    </div>
  );
}
