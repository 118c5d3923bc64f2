/** The list of songs: those being sent, then the key's separations; only the rows in sight exist. */

import { useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import type { JSX } from "preact";

import { IconButton } from "../look/icons";
import { ago, duration, when, words } from "../text/language";
import { UploadRow } from "../upload/upload-row";
import { uploads } from "../upload/uploads";
import { filter, isWhole, places, search, sort, SORTS, total, type Filter, type Sort } from "./listing";
import { again, byId, isOpen, remove, removeAll, selected, show, tell, type Song } from "./songs";
import { windowOf } from "./window";
import { Bar, clock, joined, stateOf } from "./work";

const ROW = 64; // pixels
const MANY = 5; // songs that are found without search
const PAUSE = 200; // milliseconds without typing before the service searches

export function SongList(): JSX.Element {
  const says = words.value.songs;
  const box = useRef<HTMLDivElement>(null);
  const scrolled = useSignal({ top: 0, height: 640 });
  const look = (): void => {
    const element = box.current;
    if (element) scrolled.value = { top: element.scrollTop, height: element.clientHeight };
  };
  const count = total.value ?? 0;
  const { first, after } = windowOf(count, ROW, scrolled.value.top, scrolled.value.height);
  useEffect(look, [count > 0]);
  useEffect(() => show(first, after), [first, after]);
  const whole = isWhole();
  const chosen = `${search.value.trim()}\n${filter.value}\n${sort.value}`;
  const last = useRef(chosen);
  useEffect(() => {
    if (chosen === last.current) return undefined;
    const timer = setTimeout(() => {
      last.current = chosen;
      box.current?.scrollTo(0, 0);
      again();
    }, PAUSE);
    return () => clearTimeout(timer);
  }, [chosen]);
  return (
    <section class="songs" aria-labelledby="songs-title">
      <header>
        <h2 id="songs-title">{says.title}</h2>
        <small role="status">{(count > 0 || !whole) && says.found(count)}</small>
        {count > 1 && whole && (
          <button type="button" class="quiet" onClick={() => void removeAll().catch(tell)}>{says.deleteAll}</button>
        )}
      </header>
      {(count > MANY || !whole || sort.value !== "-created_at") && <Find />}
      {uploads.value.length > 0 && (
        <>
          <ul class="uploads">{uploads.value.map((upload) => <UploadRow key={upload.id} upload={upload} />)}</ul>
          {uploads.value.some(({ state }) => state !== "failed" && state !== "refused") && <small>{words.value.work.leaveSending}</small>}
        </>
      )}
      {total.value === 0 && uploads.value.length === 0 && (
        <p class="empty">
          {whole ? says.none : says.nothing}
          {!whole && <button type="button" onClick={reset}>{says.reset}</button>}
        </p>
      )}
      <div class="scroll" ref={box} onScroll={look}>
        <ul style={{ height: `${count * ROW}px` }} aria-busy={total.value === null}>
          {Array.from({ length: after - first }, (_, k) => (
            <SongRow key={first + k} place={first + k} count={count} />
          ))}
        </ul>
      </div>
    </section>
  );
}

function reset(): void {
  [search.value, filter.value] = ["", "any"];
}

/** Search, filter and order, which the service carries out. */
function Find(): JSX.Element {
  const says = words.value.songs;
  return (
    <div class="find" role="search">
      <input type="search" aria-label={says.search} placeholder={says.search} maxLength={255} value={search.value} onInput={(event) => (search.value = event.currentTarget.value)} />
      <select id="filter" aria-label={says.filter} value={filter.value} onChange={(event) => (filter.value = event.currentTarget.value as Filter)}>
        {Object.entries(says.filters).map(([name, text]) => <option key={name} value={name}>{text}</option>)}
      </select>
      <select id="order" aria-label={says.sort} value={sort.value} onChange={(event) => (sort.value = event.currentTarget.value as Sort)}>
        {SORTS.map((name) => <option key={name} value={name}>{says.sorts[name]}</option>)}
      </select>
    </div>
  );
}

/** Returns how many stems a song has, and when it came. */
const facts = (song: Song): string[] => [
  song.stems.length > 0 ? words.value.bring.stems(song.stems.length) : "",
  song.model_quality === "approximate" ? words.value.songs.approximate : "",
  ago(song.created_at, clock.value),
];

function SongRow({ place, count }: { place: number; count: number }): JSX.Element {
  const song = byId.value.get(places.value.get(place) ?? "");
  const style = { top: `${place * ROW}px` };
  const position = { "aria-setsize": count, "aria-posinset": place + 1 };
  if (!song) return <li class="row" style={style} {...position} aria-label={words.value.songs.loading} />;
  const [says, text] = [words.value, stateOf(song)];
  return (
    <li style={style} {...position} class={selected.value === song.id ? "row selected" : "row"} data-state={song.state}>
      <button type="button" class="pick" aria-current={selected.value === song.id} onClick={() => (selected.value = song.id)}>
        <strong title={song.input.name}>{song.input.name}</strong>
        <span class="status" title={joined(when(song.created_at, clock.value), song.model ?? "")}>
          <span>
            {text}
            {song.warnings.length > 0 && <span class="noted"> · {says.songs.noticed(song.warnings.length)}</span>}
            {!isOpen(song) && song.state !== "failed" && ` · ${joined(...facts(song))}`}
          </span>
          {song.expires_at && song.state !== "failed" && <span class="rest">{says.songs.rest(duration((Date.parse(song.expires_at) - clock.value) / 1000, "short"))}</span>}
        </span>
        {isOpen(song) && <Bar sent={1} done={song.progress} label={text} />}
      </button>
      <IconButton name={isOpen(song) ? "close" : "delete"} label={isOpen(song) ? says.work.cancel : says.songs.delete(song.input.name)} onClick={() => remove([song])} />
    </li>
  );
}
