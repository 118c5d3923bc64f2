/** The API's types, by short names. */

import type { components } from "./schema";

type Schemas = components["schemas"];
export type Separation = Schemas["Separation"];
export type SeparationPage = Schemas["SeparationPage"];
export type Summary = Schemas["SeparationSummary"];
export type StemFile = Schemas["StemFile"];
export type Limits = Schemas["Limits"];
export type Model = Schemas["ModelInfo"];
export type Preview = Schemas["Preview"];
export type Preset = Schemas["PresetInfo"];
export type Health = Schemas["Health"];
export interface Peaks {
  readonly bits: number;
  readonly length: number;
  readonly data: readonly number[];
}
export interface Measurements {
  readonly anomalies?: readonly string[];
  readonly stems?: Readonly<Record<string, { readonly estimated_quality?: "low" | "fair" | "good" | null }>>;
}
