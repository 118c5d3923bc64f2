/** Light or dark: as the system says, or as the visitor chose. */

import { effect, signal } from "@preact/signals";

export const THEMES = ["auto", "light", "dark"] as const;
export type Theme = (typeof THEMES)[number];
const STORED = "stems-theme";

export const theme = signal<Theme>(THEMES.find((name) => name === localStorage.getItem(STORED)) ?? "auto");

effect(() => {
  localStorage.setItem(STORED, theme.value);
  if (theme.value === "auto") delete document.documentElement.dataset["theme"];
  else document.documentElement.dataset["theme"] = theme.value;
});
