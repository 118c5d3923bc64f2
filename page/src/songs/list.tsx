/** The list of songs: those being sent, then the key's separations; only the rows in sight exist. */

import { signal, useComputed, useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import type { JSX } from "preact";

import { IconButton } from "../look/icons";
import { ago, duration, language, percent, when, words } from "../text/language";
import { cancel, pause, resume, uploads, type Upload } from "../upload/uploads";
import { connected, isOpen, remove, selected, songs, type Song } from "./songs";
import { windowOf } from "./window";
import { clock, Details, joined, stateOf } from "./work";

const ROW = 64; // pixels
const MANY = 5; // songs that are found without search
const search = signal("");
const order = signal<"newest" | "name">("newest");

export function SongList(): JSX.Element {
  const says = words.value.songs;
  const found = useComputed(() => {
    const text = search.value.trim().toLowerCase();
    const fitting = text ? songs.value.filter((song) => song.input.name.toLowerCase().includes(text)) : songs.value;
    const { compare } = new Intl.Collator(language.value, { numeric: true });
    return order.value === "name" ? fitting.toSorted((a, b) => compare(a.input.name, b.input.name)) : fitting;
  });
  const box = useRef<HTMLDivElement>(null);
  const scrolled = useSignal({ top: 0, height: 640 });
  const look = (): void => {
    const element = box.current;
    if (element) scrolled.value = { top: element.scrollTop, height: element.clientHeight };
  };
  useEffect(look, [songs.value.length > 0]);
  const part = windowOf(found.value.length, ROW, scrolled.value.top, scrolled.value.height);
  return (
    <section class="songs" aria-labelledby="songs-title">
      <header>
        <h2 id="songs-title">{says.title}</h2>
        <small>{songs.value.length > 0 && says.found(found.value.length)}</small>
        {songs.value.length > 1 && (
          <button type="button" class="quiet" onClick={() => remove(songs.value)}>{says.deleteAll}</button>
        )}
      </header>
      {songs.value.length > MANY && (
        <div class="find">
          <input type="search" aria-label={says.search} placeholder={says.search} value={search.value} onInput={(event) => (search.value = event.currentTarget.value)} />
          <select id="order" aria-label={says.sort} value={order.value} onChange={(event) => (order.value = event.currentTarget.value as "newest" | "name")}>
            <option value="newest">{says.newest}</option>
            <option value="name">{says.byName}</option>
          </select>
        </div>
      )}
      {!connected.value && songs.value.some(isOpen) && <p class="notice" role="status">{words.value.work.lost}</p>}
      {uploads.value.length > 0 && (
        <ul class="uploads">{uploads.value.map((upload) => <UploadRow key={upload.id} upload={upload} />)}</ul>
      )}
      {songs.value.length === 0 && uploads.value.length === 0 && <p class="empty">{says.none}</p>}
      <div class="scroll" ref={box} onScroll={look}>
        <ul style={{ height: `${found.value.length * ROW}px` }}>
          {found.value.slice(part.first, part.after).map((song, k) => (
            <SongRow key={song.id} song={song} top={(part.first + k) * ROW} />
          ))}
        </ul>
      </div>
    </section>
  );
}

/** Returns how many stems a song has, when it came, and how long it is still kept. */
const facts = (song: Song): string[] => [
  song.stems.length > 0 ? words.value.bring.stems(song.stems.length) : "",
  ago(song.created_at, clock.value),
  song.expires_at ? words.value.songs.rest(duration((Date.parse(song.expires_at) - clock.value) / 1000, "short")) : "",
];

function SongRow({ song, top }: { song: Song; top: number }): JSX.Element {
  const [says, text] = [words.value, stateOf(song)];
  return (
    <li style={{ top: `${top}px` }} class={selected.value === song.id ? "row selected" : "row"} data-state={song.state}>
      <button type="button" class="pick" aria-current={selected.value === song.id} onClick={() => (selected.value = song.id)}>
        <strong>{song.input.name}</strong>
        <span class="status" title={when(song.created_at, clock.value)}>{isOpen(song) || song.state === "failed" ? text : joined(text, ...facts(song))}</span>
        {isOpen(song) && <progress max="1" value={song.state === "queued" ? undefined : song.progress} aria-label={text} />}
      </button>
      <IconButton name={isOpen(song) ? "close" : "delete"} label={isOpen(song) ? says.work.cancel : says.songs.delete(song.input.name)} onClick={() => remove([song])} />
    </li>
  );
}

function UploadRow({ upload }: { upload: Upload }): JSX.Element {
  const says = words.value.work;
  const texts = {
    waiting: says.waitingToSend,
    sending: says.sending(percent(upload.share)),
    paused: says.paused,
    offline: says.offline,
    held: says.held(upload.problem ?? ""),
    checking: says.checking,
    failed: upload.problem ?? says.failed,
  };
  return (
    <li class="row upload" data-state={upload.state}>
      <div class="pick">
        <strong>{upload.file.name}</strong>
        <span class="status" role="status">{texts[upload.state]}</span>
        {upload.state !== "failed" && <progress max="1" value={upload.share} aria-label={texts[upload.state]} />}
        {upload.details && <Details about={upload.details} />}
      </div>
      {upload.state === "sending" && <IconButton name="pause" label={says.pause} onClick={() => pause(upload.id)} />}
      {["paused", "failed", "offline", "held"].includes(upload.state) && (
        <button type="button" class="quiet" onClick={() => resume(upload.id)}>{upload.state === "failed" ? says.retry : says.resume}</button>
      )}
      <IconButton name="close" label={says.cancel} onClick={() => cancel(upload.id)} />
    </li>
  );
}
