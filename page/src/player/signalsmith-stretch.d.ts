declare module "signalsmith-stretch" {
  export interface StretchNode extends AudioWorkletNode {
    /** Seconds from the input to the output. */
    delay: number;
    latency(): Promise<number>;
    schedule(change: { active: boolean; semitones: number }): Promise<unknown>;
  }
  const create: ((context: AudioContext) => Promise<StretchNode>) & { moduleUrl?: string };
  export default create;
}
