import { expect, it } from "vitest";

import { EventText } from "./events";

it("reads events however the stream is cut", () => {
  const text = 'id: 7\nevent: progress\ndata: {"state": "running", "progress": 0.42}\n\n: ping\n\nid: 8\nevent: state\ndata: {"state": "succeeded", "progress": 1}\n\n';
  for (const size of [1, 7, text.length]) {
    const lines = new EventText();
    const found = text.match(new RegExp(`[^]{1,${size}}`, "g"))?.flatMap((piece) => lines.add(piece));
    expect(found).toEqual([
      { id: "7", kind: "progress", state: "running", progress: 0.42 },
      { id: "8", kind: "state", state: "succeeded", progress: 1 },
    ]);
  }
});
