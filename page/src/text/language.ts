/** The language of the page, and numbers, dates and sizes in it. */

import { computed, effect, signal } from "@preact/signals";

import { en, type Words } from "./en";
import { fr } from "./fr";

export const LANGUAGES = { en, fr } as const;
export type Language = keyof typeof LANGUAGES;
const STORED = "stems-language";

const known = (name: string | null | undefined): Language | null => (name && name in LANGUAGES ? (name as Language) : null);

/** Returns the language that was chosen, or else the first of the browser's that the page has. */
export function preferred(chosen: string | null, browser: readonly string[]): Language {
  const found = browser.map((tag) => known(tag.slice(0, 2).toLowerCase())).find((one) => one !== null);
  return known(chosen) ?? found ?? "en";
}

export const language = signal<Language>(preferred(localStorage.getItem(STORED), navigator.languages));
export const words = computed<Words>(() => LANGUAGES[language.value]);

export function choose(name: Language): void {
  language.value = name;
  localStorage.setItem(STORED, name);
}

effect(() => {
  document.documentElement.lang = language.value;
});

/** Returns the title of a stem, or of a mix such as ``no_drums``. */
export function stemName(name: string): string {
  const [, kind = "", stem = ""] = /^([a-z]+)_(.+)$/.exec(name) ?? [];
  const mixed = words.value.mixed[kind];
  if (mixed && stem in words.value.stems) return capital(mixed(stemName(stem).toLocaleLowerCase(language.value)));
  return words.value.stems[name] ?? capital(name.replaceAll("_", " "));
}

const capital = (text: string): string => text.charAt(0).toLocaleUpperCase(language.value) + text.slice(1);

export const percent = (share: number): string =>
  new Intl.NumberFormat(language.value, { style: "percent", maximumFractionDigits: 0 }).format(share);

/** Returns a volume: +1.5 dB. */
export const decibels = (volume: number): string =>
  `${new Intl.NumberFormat(language.value, { minimumFractionDigits: 1, maximumFractionDigits: 1, signDisplay: "exceptZero" }).format(volume)} dB`;

export const kilohertz = (rate: number): string => `${new Intl.NumberFormat(language.value).format(rate / 1000)} kHz`;

/** Returns a size in bytes as people read it. */
export function bytes(size: number): string {
  const units = ["byte", "kilobyte", "megabyte", "gigabyte"];
  const step = Math.min(3, Math.floor(Math.log10(Math.max(1, size)) / 3));
  const options = { style: "unit", unit: units[step] ?? "byte", unitDisplay: step === 0 ? "long" : "short" } as const;
  const digits = step > 1 ? 1 : 0;
  return new Intl.NumberFormat(language.value, { ...options, maximumFractionDigits: digits }).format(size / 1000 ** step);
}

/** Returns seconds as minutes and seconds: 3:07. */
export function clock(seconds: number): string {
  const whole = Math.max(0, Math.floor(seconds));
  const [hours, minutes] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60];
  const rest = String(whole % 60).padStart(2, "0");
  return hours ? `${hours}:${String(minutes).padStart(2, "0")}:${rest}` : `${minutes}:${rest}`;
}

/** Returns a duration in words, rounded as one would say it. */
export function duration(seconds: number, display: "long" | "short" = "long"): string {
  const spoken = (value: number, unit: string): string =>
    new Intl.NumberFormat(language.value, { style: "unit", unit, unitDisplay: display }).format(value);
  if (seconds < 90) return spoken(Math.max(1, Math.round(seconds)), "second");
  if (seconds < 5400) return spoken(Math.round(seconds / 60), "minute");
  return seconds < 172_800 ? spoken(Math.round(seconds / 3600), "hour") : spoken(Math.round(seconds / 86_400), "day");
}

/** Returns how long ago a time was. */
export function ago(time: string, now: number): string {
  const seconds = Math.min(0, Date.parse(time) - now) / 1000; // clocks may differ
  const size = Math.abs(seconds);
  const format = new Intl.RelativeTimeFormat(language.value, { numeric: "auto", style: "short" });
  if (size < 60) return format.format(Math.round(seconds), "second");
  if (size < 3600) return format.format(Math.round(seconds / 60), "minute");
  if (size < 86_400) return format.format(Math.round(seconds / 3600), "hour");
  return format.format(Math.round(seconds / 86_400), "day");
}

/** Returns a time as people say it, "tomorrow, 18:40", and whether its day is near enough to have such a name. */
export function until(time: string, now: number): [when: string, near: boolean] {
  const then = new Date(time);
  const days = Math.round((new Date(then).setHours(0, 0, 0, 0) - new Date(now).setHours(0, 0, 0, 0)) / 86_400_000);
  const near = Math.abs(days) < 2;
  const day = near
    ? new Intl.RelativeTimeFormat(language.value, { numeric: "auto" }).format(days, "day")
    : new Intl.DateTimeFormat(language.value, { weekday: "long", day: "numeric", month: "long" }).format(then);
  const hour = new Intl.DateTimeFormat(language.value, { hour: "numeric", minute: "2-digit" }).format(then);
  return [`${day}, ${words.value.hour(hour)}`, near];
}

export const when = (time: string, now: number): string => until(time, now)[0];
