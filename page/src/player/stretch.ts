/** The pitch shifter, loaded when it is used first. */

import SignalsmithStretch, { type StretchNode } from "signalsmith-stretch";
import address from "../../node_modules/signalsmith-stretch/SignalsmithStretch.mjs?url";

/** Returns a pitch shifter of what is connected to it. */
export async function stretching(context: AudioContext): Promise<StretchNode> {
  SignalsmithStretch.moduleUrl = new URL(address, document.baseURI).href; // the page's policy refuses its own, a blob:
  const node = await SignalsmithStretch(context);
  node.delay = await node.latency();
  return node;
}
