/** A song on its way to the service: what it is, what happens to it, and what its owner can do. */

import { useEffect, useRef } from "preact/hooks";
import type { JSX } from "preact";

import { IconButton } from "../look/icons";
import { draw } from "../player/peaks";
import { Bar, Details, joined, left } from "../songs/work";
import { bytes, clock, percent, words } from "../text/language";
import { cancel, pause, resume, type Upload } from "./uploads";
import { drawable, peaksOf } from "./waveform";

export function UploadRow({ upload }: { upload: Upload }): JSX.Element {
  const says = words.value.work;
  const { id, file, seconds, state, share, rest } = upload;
  const problem = upload.problem?.() ?? says.failed;
  const texts = {
    reading: says.reading,
    refused: problem,
    waiting: says.waitingToSend,
    sending: joined(says.sending(percent(share)), left(rest)),
    paused: says.paused,
    offline: says.offline,
    held: says.held(problem),
    checking: says.checking,
    failed: problem,
  };
  const over = state === "failed" || state === "refused";
  return (
    <li class="row upload" data-state={state}>
      <div class="pick">
        <strong title={file.name}>{file.name}</strong>
        <small>{joined(seconds === null ? "" : clock(seconds), bytes(file.size))}</small>
        {!over && drawable(file, seconds) && <FileWaveform file={file} seconds={seconds} />}
        <span class="status" role="status">{texts[state]}</span>
        {!over && <Bar sent={share} done={0} label={texts[state]} />}
        {upload.details && <Details about={upload.details} />}
      </div>
      {state === "sending" && <IconButton name="pause" label={says.pause} onClick={() => pause(id)} />}
      {["paused", "offline", "held"].includes(state) && <IconButton name="play" label={says.resume} onClick={() => resume(id)} />}
      {state === "failed" && <IconButton name="again" label={says.retry} onClick={() => resume(id)} />}
      <IconButton name="close" label={over ? says.dismiss : says.cancel} onClick={() => cancel(id)} />
    </li>
  );
}

function FileWaveform({ file, seconds }: { file: File; seconds: number }): JSX.Element {
  const canvas = useRef<HTMLCanvasElement>(null);
  useEffect(() => {
    let sizes: ResizeObserver | null = null;
    let wanted = true;
    void peaksOf(file).then((peaks) => {
      const element = canvas.current;
      if (!wanted || !element || !peaks) return;
      sizes = new ResizeObserver(() => draw(element, peaks, seconds, { from: 0, to: seconds }));
      sizes.observe(element);
    });
    return () => {
      wanted = false;
      sizes?.disconnect();
    };
  }, [file]);
  return <canvas ref={canvas} class="sketch" aria-hidden="true" />;
}
