/** Where songs come in: the drop zone, an address, and the choices about them. */

import { useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import type { JSX } from "preact";

import { hasKey } from "../api/client";
import { Icon } from "../look/icons";
import { tell } from "../songs/songs";
import { Action } from "../songs/work";
import { duration, kilohertz, language, stemName, words } from "../text/language";
import { bring, fetchFrom, hearExample } from "../upload/uploads";
import { bitrates, choices, choose, fitting, LEVELS, mixing, model, RATES } from "./choices";
import { MixChoice } from "./mix-choice";
import { byCount, limits, models, presets } from "./service";

/** `small` while a song is shown: the choices stay folded until they are wanted. */
export function Bring({ small }: { small: boolean }): JSX.Element {
  const says = words.value.bring;
  const seconds = limits.value ? (limits.value.estimate?.estimated_seconds ?? null) : undefined; // null if nothing was measured
  const over = useSignal(false);
  const input = useRef<HTMLInputElement>(null);
  const allowed = hasKey.value && (limits.value?.scopes.includes("separate") ?? true);
  const take = (files: Iterable<File> | null | undefined): void => void (files && allowed && bring([...files]));
  useEffect(() => {
    const stop = new AbortController();
    const hear = <Kind extends keyof WindowEventMap>(kind: Kind, act: (event: WindowEventMap[Kind]) => void): void =>
      addEventListener(kind, act, { signal: stop.signal });
    hear("paste", (event) => take(event.clipboardData?.files));
    hear("dragover", (event) => {
      if (!event.dataTransfer?.types.includes("Files")) return;
      event.preventDefault(); // anywhere, since the browser would leave the page for a file that misses the zone
      over.value = true;
    });
    hear("dragleave", (event) => (over.value &&= event.relatedTarget !== null));
    hear("drop", (event) => {
      if (!over.value) return;
      event.preventDefault();
      over.value = false;
      take(event.dataTransfer?.files);
    });
    return () => stop.abort();
  }, [allowed]);
  return (
    <section class="bring" aria-label={says.title}>
      <label class={over.value ? "zone over" : "zone"}>
        <input
          ref={input}
          id="file"
          type="file"
          multiple
          disabled={!allowed}
          onChange={(event) => {
            take(event.currentTarget.files);
            event.currentTarget.value = "";
          }}
        />
        <Icon name="add" />
        <strong>{over.value ? says.now : says.zone}</strong>
        {!allowed && <small>{says.notAllowed}</small>}
        {allowed && <small>{outcome()}</small>}
        {allowed && seconds !== null && <small>{seconds && says.speed(duration(seconds))}</small>}
        <small>{limits.value && says.kept(limits.value.retention_hours.default)}</small>
      </label>
      {limits.value?.example && allowed && !small && <Action id="example" icon="play" label={says.example} act={hearExample} quiet />}
      {limits.value?.source_url && <Address />}
      <Choices small={small} />
    </section>
  );
}

/** Returns what the choices make of a song, in words. */
function outcome(): string {
  const says = words.value.bring;
  const chosen = choices.value.preset;
  if (chosen !== null) return says.presets[chosen]?.purpose ?? presets.value.find(({ name }) => name === chosen)?.purpose ?? "";
  return model.value ? says.outcome(model.value.stems.map((stem) => stemName(stem).toLocaleLowerCase(language.value))) : "";
}

function Address(): JSX.Element {
  const says = words.value.bring;
  const address = useSignal("");
  const busy = useSignal(false);
  const go = async (event: SubmitEvent): Promise<void> => {
    event.preventDefault();
    busy.value = true;
    try {
      await fetchFrom(address.value.trim());
      address.value = "";
    } catch (error) {
      tell(error);
    } finally {
      busy.value = false;
    }
  };
  return (
    <form class="address" onSubmit={(event) => void go(event)}>
      <input type="url" required placeholder={says.address} aria-label={says.address} value={address.value} onInput={(event) => (address.value = event.currentTarget.value)} />
      <button type="submit" disabled={busy.value}>{says.fetch}</button>
    </form>
  );
}

function Choices({ small }: { small: boolean }): JSX.Element {
  const says = words.value.bring;
  const chosen = choices.value;
  const title = (chosen.preset === null ? says.custom : says.presets[chosen.preset])?.title ?? chosen.preset;
  return (
    <details class="choices" open={!small}>
      <summary>
        {says.purpose} <small>{title}</small>
      </summary>
      <fieldset class="presets" aria-label={says.purpose}>
        {presets.value.map(({ name, purpose }) => (
          <PresetCard key={name} name={name} {...(says.presets[name] ?? { title: name, purpose })} />
        ))}
        <PresetCard name={null} {...says.custom} />
      </fieldset>
      {chosen.preset === null && <Custom />}
      <label class="check">
        <input type="checkbox" checked={chosen.first} onChange={(event) => choose({ first: event.currentTarget.checked })} /> {says.first}
      </label>
    </details>
  );
}

function PresetCard({ name, title, purpose }: { name: string | null; title: string; purpose: string }): JSX.Element {
  return (
    <label class="card">
      <input type="radio" name="preset" value={name ?? ""} checked={choices.value.preset === name} onChange={() => choose({ preset: name })} />
      <strong>{title}</strong>
      <small>{purpose}</small>
      <Icon name="check" />
    </label>
  );
}

function Custom(): JSX.Element {
  const says = words.value.bring;
  const chosen = choices.value;
  const formats = (limits.value?.formats ?? []).filter(({ codec }) => fitting(codec, chosen.stems));
  const format = formats.find(({ codec }) => codec === chosen.codec) ?? formats[0];
  const rates = bitrates(format);
  return (
    <>
      <fieldset class="counts" aria-label={says.model}>
        {byCount(models.value).map(({ count, model, stems }) => (
          <label key={count} class="card" data-count={count}>
            <input type="radio" name="stems" value={count} checked={chosen.stems === count} disabled={!model} onChange={() => choose({ stems: count, mixes: {} })} />
            <strong>{says.stems(count)}</strong>
            <span>{stems.map(stemName).join(", ")}</span>
            {!model && <small class="label">{says.notInstalled}</small>}
            {model?.quality === "approximate" && <small class="label">{says.approximate}</small>}
            <Icon name="check" />
          </label>
        ))}
      </fieldset>
      <details>
        <summary>{says.more}</summary>
        <div class="more">
          <label>
            {says.quality}
            <select value={chosen.quality} onChange={(event) => choose({ quality: event.currentTarget.value as "official" | "best" })}>
              <option value="official">{says.official}</option>
              <option value="best">{says.best}</option>
            </select>
          </label>
          <label>
            {says.format}
            <select id="codec" value={format?.codec} onChange={(event) => choose({ codec: event.currentTarget.value, bitrate: null })}>
              {formats.map(({ codec, title }) => <option key={codec} value={codec}>{title}</option>)}
            </select>
          </label>
          {rates.length > 0 && (
            <label>
              {says.bitrate}
              <select id="bitrate" value={chosen.bitrate ?? format?.bitrates?.default} onChange={(event) => choose({ bitrate: event.currentTarget.value })}>
                {rates.map((rate) => <option key={rate} value={`${rate}k`}>{rate} kbit/s</option>)}
              </select>
            </label>
          )}
          <label>
            {says.level}
            <select id="level" value={chosen.level} onChange={(event) => choose({ level: event.currentTarget.value })}>
              {LEVELS.map((level) => <option key={level} value={level}>{says.levels[level]}</option>)}
            </select>
          </label>
          <label>
            {says.rate}
            <select id="rate" value={chosen.rate} onChange={(event) => choose({ rate: event.currentTarget.value })}>
              {RATES.map((rate) => <option key={rate} value={rate}>{rate === "source" ? says.ownRate : kilohertz(Number(rate))}</option>)}
            </select>
          </label>
        </div>
        {model.value && mixing(chosen.codec) && <MixChoice stems={model.value.stems} />}
      </details>
    </>
  );
}
