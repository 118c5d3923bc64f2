/** The page: bring a song, wait a moment, play with it. */

import { useSignal } from "@preact/signals";
import { createRef } from "preact";
import { useEffect } from "preact/hooks";
import type { JSX } from "preact";

import { forgetKey, hasKey, keepKey, refused, waits } from "./api/client";
import { Bring } from "./bring/bring";
import { health, state } from "./bring/service";
import { Icon, IconButton } from "./look/icons";
import { theme, THEMES, type Theme } from "./look/theme";
import { press } from "./player/keyboard";
import { stemsOf } from "./player/player";
import { SongView } from "./player/song-view";
import { SongList } from "./songs/list";
import { connected, deleted, failure, isOpen, shown, songs, undo } from "./songs/songs";
import { Work } from "./songs/work";
import { choose, duration, language, LANGUAGES, percent, words, type Language } from "./text/language";
import { uploads } from "./upload/uploads";

const help = createRef<HTMLDialogElement>();

function showHelp(): void {
  if (help.current?.open === false) help.current.showModal();
}

export function App(): JSX.Element {
  useEffect(() => {
    const key = (event: KeyboardEvent): void => {
      const undoes = deleted.value && event.key === "z" && (event.ctrlKey || event.metaKey) && !(event.target as Element).matches("input");
      if (undoes) undo();
      if (undoes || press(event, showHelp)) event.preventDefault();
    };
    addEventListener("keydown", key);
    return () => removeEventListener("keydown", key);
  }, []);
  useEffect(() => {
    const worked = [shown.value, ...songs.value].find((one) => one?.state === "running");
    const share = worked ? worked.progress : uploads.value.find(({ state }) => state === "sending")?.share;
    document.title = share === undefined ? words.value.title : `${percent(share)} · ${words.value.title}`;
  }, [shown.value, songs.value, uploads.value, language.value]);
  const song = shown.value;
  const warnings = health.value?.warnings ?? [];
  return (
    <>
      <Header />
      {warnings.length > 0 && <p class="notice" id="unsafe" role="status">{words.value.unsafe(warnings.join(" "))}</p>}
      <Waits />
      {failure.value && hasKey.value && (
        <p class="notice bad" id="problem" role="alert">
          {failure.value.text}
          <IconButton name="close" label={words.value.help.close} onClick={() => (failure.value = null)} />
        </p>
      )}
      {hasKey.value ? (
        <main class={song ? "with-song" : ""}>
          <div class="left">
            <Bring small={song !== null} />
            <SongList />
          </div>
          {song && (stemsOf(song).length > 0 ? <SongView song={song} /> : <Work song={song} />)}
        </main>
      ) : (
        <main><KeyForm /></main>
      )}
      {deleted.value && (
        <p class="toast" role="status" title={words.value.songs.undoNote}>
          {deleted.value.until ? words.value.songs.deletedAll : words.value.songs.deleted} <button type="button" aria-keyshortcuts="Control+Z" onClick={undo}>{words.value.songs.undo}</button>
        </p>
      )}
      <Help />
    </>
  );
}

function Header(): JSX.Element {
  const says = words.value;
  return (
    <header class="top">
      <h1>{says.title}</h1>
      <p class="tagline">{says.tagline}</p>
      <p class="service" data-state={state.value} role="status"><span class="dot" aria-hidden="true" /> {says.state[state.value]}</p>
      <label>
        <span class="hidden">{says.language}</span>
        <select id="language" value={language.value} onChange={(event) => choose(event.currentTarget.value as Language)}>
          {Object.entries(LANGUAGES).map(([name, { name: title }]) => <option key={name} value={name} lang={name}>{title}</option>)}
        </select>
      </label>
      <label>
        <span class="hidden">{says.theme.label}</span>
        <select id="theme" value={theme.value} onChange={(event) => (theme.value = event.currentTarget.value as Theme)}>
          {THEMES.map((name) => <option key={name} value={name}>{says.theme[name]}</option>)}
        </select>
      </label>
      <IconButton name="help" label={says.help.title} onClick={showHelp} />
      {hasKey.value && <IconButton name="key" label={says.key.change} onClick={forgetKey} />}
    </header>
  );
}

/** What the page waits for before it goes on by itself. */
function Waits(): JSX.Element | null {
  const says = words.value.waits;
  const now = useSignal(Date.now());
  const last = waits.value.at(-1);
  const lost = waits.value.some((one) => one.status === 0);
  useEffect(() => {
    if (!last) return undefined;
    const timer = setInterval(() => (now.value = Date.now()), 1000);
    return () => clearInterval(timer);
  }, [last === undefined]);
  if (!connected.value && songs.value.some(isOpen)) return <p class="notice" id="waits" role="status">{words.value.work.lost}</p>;
  if (!last) return null;
  const left = Math.ceil(last.wait - (Math.max(now.value, last.at) - last.at) / 1000);
  return (
    <p class="notice" id="waits" role="status">
      {lost ? says.lost : last.status === 429 ? says.busy : says.away} {left > 1 && <span aria-hidden="true">{says.left(duration(left))}</span>}
    </p>
  );
}

function KeyForm(): JSX.Element {
  const says = words.value.key;
  const [text, remember] = [useSignal(""), useSignal(false)];
  return (
    <form
      class="key"
      onSubmit={(event) => {
        event.preventDefault();
        if (text.value.trim()) keepKey(text.value.trim(), remember.value);
      }}
    >
      {refused.value !== null && <p class="notice bad" id="problem" role="alert">{says.refused[refused.value] ?? says.wrong}</p>}
      <label for="key"><h2>{says.ask}</h2></label>
      <p>{says.why}</p>
      <input id="key" type="password" autocomplete="off" spellcheck={false} value={text.value} onInput={(event) => (text.value = event.currentTarget.value)} />
      <label class="check">
        <input type="checkbox" checked={remember.value} onChange={(event) => (remember.value = event.currentTarget.checked)} /> {says.remember}
      </label>
      <small>{!remember.value && says.forgotten}</small>
      <button type="submit" class="primary"><Icon name="key" /> {says.use}</button>
    </form>
  );
}

function Help(): JSX.Element {
  const says = words.value.help;
  return (
    <dialog ref={help} aria-labelledby="help-title">
      <h2 id="help-title">{says.title}</h2>
      <dl>{says.keys.map(([keys, meaning]) => <div key={keys}><dt>{keys}</dt><dd>{meaning}</dd></div>)}</dl>
      <button type="button" onClick={() => help.current?.close()}>{says.close}</button>
    </dialog>
  );
}
