/** What the service is doing with a song, in words, and the view of a song that has no stems. */

import { signal, useSignal } from "@preact/signals";
import type { JSX } from "preact";

import { Icon, type IconName } from "../look/icons";
import { duration, percent, words } from "../text/language";
import { separateWhole, tryAgain } from "../upload/uploads";
import { isOpen, remove, tell, type Song } from "./songs";

export const clock = signal(Date.now());
setInterval(() => (clock.value = Date.now()), 20_000);

/** Returns what a separation is doing, in words. */
export function stateOf(song: Song): string {
  const says = words.value.work;
  switch (song.state) {
    case "queued":
      return song.waiting ? says.waitingFor : joined(says.queued((song.queue?.position ?? 1) - 1), left(song.queue?.estimated_seconds ?? null));
    case "running":
      return joined(says.separating(percent(song.progress)), left(rest(song)));
    case "succeeded":
      return says.ready;
    case "failed":
      return song.error ? words.value.problem.told(song.error.type, song.error.message) : says.failed;
    case "cancelled":
      return says.cancelled;
    default:
      return says.erasing;
  }
}

export const joined = (...texts: string[]): string => texts.filter(Boolean).join(" · ");

export const left = (seconds: number | null): string => (seconds === null ? "" : words.value.work.left(duration(seconds)));

/** Returns the seconds left by the rate so far, once there is one. */
function rest(song: Song): number | null {
  const seconds = song.started_at ? (clock.value - Date.parse(song.started_at)) / 1000 : 0;
  return song.progress < 0.1 || seconds < 2 ? null : (seconds * (1 - song.progress)) / song.progress;
}

/** One bar for all of the way of a song: its first part fills while it is sent, the rest while it is separated. */
export const Bar = ({ sent, done, label }: { sent: number; done: number; label: string }): JSX.Element => (
  <div class="bar">
    <progress max="1" value={sent} aria-hidden="true" />
    <progress max="1" value={done} aria-hidden="true" />
    <progress class="hidden" max="3" value={sent + 2 * done} aria-label={label} />
  </div>
);

/** How far a song is, and what its owner can do meanwhile. */
export function Progress({ song }: { song: Song }): JSX.Element {
  const [says, text] = [words.value.work, stateOf(song)];
  return (
    <div class="progress">
      <p role="status">{text}</p>
      <Bar sent={1} done={song.progress} label={text} />
      <p>
        <small>{says.leave}</small> <Notify />
      </p>
    </div>
  );
}

/** Asks the browser for the permission to tell when songs are done, unless it was asked already. */
function Notify(): JSX.Element | null {
  const asked = useSignal(!("Notification" in window) || Notification.permission !== "default");
  if (asked.value) return null;
  return (
    <button type="button" id="notify" class="quiet" onClick={() => void Notification.requestPermission().then(() => (asked.value = true))}>
      <Icon name="bell" /> {words.value.work.notify}
    </button>
  );
}

/** A song without stems: it waits, is worked on, has failed or is cancelled. */
export function Work({ song }: { song: Song }): JSX.Element {
  const says = words.value;
  return (
    <section class="song work" aria-labelledby="work-title">
      <h2 id="work-title">{song.input.name}</h2>
      {isOpen(song) ? <Progress song={song} /> : <p class={song.state === "failed" ? "notice bad" : ""}>{stateOf(song)}</p>}
      {song.state === "failed" && <p>{says.work.again}</p>}
      {song.error && <Details about={{ id: song.id, ...song.error }} />}
      <p class="actions">
        {song.state === "failed" && <Action id="again" icon="again" label={says.work.retry} act={() => tryAgain(song)} />}
        <button type="button" class="quiet" onClick={() => remove([song])}>
          <Icon name={isOpen(song) ? "close" : "delete"} /> {isOpen(song) ? says.work.cancel : says.player.delete}
        </button>
      </p>
    </section>
  );
}

/** Separates more of a song that was only tried. */
export const Whole = ({ song }: { song: Song }): JSX.Element | null =>
  song.state === "succeeded" && song.options.duration !== null ? (
    <Action id="whole" icon="again" label={words.value.work.whole} act={() => separateWhole(song)} />
  ) : null;

/** A button for what takes a moment and may fail. */
export function Action({ id, icon, label, act, quiet = false }: { id: string; icon: IconName; label: string; act: () => Promise<unknown>; quiet?: boolean }): JSX.Element {
  const busy = useSignal(false);
  const go = (): void => {
    busy.value = true;
    void act().catch(tell).finally(() => (busy.value = false));
  };
  return (
    <button type="button" id={id} class={quiet ? "quiet" : ""} disabled={busy.value} onClick={go}>
      <Icon name={icon} /> {label}
    </button>
  );
}

/** What whoever runs the service needs to know about a failure. */
export function Details({ about }: { about: object }): JSX.Element {
  const says = words.value.work;
  const copied = useSignal(false);
  const text = JSON.stringify(about, null, 1);
  return (
    <details>
      <summary>{says.details}</summary>
      <pre>{text}</pre>
      <button type="button" onClick={() => void navigator.clipboard.writeText(text).then(() => (copied.value = true))}>
        {copied.value ? says.copied : says.copy}
      </button>
    </details>
  );
}
