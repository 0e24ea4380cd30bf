// Learning curves: of one job in the colours of its parts, of several jobs beside each other.

import { canBeLog, Chart, isShort, lineChart, lineData } from "./charts.js";
import { $, fill, h, table } from "./dom.js";
import { capital, count, epochsOf, lossName, number, progressOf, promotionOf, proseOf, whole } from "./format.js";
import { follow, isKnown, onPoints, pointsOf, progressNow, specOf, startFollowing } from "./follow.js";
import { comparedJobs, isActive, isActiveNow, isDeleted, jobName, on, set, state } from "./state.js";
import { plain } from "./words.js";

const PARTS = ["train", "validation", "test"];
const DASHES = { train: undefined, validation: [2, 4], test: [7, 4] };
export const MAX_COMPARED = 4;
const KEPT = "refit-log"; // in the storage of the browser: "true", "false", or nothing while nobody has chosen
const WIDE = 100; // losses that differ by more are lines along the axis unless the scale is logarithmic

let chart = null;
let frame = 0;
let hovered = null;
let drawn = null; // what the chart shows now: {series, data}
let look = ""; // its lines and scale; with the same ones, only the data are new
let chosenScale = null;
let bar = null; // the progress of a job; its button stays, so that it can be pressed while it moves

export function startCurves(refresh) {
  chart = new Chart($("curves-chart"));
  startFollowing(refresh);
  onPoints(schedule);
  chosenScale = kept();
  on(["jobs", "compared", "loaded", "online", "looked", "lookedSince", "shown", "versions", "info"], () => {
    if (!state.loaded) return;
    follow(comparedJobs());
    schedule();
  });
  $("log-scale").addEventListener("change", chooseScale);
  $("curves-table").addEventListener("toggle", renderTable);
}

function kept() {
  try {
    return localStorage.getItem(KEPT);
  } catch {
    return null; // Storage may be forbidden; then each visit begins anew.
  }
}

function chooseScale() {
  chosenScale = String($("log-scale").checked);
  try {
    localStorage.setItem(KEPT, chosenScale);
  } catch {
    // As above.
  }
  draw();
}

/** Whether the losses are drawn by their logarithms: as somebody chose, else where they span much. */
function isLogWanted({ data }) {
  if (chosenScale !== null) return chosenScale === "true";
  const losses = data.slice(1).flat().filter((value) => value > 0);
  return losses.length > 0 && losses.reduce((most, value) => Math.max(most, value), 0) > WIDE * losses.reduce((least, value) => Math.min(least, value), Infinity);
}

/** The colour of a job among those that are compared; null where it is not drawn. */
export function colorOf(job) {
  const jobs = comparedJobs();
  const place = jobs.findIndex((other) => other.id === job.id);
  return place < 0 ? null : jobs.length === 1 ? "train" : `c${place + 1}`;
}

/** Draw or leave out the curve of a job. */
export function toggleCompared(id) {
  const ids = comparedJobs().map((job) => job.id);
  const others = ids.filter((other) => other !== id);
  if (others.length < ids.length) set({ compared: others });
  else set({ compared: [...ids.slice(-MAX_COMPARED + 1), id] });
}

/** At most once a frame, however many points come. */
function schedule() {
  cancelAnimationFrame(frame);
  frame = requestAnimationFrame(draw);
}

function draw() {
  const jobs = comparedJobs();
  const withPoints = jobs.filter((job) => pointsOf(job.id).length > 0);
  renderProgress(jobs, withPoints);
  const box = $("curves-chart");
  box.querySelector(".empty")?.remove();
  if (withPoints.length === 0) {
    [drawn, look, hovered] = [null, "", null];
    chart.show(null);
    fill($("curves-legend"));
    box.append(emptyState(jobs));
    renderTable();
    return;
  }
  drawn = prepare(withPoints);
  $("log-scale").checked = isLogWanted(drawn);
  const isLog = canBeLog($("log-scale").checked, drawn.data);
  const yLabel = lossLabel(withPoints);
  const next = JSON.stringify([drawn.series, isLog, isShort(drawn.data), yLabel]);
  const onHover = (index) => { hovered = index; renderLegend(); };
  // Along a low chart there is no room for all of it.
  const build = (element, width, height) => lineChart(element, width, height, { ...drawn, log: isLog, yLabel: height < 300 ? yLabel.replace("loss: ", "") : yLabel, onHover });
  if (next === look) chart.update(lineData(drawn.data, isLog));
  else {
    [look, hovered] = [next, null];
    chart.show(build);
  }
  renderLegend();
  renderTable();
}

/** What the losses are: the mean error at the top of the page is in the target's own units, they may not be. */
function lossLabel(jobs) {
  const labels = jobs.map((job) => specOf(job.id)).map((spec) => spec && `loss: ${lossName(spec.loss)}${spec.standardize ? ", standardized" : ""}`);
  return labels[0] && labels.every((label) => label === labels[0]) ? labels[0] : "loss";
}

function prepare(jobs) {
  const series = [];
  const tables = [];
  for (const job of jobs) {
    const points = pointsOf(job.id);
    const parts = PARTS.filter((part) => points.some((point) => finite(point[`${part}_loss`])));
    tables.push([points.map((point) => point.epoch), ...parts.map((part) => points.map((point) => point[`${part}_loss`] ?? null))]);
    for (const part of parts) {
      series.push(jobs.length === 1
        ? { label: capital(part), color: part }
        : { label: `${capital(jobName(job))}, ${part}`, color: colorOf(job), dash: DASHES[part] });
    }
  }
  return { series, data: uPlot.join(tables) };
}

const finite = (value) => value !== null && value !== undefined;

/** What the pointer is at, or the last epoch. */
function renderLegend() {
  if (!drawn) return;
  const { data, series } = drawn;
  const index = hovered ?? data[0].length - 1;
  const value = (values) => {
    // Where somebody points beyond the end of a curve, it has no value.
    if (hovered !== null && values.findLastIndex(finite) < index) return null;
    // Curves that were recorded at other epochs have gaps here: the last one before counts.
    for (let place = index; place >= 0; place -= 1) if (finite(values[place])) return values[place];
    return null;
  };
  const epoch = `Epoch ${whole(data[0][index])}`;
  // Losses are measured now and then: while a job runs, the last ones are of before its progress.
  const jobs = comparedJobs();
  const last = jobs.some(isActive) ? "Latest" : jobs.length > 1 ? "At the end" : epoch;
  fill($("curves-legend"),
    h("span", { class: "epoch", title: epoch }, hovered === null ? last : epoch),
    series.map((line, place) => h("span", { class: `key line key-${line.color}${line.dash ? " dashed" : ""}` }, `${line.label} `, h("b", {}, number(value(data[place + 1]))))));
}

function renderProgress(jobs, withPoints) {
  const job = jobs.find((one) => one.state === "running") ?? jobs.find(isActive);
  const box = $("curves-progress");
  if (job) {
    renderBar(box, job);
    return;
  }
  const hadFocus = box.contains(document.activeElement);
  bar = null;
  fill(box, jobs.length > 0 && h("p", { class: "hint" }, jobs.length > 1 ? comparison(jobs, withPoints) : `${capital(jobName(jobs[0]))} ${outcome(jobs[0])}`));
  // The job has ended, by its button or by itself: who was at the button goes on from here.
  if (hadFocus) $("curves-title").focus({ preventScroll: true });
}

function renderBar(box, job) {
  if (bar?.id !== job.id) {
    const hadFocus = box.contains(document.activeElement);
    const progress = h("progress", { max: "1", "aria-label": `Progress of ${jobName(job)}` });
    const words = h("p", { class: "hint" });
    bar = { id: job.id, progress, words };
    fill(box, progress, words, h("button", { type: "button", class: "quiet", "data-cancel": job.id }, "Cancel"));
    // Never on to the next Cancel: a second Enter would end another job.
    if (hadFocus) $("curves-title").focus({ preventScroll: true });
  }
  const { isWaiting, epoch, epochs, eta } = progressNow(job);
  bar.progress.value = Math.min(1, epoch / epochs);
  bar.words.textContent = isWaiting ? "Waiting for its turn" : capital(progressOf(epoch, epochs, eta));
}

function comparison(jobs, withPoints) {
  if (jobs.some((job) => !isKnown(job.id))) return "Fetching the curves …";
  const without = jobs.filter((job) => !withPoints.includes(job)).map(jobName);
  const dotted = drawnParts(withPoints).includes("validation") ? ", dotted ones validation" : "";
  const words = `${count(withPoints.length, "job")} compared: solid lines are train${dotted}, dashed ones test`;
  return without.length === 0 ? words : `${words}; no curve of ${without.join(", ")}`;
}

const drawnParts = (jobs) => PARTS.filter((part) => jobs.some((job) => pointsOf(job.id).some((point) => finite(point[`${part}_loss`]))));

function outcome(job) {
  if (job.state === "succeeded") {
    const spec = specOf(job.id);
    const early = spec && job.progress.epoch < job.progress.epochs ? `; epochs: ${epochsOf(spec, job.progress)}` : "";
    return `${promotionOf(job.promotion)}${isDeleted(job) ? "; deleted since" : isActiveNow(job) ? "; active now" : ""}${early}`;
  }
  return job.state === "failed" ? `has failed: ${proseOf(plain(job.error?.message ?? "unknown"))}` : `was ${job.state}`;
}

function emptyState(jobs) {
  if (state.jobs.length === 0) return h("div", { class: "empty" }, h("strong", {}, "No jobs yet"), h("p", {}, "Train the line, and watch both losses fall here."));
  if (jobs.length === 0 && state.compared === null) return noJob();
  if (jobs.length === 0) return h("div", { class: "empty" }, h("strong", {}, "No job is ticked"), h("p", {}, "Tick jobs in the list to see their curves."));
  if (jobs.some(isActive)) return h("div", { class: "empty" }, h("strong", {}, jobs[0].state === "queued" ? "Waiting for its turn" : "Starting"), h("p", {}, "The curve begins with the first epoch."));
  if (jobs.some((job) => !isKnown(job.id))) return h("div", { class: "empty skeleton" });
  return h("div", { class: "empty" }, h("strong", {}, "No curve"), h("p", {}, "This job ended before its first epoch."));
}

/** For a version that is looked at: its job is on its way, or there is none. */
function noJob() {
  const { looked, shown } = state;
  if (shown?.version.version !== looked) return h("div", { class: "empty skeleton" });
  return h("div", { class: "empty" }, h("strong", {}, "No curve"), h("p", {}, `Version ${looked} was trained elsewhere, or its job is no longer here.`));
}

function renderTable() {
  const details = $("curves-table");
  details.hidden = !drawn;
  const box = details.querySelector(".scroll");
  if (!details.open || !drawn) {
    fill(box);
    return;
  }
  const { data, series } = drawn;
  const step = Math.ceil(data[0].length / 200);
  const rows = data[0].map((epoch, index) => [whole(epoch), ...data.slice(1).map((values) => number(values[index]))])
    .filter((row, index) => index % step === 0 || index === data[0].length - 1);
  fill(box, table("Losses by epoch", ["Epoch", ...series.map((line) => line.label)], rows));
}
