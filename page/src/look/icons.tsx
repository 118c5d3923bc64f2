/** The page's icons: one set, drawn on a grid of 24. */

import type { JSX } from "preact";

const PATHS = {
  play: "M8 5.5v13l11-6.5z",
  pause: "M7 5h3.5v14H7zM13.5 5H17v14h-3.5z",
  start: "M6 5h2.5v14H6zM19 5.5v13L9.5 12z",
  loop: "M17 2l4 4-4 4V7H8a3 3 0 0 0-3 3v1H3v-1a5 5 0 0 1 5-5h9zM7 22l-4-4 4-4v3h9a3 3 0 0 0 3-3v-1h2v1a5 5 0 0 1-5 5H7z",
  listen: "M12 3a9 9 0 0 0-9 9v6a3 3 0 0 0 3 3h2v-8H5v-1a7 7 0 0 1 14 0v1h-3v8h2a3 3 0 0 0 3-3v-6a9 9 0 0 0-9-9z",
  download: "M11 3h2v9l3-3 1.4 1.4L12 15.8l-5.4-5.4L8 9l3 3zM4 19h16v2H4z",
  delete: "M9 3h6l1 2h4v2H4V5h4zM6 9h12l-1 12H7z",
  close: "M6.4 5L12 10.6 17.6 5 19 6.4 13.4 12l5.6 5.6-1.4 1.4L12 13.4 6.4 19 5 17.6 10.6 12 5 6.4z",
  add: "M11 5h2v6h6v2h-6v6h-2v-6H5v-2h6z",
  minus: "M5 11h14v2H5z",
  bell: "M12 2.500a1.500 1.500 0 0 1 1.500 1.500v.7A6 6 0 0 1 18 10.500V15l2 3H4l2-3v-4.500a6 6 0 0 1 4.500-5.800V4A1.500 1.500 0 0 1 12 2.500zM9.500 19.500h5a2.500 2.500 0 0 1-5 0z",
  again: "M12 5V1.5L7 6.500l5 5V7a5 5 0 1 1-5 5H5a7 7 0 1 0 7-7z",
  check: "M9.500 16.200L5.300 12 3.900 13.400l5.600 5.600L20.700 7.800 19.300 6.400z",
  key: "M14.5 3a6.5 6.5 0 0 0-6.2 8.4L2 17.7V22h4.3l1-1v-2h2v-2h2l1.3-1.3A6.5 6.5 0 1 0 14.5 3zM16.5 9.500a2 2 0 1 1 0-4 2 2 0 0 1 0 4z",
  help: "M12 2a10 10 0 1 0 0 20 10 10 0 0 0 0-20zm-1 17v-2h2v2zm3.900-7.600c-1.200.9-1.700 1.300-1.900 2.600V15h-2v-1.500c0-2 1.300-2.800 2.300-3.600.9-.7 1.200-1 1.200-1.900a2.500 2.500 0 0 0-5 0H7.500a4.500 4.500 0 0 1 9 0c0 1.900-1 2.700-1.600 3.400z",
} as const;

export type IconName = keyof typeof PATHS;

export const Icon = ({ name }: { name: IconName }): JSX.Element => (
  <svg class="icon" viewBox="0 0 24 24" width="20" height="20" aria-hidden="true" focusable="false">
    <path d={PATHS[name]} fill="currentColor" />
  </svg>
);

/** A button with an icon, whose label screen readers and tooltips say. */
export function IconButton({ name, label, ...rest }: { name: IconName; label: string } & JSX.IntrinsicElements["button"]): JSX.Element {
  return (
    <button type="button" class="quiet" aria-label={label} title={label} {...rest}>
      <Icon name={name} />
    </button>
  );
}
