/** The waveform of a stem, which seeks where it is clicked and selects a loop where it is dragged. */

import { useEffect, useRef } from "preact/hooks";
import type { JSX } from "preact";

import { getJson } from "../api/client";
import type { Peaks } from "../api/types";
import { draw } from "./peaks";
import { duration, loop, looping, place, seek, setLoop, view } from "./player";

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
  const length = duration.value;
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
  }, [url, shownView, length]);
  return (
    <div class={silent ? "lane silent" : "lane"}>
      <canvas ref={canvas} aria-hidden="true" />
      <Overlay />
    </div>
  );
}

const share = (at: number): number => (at - view.value.from) / (view.value.to - view.value.from);
const percent = (at: number): string => `${Math.min(100, Math.max(0, 100 * share(at)))}%`;

/** What lies over a waveform: the place that plays, the loop, and the pointer. */
function Overlay(): JSX.Element {
  const begun = useRef<number | null>(null);
  const at = (event: PointerEvent): number => {
    const box = (event.currentTarget as HTMLElement).getBoundingClientRect();
    return view.value.from + ((event.clientX - box.left) / box.width) * (view.value.to - view.value.from);
  };
  const selected = loop.value;
  return (
    <div
      class="overlay"
      onPointerDown={(event) => {
        event.currentTarget.setPointerCapture(event.pointerId);
        begun.current = event.clientX;
        event.currentTarget.dataset["from"] = String(at(event));
      }}
      onPointerUp={(event) => {
        const from = Number(event.currentTarget.dataset["from"]);
        if (begun.current === null) return;
        if (Math.abs(event.clientX - begun.current) < DRAG) seek(at(event));
        else setLoop({ from: Math.min(from, at(event)), to: Math.max(from, at(event)) });
        begun.current = null;
      }}
    >
      {selected && (
        <div
          class={looping.value ? "region" : "region off"}
          style={{ left: percent(selected.from), right: `${100 - Number.parseFloat(percent(selected.to))}%` }}
        />
      )}
      <Playhead />
    </div>
  );
}

function Playhead(): JSX.Element | null {
  const where = share(place.value);
  return where >= 0 && where <= 1 ? <div class="playhead" style={{ left: percent(place.value) }} /> : null;
}
