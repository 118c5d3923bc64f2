/** The waveform of a stem, which seeks where it is clicked and selects a loop where it is dragged. */

import { signal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import type { JSX } from "preact";

import { getJson } from "../api/client";
import type { Peaks } from "../api/types";
import { dark } from "../look/theme";
import { clock, words } from "../text/language";
import { clamp } from "./mixer";
import { draw } from "./peaks";
import { duration, loop, looping, place, seek, setLoop, view } from "./player";
import type { Loop } from "./timeline";

const DRAG = 5; // pixels, from which on a click is a selection

const fetched = new Map<string, Promise<Peaks>>();

function peaksOf(url: string): Promise<Peaks> {
  const found = fetched.get(url) ?? getJson<Peaks>(url);
  fetched.set(url, found);
  found.catch(() => fetched.delete(url)); // the waveform is optional, and tried again
  return found;
}

export function Waveform({ url, silent }: { url: string | null; silent: boolean }): JSX.Element {
  const canvas = useRef<HTMLCanvasElement>(null);
  const shownView = view.value;
  const [length, isDark] = [duration.value, dark.value];
  useEffect(() => {
    const element = canvas.current;
    if (!element || !url) return;
    let wanted = true;
    const show = (): void => void peaksOf(url).then((peaks) => wanted && draw(element, peaks, length, shownView), () => undefined);
    const sizes = new ResizeObserver(show);
    sizes.observe(element);
    show();
    return () => {
      wanted = false;
      sizes.disconnect();
    };
  }, [url, shownView, length, isDark]);
  return (
    <div class={silent ? "lane silent" : "lane"}>
      <canvas ref={canvas} aria-hidden="true" />
      <Overlay />
    </div>
  );
}

const share = (at: number): number => (at - view.value.from) / (view.value.to - view.value.from);
const percent = (at: number): string => `${100 * clamp(share(at), 0, 1)}%`;

/** What the pointer selects, until it is released. */
const selecting = signal<Loop | null>(null);

/** Follows a pointer: calls `move` with each place of the song that it comes to, and `drop` with the last; both with the first. */
function follow(event: PointerEvent, move: (at: number, begun: number) => void, drop: (at: number, begun: number, moved: boolean) => void): void {
  const element = event.currentTarget as HTMLElement;
  const { left, width } = (element.closest(".lane") ?? element).getBoundingClientRect();
  const { from, to } = view.value;
  const at = ({ clientX }: PointerEvent): number => clamp(from + ((clientX - left) / width) * (to - from), 0, duration.value);
  const stop = new AbortController();
  const listen = (type: "pointermove" | "pointerup" | "pointercancel", act: (event: PointerEvent) => void): void =>
    element.addEventListener(type, act, { signal: stop.signal });
  const end = (): void => {
    stop.abort();
    selecting.value = null;
  };
  let moved = false;
  element.setPointerCapture(event.pointerId);
  listen("pointermove", (now) => {
    moved ||= Math.abs(now.clientX - event.clientX) >= DRAG;
    if (moved) move(at(now), at(event));
  });
  listen("pointerup", (now) => {
    end();
    drop(at(now), at(event), moved);
  });
  listen("pointercancel", end);
}

/** What lies over a waveform: the place that plays, and the loop. A click seeks, and a drag selects a loop. */
export function Overlay(): JSX.Element {
  const region = selecting.value ?? loop.value;
  const between = (one: number, other: number): Loop => ({ from: Math.min(one, other), to: Math.max(one, other) });
  const press = (event: PointerEvent): void =>
    follow(event, (at, begun) => (selecting.value = between(begun, at)), (at, begun, moved) => (moved ? setLoop(between(begun, at)) : seek(at)));
  return (
    <div class="overlay" onPointerDown={press}>
      {region && <div class={looping.value || selecting.value ? "region" : "region off"} style={{ left: percent(region.from), right: `${100 * (1 - clamp(share(region.to), 0, 1))}%` }} />}
      <Playhead />
    </div>
  );
}

function Playhead(): JSX.Element | null {
  const where = share(place.value);
  return where >= 0 && where <= 1 ? <div class="playhead" style={{ left: percent(place.value) }} /> : null;
}

const NUDGE = 0.1; // seconds

/** An end of the loop, to be moved by the pointer or the arrow keys. */
export function Handle({ end }: { end: "from" | "to" }): JSX.Element | null {
  const says = words.value.player;
  const shown = selecting.value ?? loop.value;
  if (!shown || share(shown[end]) < 0 || share(shown[end]) > 1) return null;
  const moved = (at: number): Loop => {
    const { from, to } = loop.value ?? shown;
    return end === "from" ? { from: clamp(at, 0, to - NUDGE), to } : { from, to: clamp(at, from + NUDGE, duration.value) };
  };
  return (
    <div
      role="slider"
      tabIndex={0}
      class={`handle ${end}`}
      style={{ left: percent(shown[end]) }}
      aria-label={end === "from" ? says.loopFrom : says.loopTo}
      aria-valuemin={0}
      aria-valuemax={duration.value}
      aria-valuenow={shown[end]}
      aria-valuetext={clock(shown[end])}
      onPointerDown={(event) => follow(event, (at) => (selecting.value = moved(at)), (at, _, far) => far && setLoop(moved(at)))}
      onKeyDown={(event) => {
        const step = { ArrowLeft: -NUDGE, ArrowDown: -NUDGE, ArrowRight: NUDGE, ArrowUp: NUDGE }[event.key];
        if (step === undefined) return;
        event.preventDefault();
        setLoop(moved(shown[end] + step));
      }}
    />
  );
}
