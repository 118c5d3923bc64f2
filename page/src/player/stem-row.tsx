/** One stem: its colour, name, mute, solo, volume, pan, level, waveform and file. */

import { useEffect, useRef } from "preact/hooks";
import type { JSX } from "preact";

import type { Measurements, StemFile } from "../api/types";
import { Icon } from "../look/icons";
import { saveFile } from "../songs/songs";
import { bytes, decibels, stemName, words } from "../text/language";
import { factor, LOUDEST, mixed, SILENT, written } from "./mixer";
import { engine, focused, mute, names, playing, set, solo, strips } from "./player";
import { Waveform } from "./waveform";

const ROW = ["vocals", "accompaniment", "drums", "bass", "piano", "guitar", "other"];

/** Returns the colour of a stem; others than the usual ones take the next of a fixed row. */
export const colour = (name: string, index: number): string => `var(--stem-${ROW.includes(name) ? name : `more-${index % 4}`})`;

export const loudness = (volume: number): string => (volume <= SILENT ? "−∞ dB" : decibels(volume));

type Estimate = NonNullable<Measurements["stems"]>[string]["estimated_quality"];

interface RowProps {
  readonly name: string;
  readonly file: StemFile | undefined; // once the song is done
  readonly index: number;
  readonly estimate: Estimate;
}

export function StemRow({ name, file, index, estimate }: RowProps): JSX.Element {
  const strip = strips.value[name];
  const [says, title] = [words.value.player, stemName(name)];
  if (!strip) return <></>;
  const silent = factor(strips.value, name) === 0;
  return (
    <li
      class={focused.value === name ? "stem focused" : "stem"}
      style={{ "--stem": colour(name, index) }}
      onFocusCapture={() => (focused.value = name)}
      onPointerDownCapture={() => (focused.value = name)}
    >
      <div class="strip">
        <Name title={title} />
        <div class="marks">
          <button type="button" class="mark" aria-pressed={strip.muted} aria-label={says.mute(title)} title={says.mute(title)} onClick={() => mute(name)}>
            M
          </button>
          <button
            type="button"
            class="mark"
            aria-pressed={strip.soloed}
            aria-label={says.solo(title)}
            title={says.solo(title)}
            onClick={(event) => solo(name, event.ctrlKey || event.metaKey)}
          >
            S
          </button>
        </div>
        <label class="slider">
          <input
            type="range"
            min={SILENT}
            max={LOUDEST}
            step="0.5"
            value={strip.volume}
            aria-label={says.volume(title)}
            aria-valuetext={loudness(strip.volume)}
            onInput={(event) => set(name, { volume: event.currentTarget.valueAsNumber })}
            onDblClick={() => set(name, { volume: 0 })}
          />
          <output>{loudness(strip.volume)}</output>
        </label>
        <label class="slider pan">
          <input
            type="range"
            min="-1"
            max="1"
            step="0.05"
            value={strip.pan}
            aria-label={says.pan(title)}
            aria-valuetext={says.panned(Math.round(100 * strip.pan))}
            onInput={(event) => set(name, { pan: event.currentTarget.valueAsNumber })}
            onDblClick={() => set(name, { pan: 0 })}
          />
          <output>{says.panned(Math.round(100 * strip.pan))}</output>
        </label>
        <small class="estimate">{estimate && says.estimate[estimate]}</small>
      </div>
      <Waveform url={file?.peaks_url ?? null} silent={silent} />
      <Meter track={name} />
      <div class="file">{file && <Download file={file} title={title} />}</div>
    </li>
  );
}

/** A mix that was ordered with the stems: they play it when it is chosen. */
export function MixRow({ file, index, sum }: { file: StemFile; index: number; sum: string }): JSX.Element {
  const [says, title, wanted] = [words.value.player, stemName(file.name), mixed(sum, names.value)];
  return (
    <li class="stem" style={{ "--stem": colour(file.name, index) }}>
      <div class="strip">
        <Name title={title} />
        {wanted && (
          <div class="marks">
            <button type="button" class="mark" aria-pressed={written(strips.value) === written(wanted)} aria-label={says.listen(title)} title={says.listen(title)}
              onClick={() => (strips.value = wanted)}>
              <Icon name="listen" />
            </button>
          </div>
        )}
      </div>
      <Waveform url={file.peaks_url} silent={false} />
      <div class="file"><Download file={file} title={title} /></div>
    </li>
  );
}

const Name = ({ title }: { title: string }): JSX.Element => (
  <h3>
    <span class="swatch" aria-hidden="true" />
    {title}
  </h3>
);

function Download({ file, title }: { file: StemFile; title: string }): JSX.Element {
  const says = words.value.player.download(title);
  return (
    <button type="button" class="quiet" title={says} onClick={() => saveFile(file.url)}>
      <Icon name="download" />
      <span class="hidden">{says}</span>
      <small>{bytes(file.size)}</small>
    </button>
  );
}

/** The level of a stem, or of everything, drawn with each frame while it plays. */
export function Meter({ track }: { track?: string }): JSX.Element {
  const bar = useRef<HTMLDivElement>(null);
  const running = playing.value;
  useEffect(() => {
    if (!running) return;
    let frame = 0;
    let held = 0;
    const show = (): void => {
      held = Math.max(engine.peek()?.level(track) ?? 0, 0.9 * held);
      const height = held <= 0.001 ? 0 : 1 + Math.log10(Math.min(1, held)) / 3;
      bar.current?.style.setProperty("transform", `scaleY(${height.toFixed(3)})`);
      bar.current?.classList.toggle("over", held >= 1);
      frame = requestAnimationFrame(show);
    };
    show();
    return () => {
      cancelAnimationFrame(frame);
      bar.current?.style.removeProperty("transform");
    };
  }, [running, track]);
  return (
    <div class="meter" aria-hidden="true">
      <div ref={bar} />
    </div>
  );
}
