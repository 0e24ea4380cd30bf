// Starts the panels and keeps what they show fresh.

import { get, getHealth, getIfThere, modelPath, Unreachable } from "./api.js";
import { render as renderCode, startCode } from "./code.js";
import { startCurves } from "./curves.js";
import { $, fill, h, startClock } from "./dom.js";
import { startFit } from "./fit.js";
import { count } from "./format.js";
import { startJobs } from "./jobs.js";
import { startPredicting } from "./predict.js";
import { startServing } from "./serving.js";
import { isActive, on, set, state } from "./state.js";
import { startTraining } from "./train.js";
import { startVersions } from "./versions.js";

const BUSY_MS = 1000; // while a job waits or runs
const IDLE_MS = 4000;
const AWAY_MS = 2000; // while the service does not answer
const JOBS = 20;
const VERSIONS = 10;

let timer = 0;
let looking = null; // the look under way

/** Ask for everything that may have changed; a second call waits for the first and looks again. */
async function refresh() {
  clearTimeout(timer);
  const before = looking;
  looking = (async () => {
    await before;
    await look();
  })();
  const mine = looking;
  await mine;
  if (looking !== mine) return;
  clearTimeout(timer);
  if (!document.hidden) timer = setTimeout(refresh, state.online ? (state.jobs.some(isActive) ? BUSY_MS : IDLE_MS) : AWAY_MS);
}

async function look() {
  try {
    const [health, models] = await Promise.all([getHealth(), get("models?limit=100")]);
    const model = state.loaded ? state.model : firstModel(health, models.models);
    // Asked for only where it is: a browser shows every 404 in red. The list may have more pages.
    const isThere = models.next !== null || models.models.some((known) => known.model === model);
    // First the jobs: a version that one of them made and that is missing afterwards is deleted.
    const jobs = await get(`jobs?model=${encodeURIComponent(model)}&limit=${JOBS}`);
    const info = isThere ? await getIfThere(modelPath(model)) : null;
    const isOther = JSON.stringify(info) !== JSON.stringify(state.info) || model !== state.model || !state.loaded || newestMade(jobs.jobs) !== newestMade(state.jobs);
    const versions = info === null ? { versions: [], next: null } : isOther ? await get(`${modelPath(model)}/versions?limit=${VERSIONS}`) : null;
    if (state.loaded && model !== state.model) return; // another was chosen meanwhile
    set({
      loaded: true,
      online: true,
      health,
      models: models.models,
      model,
      info,
      ...jobsWithOlder(jobs),
      ...(versions && { versions: versions.versions, moreVersions: versions.next }),
    });
    await nameFiles();
  } catch (error) {
    set({ online: !(error instanceof Unreachable) });
    if (!(error instanceof Unreachable)) console.warn(error.message);
  }
}

const newestMade = (jobs) => jobs.find((job) => job.version !== null)?.version;

/** Fetch the names of files that versions were trained on; one that is deleted has none any more. */
async function nameFiles() {
  const ids = state.versions.map((version) => version.spec.data.dataset).filter((id) => id && !(id in state.files));
  if (ids.length === 0) return;
  const { datasets } = await get("datasets?limit=100");
  set({ files: { ...state.files, ...Object.fromEntries(ids.map((id) => [id, null])), ...Object.fromEntries(datasets.map((one) => [one.id, one.name])) } });
}

/** The newest page of jobs before those that were fetched by "Show older jobs". */
function jobsWithOlder({ jobs, next }) {
  if (state.jobs.length <= JOBS || state.jobs[0]?.model !== jobs[0]?.model) return { jobs, moreJobs: next };
  const fresh = new Set(jobs.map((job) => job.id));
  return { jobs: [...jobs, ...state.jobs.filter((job) => !fresh.has(job.id))] };
}

function firstModel(health, models) {
  const asked = /^#model=([A-Za-z0-9][A-Za-z0-9._-]{0,63})$/.exec(location.hash);
  if (asked) return asked[1];
  return models.some((model) => model.model === health.model) || models.length === 0 ? health.model : models[0].model;
}

/** Show another model. */
async function select(model) {
  if (model === state.model) return;
  history.replaceState(null, "", `#model=${model}`);
  set({ model, info: null, versions: [], moreVersions: null, jobs: [], moreJobs: null, looked: null, lookedSince: null, shown: null, compared: null, prediction: null });
  await refresh();
}

function renderPicker() {
  const picker = $("model-picker");
  const names = state.models.map((model) => model.model);
  if (!names.includes(state.model)) names.push(state.model);
  fill(picker, names.map((name) => h("option", { value: name }, name)));
  picker.value = state.model;
  picker.disabled = names.length < 2;
}

function renderHealth() {
  const { health, online } = state;
  const box = $("health");
  const words = !online ? "No answer" : !health ? "Connecting …" : health.ready ? "Ready" : health.status === "draining" ? "Stopping" : "Nothing to serve yet";
  box.className = `health ${!online ? "is-away" : health?.ready ? "is-ready" : "is-waiting"}`;
  fill(box.querySelector(".health-text"), words, online && health && h("span", { class: "health-more" }, ` · ${health.device}`));
  box.title = health ? `${count(health.workers, "web worker")} on ${health.device}` : "";
  const banner = $("banner");
  banner.hidden = online;
  document.body.classList.toggle("is-offline", !online);
  banner.textContent = online ? "" : "The service does not answer. Trying again every two seconds; what you see may be old.";
}

/** The shorter of the two columns stays in sight while the longer one is scrolled. */
function keepInSight() {
  const top = document.querySelector(".top").offsetHeight;
  for (const column of document.querySelectorAll(".see, .do")) column.style.top = `${Math.min(top + 16, innerHeight - column.offsetHeight - 16)}px`;
}

on(["models", "model"], renderPicker);
on(["health", "online"], renderHealth);
on(["model", "info", "looked", "shown"], renderCode);

startServing();
startFit();
startPredicting({ onChange: renderCode });
startTraining({ refresh, select, onChange: renderCode });
startCurves(refresh);
startJobs(refresh);
startVersions(refresh);
startCode();
startClock();
$("model-picker").addEventListener("change", (event) => select(event.target.value));
document.addEventListener("visibilitychange", () => { if (!document.hidden) refresh(); });
for (const column of document.querySelectorAll(".see, .do")) new ResizeObserver(keepInSight).observe(column);
addEventListener("resize", keepInSight);
refresh();
