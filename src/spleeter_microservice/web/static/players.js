// The result of a separation: a waveform, a player and a download for each stem.

import { download, getJson } from "./api.js";

let urls = []; // of blobs kept in memory until the next result

export function label(text) {
  const element = document.createElement("span");
  element.className = "label";
  element.textContent = text;
  return element;
}

export function forget() {
  urls.forEach((url) => URL.revokeObjectURL(url));
  urls = [];
  document.getElementById("players").replaceChildren();
}

export function save({ name, blob }) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

export function show(job, onProblem) {
  forget();
  const estimate = (stem) => job.measurements.stems[stem.name]?.estimated_quality;
  document.getElementById("players").append(...job.stems.map((stem) => player(stem, estimate(stem), onProblem)));
}

function player(stem, quality, onProblem) {
  const item = document.createElement("li");
  const title = document.createElement("h3");
  title.textContent = stem.name;
  const note = document.createElement("p");
  note.className = "note";
  note.textContent = quality ? `Estimated quality: ${quality}` : "";
  const wave = document.createElement("canvas");
  wave.setAttribute("aria-hidden", "true");
  const row = document.createElement("p");
  row.className = "row";
  let file; // fetched once for playing and saving
  const fetched = () => (file ??= download(stem.url));
  row.append(
    button(`Play ${stem.name}`, () => fetched().then((found) => play(item, row, found)), onProblem),
    button(`Download ${stem.name} (${sizeOf(stem.size)})`, () => fetched().then(save), onProblem),
  );
  item.append(title, note, wave, row);
  getJson(stem.peaks_url).then((peaks) => draw(wave, peaks), () => wave.remove()); // the waveform is optional
  return item;

  function button(text, act, report) {
    const element = document.createElement("button");
    element.type = "button";
    element.textContent = text;
    element.addEventListener("click", async () => {
      element.disabled = true;
      try {
        await act();
      } catch (error) {
        file = undefined;
        report(error);
      } finally {
        element.disabled = false;
      }
    });
    return element;
  }
}

function play(item, row, { blob }) {
  const audio = document.createElement("audio");
  audio.controls = true;
  audio.src = URL.createObjectURL(blob);
  audio.setAttribute("aria-label", item.querySelector("h3").firstChild.textContent);
  urls.push(audio.src);
  row.before(audio);
  row.firstElementChild.remove(); // the button that opened the player
  audio.focus();
  audio.play().catch(() => {}); // browsers may require another click
}

const sizeOf = (bytes) => (bytes < 1e6 ? `${Math.ceil(bytes / 1e3)} kB` : `${(bytes / 1e6).toFixed(1)} MB`);

function draw(canvas, peaks) {
  const scale = devicePixelRatio || 1;
  const width = (canvas.width = canvas.clientWidth * scale);
  const height = (canvas.height = canvas.clientHeight * scale);
  const brush = canvas.getContext("2d");
  brush.fillStyle = getComputedStyle(canvas).getPropertyValue("--wave");
  const unit = height / 2 ** peaks.bits;
  for (let x = 0; x < width; x += 1) {
    const first = Math.floor((x * peaks.length) / width);
    const after = Math.max(first + 1, Math.floor(((x + 1) * peaks.length) / width));
    let [low, high] = [0, 0];
    for (let k = first; k < after; k += 1) {
      low = Math.min(low, peaks.data[2 * k]);
      high = Math.max(high, peaks.data[2 * k + 1]);
    }
    brush.fillRect(x, height / 2 - high * unit, 1, Math.max(1, (high - low) * unit));
  }
}
