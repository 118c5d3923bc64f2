/** The selected song: its stems on one time axis, and everything that can be done with them. */

import { useSignal } from "@preact/signals";
import { useEffect, useState } from "preact/hooks";
import type { JSX } from "preact";

import { getJson } from "../api/client";
import type { Measurements, Separation, StemFile } from "../api/types";
import { models } from "../bring/service";
import { Icon } from "../look/icons";
import { isOpen, put, remove, saveFile, startsWith, tell, type Song } from "../songs/songs";
import { Progress, Whole } from "../songs/work";
import { bytes, clock, percent, stemName, until, words } from "../text/language";
import { announce } from "./media-session";
import { expression, isCentred } from "./mixer";
import { begin, duration, names, playable, stemsOf, strips, toggle, view } from "./player";
import { described, saveMix, saveMixOfService } from "./save-mix";
import { isWav } from "./stem-file";
import { MixRow, StemRow } from "./stem-row";
import { Bends, Transport } from "./transport";
import { Handle, Overlay } from "./waveform";

export function SongView({ song }: { song: Song }): JSX.Element {
  const says = words.value.player;
  useEffect(() => begin(song), [song.id, stemsOf(song).join()]);
  useEffect(() => {
    if (!playable.value || startsWith.value !== song.id) return;
    startsWith.value = null;
    toggle();
  }, [song.id, playable.value]);
  useEffect(() => announce(song.input.name), [song.id]);
  useEffect(() => {
    if (song.measurements === undefined) void getJson<Separation>(song.url).then(put, () => undefined);
  }, [song.id, song.measurements]);
  const measured = song.measurements as Measurements | null | undefined;
  const files = [...song.stems, ...song.mixes];
  const size = files.reduce((sum, stem) => sum + stem.size, 0);
  return (
    <section class="song" aria-labelledby="song-title">
      <header>
        <h2 id="song-title" tabIndex={-1}>{song.input.name}</h2>
        <p class="facts">
          <span>{clock(duration.value)}</span>
          <ModelNote song={song} />
          {song.expires_at && <span>{says.keptUntil(...until(song.expires_at, Date.now()))}</span>}
        </p>
        <Labels song={song} />
        {isOpen(song) && <Progress song={song} />}
      </header>
      <Notices song={song} anomalies={measured?.anomalies ?? []} />
      {!playable.value && song.state === "succeeded" && <p class="notice">{says.noPreview}</p>}
      <div class="axis">
        <Ruler />
        <ol class="stems">
          {names.value.map((name, index) => (
            <StemRow key={name} name={name} file={files.find((file) => file.name === name)} index={index} estimate={measured?.stems?.[name]?.estimated_quality} />
          ))}
          {song.mixes.filter((mix) => !isFilm(mix) && !names.value.includes(mix.name)).map((mix, index) => (
            <MixRow key={mix.name} file={mix} index={names.value.length + index} sum={song.options.mixes[mix.name] ?? ""} />
          ))}
        </ol>
        <Films files={song.mixes.filter(isFilm)} />
      </div>
      <Transport song={song} />
      <Bends />
      <p class="actions">
        <Whole song={song} />
        <SaveMix song={song} />
        {song.archive_url !== null && (
          <button type="button" id="archive" onClick={() => saveFile(song.archive_url ?? "")}>
            <Icon name="download" /> {says.all(bytes(size))}
          </button>
        )}
        <button type="button" id="delete" class="quiet" onClick={() => remove([song])}>
          <Icon name="delete" /> {says.delete}
        </button>
      </p>
    </section>
  );
}

const isFilm = (file: StemFile): boolean => file.media_type.startsWith("video/");

/** Films with a stem or a mix as their sound, to download. */
function Films({ files }: { files: readonly StemFile[] }): JSX.Element | null {
  const says = words.value.player;
  if (files.length === 0) return null;
  return (
    <ul class="mixes">
      {files.map((file) => (
        <li key={file.name}>
          <button type="button" onClick={() => saveFile(file.url)}>
            <Icon name="download" /> {says.download(stemName(file.name))} <small>{bytes(file.size)}</small>
          </button>
        </li>
      ))}
    </ul>
  );
}

function SaveMix({ song }: { song: Song }): JSX.Element {
  const says = words.value.player;
  const share = useSignal<number | null>(null);
  const sum = expression(strips.value);
  const here = song.stems.length > 0 && song.stems.every(isWav);
  const reason = refusedMix(song, sum, here);
  const act = async (): Promise<void> => {
    const title = song.input.name.replace(/\.[^.]+$/, "");
    share.value = 0;
    try {
      const name = `${title} – ${described(strips.value, stemName, says.without, says.mix)}`;
      const progress = (done: number): void => void (share.value = done);
      if (here) await saveMix(song.stems, strips.value, `${name}.wav`, progress);
      else await saveMixOfService(song, sum ?? "", name, progress);
    } catch (error) {
      tell(error);
    } finally {
      share.value = null;
    }
  };
  return (
    <button type="button" id="save-mix" class="primary" disabled={isOpen(song) || reason !== "" || share.value !== null} title={isOpen(song) ? "" : reason} onClick={() => void act()}>
      <Icon name="download" /> {share.value === null ? says.save : says.saving(percent(share.value))}
    </button>
  );
}

/** Returns why what is heard cannot be saved, or nothing. */
function refusedMix(song: Song, sum: string | null, here: boolean): string {
  const says = words.value.player;
  if (sum === null) return says.nothing;
  if (here) return "";
  if (song.stems.length === 0 || song.options.codec === "stem.mp4") return says.rows; // there are no stems to mix
  return isCentred(strips.value) ? "" : says.offCentre;
}

function ModelNote({ song }: { song: Song }): JSX.Element | null {
  const says = words.value;
  if (!song.model) return null;
  const licence = models.value.find((model) => model.name === song.model)?.licence ?? "";
  return <span id="model">{says.player.model(song.model, licence)}</span>;
}

function Labels({ song }: { song: Song }): JSX.Element | null {
  const says = words.value;
  if (song.model_quality !== "approximate" && !song.experimental) return null;
  return (
    <p class="labels">
      {song.model_quality === "approximate" && <span class="label">{says.bring.approximate}</span>}
      {song.experimental && <span class="label">{says.player.experimental}</span>}
    </p>
  );
}

/** What the service noticed about the file and its stems, in the page's words. */
function Notices({ song, anomalies }: { song: Song; anomalies: readonly string[] }): JSX.Element | null {
  const says = words.value.player;
  if (song.warnings.length + anomalies.length === 0) return null;
  return (
    <ul class="notice" id="warnings">
      {anomalies.length > 0 && <li>{says.unusual(anomalies.map(anomaly).join(says.separator))}</li>}
      {song.warnings.map(({ code, message, position }) => {
        const text = says.warnings[code] ?? message;
        return <li key={`${code}${position}`} title={message}>{position > 0 ? says.at(clock(position), text) : text}</li>;
      })}
    </ul>
  );
}

/** Returns an anomaly of the API, "bass: the stem equals the mix", in the page's words. */
function anomaly(found: string): string {
  const [, name, text = ""] = /^(?:(\w+): )?(.*)$/s.exec(found) ?? [];
  const said = words.value.player.anomalies[text] ?? text;
  return name ? words.value.player.of(stemName(name), said) : said;
}

const STEPS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600]; // seconds between marks

/** The marks of time, and the ends of the loop, which can be moved. */
function Ruler(): JSX.Element {
  const [marks, setMarks] = useState<number[]>([]);
  const { from, to } = view.value;
  useEffect(() => {
    const step = STEPS.find((one) => (to - from) / one <= 7) ?? 1200;
    const first = Math.ceil(from / step) * step;
    setMarks(Array.from({ length: Math.ceil((to - first) / step) }, (_, k) => first + k * step));
  }, [from, to]);
  return (
    <div class="ruler lane">
      {marks.map((mark) => (
        <span key={mark} aria-hidden="true" style={{ left: `${(100 * (mark - from)) / (to - from)}%` }}>{clock(mark)}</span>
      ))}
      <Overlay />
      <Handle end="from" />
      <Handle end="to" />
    </div>
  );
}
