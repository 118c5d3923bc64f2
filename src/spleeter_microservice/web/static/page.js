// The page: the form, the progress, the result.

import { download, follow, getHealth, getJson, key, Problem, remove, submit } from "./api.js";
import { forget, label, save, show } from "./players.js";

const JOB = "spleeter-job"; // path of the separation that this tab follows
const POLL = 5000; // milliseconds between checks of the queue
const at = (id) => document.getElementById(id);
let stopping = new AbortController();
let path = sessionStorage.getItem(JOB);

function appear(name) {
  for (const part of ["form", "work", "result"]) at(part).hidden = part !== name;
}

function report(error) {
  if (error.name === "AbortError") return;
  if (!(error instanceof Problem)) console.error(error);
  at("problem").textContent = error instanceof Problem ? error.message : "This page has failed. Reload it and try again.";
  at("problem").hidden = false;
  at("problem").focus();
}

function remember(found) {
  path = found;
  if (found) sessionStorage.setItem(JOB, found);
  else sessionStorage.removeItem(JOB);
}

function startOver(error) {
  stopping.abort();
  remember(null);
  forget();
  appear("form");
  if (error) report(error);
}

function work(title, share, status) {
  at("work-title").textContent = title;
  if (share === null) at("progress").removeAttribute("value");
  else at("progress").value = share;
  at("status").textContent = status;
}

const percent = (share) => `${Math.round(100 * share)} %`;

async function begin() {
  const file = at("file").files[0];
  if (!key.get()) return complain("key", "Enter your key first.");
  if (!file) return complain("file", "Choose a song first.");
  const form = new FormData();
  form.append("stems", document.querySelector("input[name=stems]:checked").value);
  form.append("codec", at("codec").value);
  form.append("file", file);
  at("problem").hidden = true;
  stopping = new AbortController();
  work(file.name, 0, "Sending …");
  appear("work");
  at("work-title").focus();
  try {
    const job = await submit(form, stopping.signal, (share) => {
      work(file.name, share, share < 1 ? `Sending: ${percent(share)}` : "Checking the file …");
    });
    remember(job.url);
    await finish(job);
  } catch (error) {
    startOver(error);
  }
}

function complain(field, text) {
  report(new Problem({ detail: text }));
  at(field).focus();
}

// Follows a job to its end and shows the result.
async function finish(job) {
  const name = job.input.name;
  appear("work");
  let state = job.state;
  const look = setInterval(() => state === "queued" && queue(), POLL);
  const queue = async () => {
    const now = await getJson(job.url).catch(() => null);
    if (now?.queue && state === "queued") work(name, null, waiting(now.queue));
  };
  try {
    work(name, null, "Waiting …");
    await follow(job.events_url, stopping.signal, (event) => {
      state = event.state;
      if (state === "running") work(name, event.progress, `Separating: ${percent(event.progress)}`);
      if (state === "queued") queue();
    });
  } finally {
    clearInterval(look);
  }
  present(await getJson(job.url));
}

function waiting({ position, estimated_seconds: seconds }) {
  const time = seconds === null ? "" : `, about ${Math.max(1, Math.round(seconds))} s until it is done`;
  return position === 1 ? `Next in the queue${time}.` : `Number ${position} in the queue${time}.`;
}

function present(job) {
  if (job.state !== "succeeded") {
    return startOver(new Problem({ detail: job.error?.message ?? "The separation was cancelled." }));
  }
  at("result-title").textContent = job.input.name;
  at("model").replaceChildren(`Separated by the model ${job.model}.`, ...labels(job.model_quality, job.experimental));
  if (job.model_quality === "approximate") at("model").append(" Its weights are this project’s, not Deezer’s.");
  if (job.experimental) at("model").append(" Not all of its stems are good yet.");
  const { anomalies } = job.measurements;
  at("anomalies").textContent =
    `Unusual: ${anomalies.join("; ")}. This finds failures, not how good the stems sound.`;
  at("anomalies").hidden = anomalies.length === 0;
  at("warnings").replaceChildren(...job.warnings.map(warned));
  at("warnings").hidden = job.warnings.length === 0;
  at("expiry").textContent = `Everything is deleted from the server on ${new Date(job.expires_at).toLocaleString()}.`;
  appear("result");
  show(job, report);
  at("result-title").focus();
}

function warned({ message, position }) {
  const item = document.createElement("li");
  item.textContent = `At ${clock(position)}: ${message}`;
  return item;
}

const clock = (seconds) => `${Math.floor(seconds / 60)}:${String(Math.floor(seconds % 60)).padStart(2, "0")}`;

function labels(quality, experimental) {
  const found = [];
  if (quality === "approximate") found.push(" ", label("approximate"));
  if (experimental) found.push(" ", label("experimental"));
  return found;
}

async function showModels() {
  for (const note of document.querySelectorAll("[data-stems]")) note.replaceChildren();
  if (!key.get()) return;
  const { models } = await getJson("v1/models");
  at("problem").hidden = true;
  for (const note of document.querySelectorAll("[data-stems]")) {
    const model = models.find((one) => one.installed && one.stems.length === Number(note.dataset.stems));
    if (model) note.append(...labels(model.quality, model.experimental));
    else note.append("not installed");
    note.closest("label").querySelector("input").disabled = !model;
  }
}

function takeDrops(area) {
  const over = (is) => (event) => {
    event.preventDefault();
    area.classList.toggle("over", is);
  };
  area.addEventListener("dragover", over(true));
  area.addEventListener("dragleave", over(false));
  area.addEventListener("drop", (event) => {
    over(false)(event);
    if (event.dataTransfer.files.length) at("file").files = event.dataTransfer.files;
  });
}

async function cancel() {
  const job = path;
  startOver();
  const response = job && (await remove(job).catch(report));
  if (response?.status === 202) report(new Problem({ detail: "The files cannot be deleted yet; the server tries again." }));
}

async function resume() {
  if (!path) return;
  try {
    await finish(await getJson(path));
  } catch (error) {
    startOver(error);
  }
}

async function warn() {
  const { warnings } = await getHealth();
  at("warning").textContent = `This service is not safe yet. ${warnings.join(" ")}`;
  at("warning").hidden = warnings.length === 0;
}

at("key").value = key.get();
at("key").addEventListener("change", () => {
  key.set(at("key").value.trim());
  showModels().catch(report);
});
at("form").addEventListener("submit", (event) => {
  event.preventDefault();
  begin();
});
at("cancel").addEventListener("click", cancel);
at("delete").addEventListener("click", cancel);
at("another").addEventListener("click", () => {
  startOver();
  at("file").value = "";
  at("file").focus();
});
at("archive").addEventListener("click", () => download(`${path}/archive`).then(save, report));
takeDrops(at("drop"));
showModels().catch(report);
warn().catch(console.error);
resume();
