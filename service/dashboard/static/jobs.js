// The list of jobs: what each is doing or has come to.

import { get, post, wordsOf } from "./api.js";
import { colorOf, toggleCompared } from "./curves.js";
import { $, announce, fill, h, setText, since, toast } from "./dom.js";
import { onPoints, progressNow } from "./follow.js";
import { capital, judgedPart, number, progressOf, promotionOf, proseOf } from "./format.js";
import { comparedJobs, isActive, isActiveNow, isDeleted, jobName, on, set, state } from "./state.js";
import { plain } from "./words.js";

const STATES = { queued: "Waiting", running: "Running", succeeded: "Done", failed: "Failed", cancelled: "Cancelled" };

const rows = new Map(); // id -> the row on screen, so that focus stays where it is
const told = new Map(); // id -> what was last said aloud
let frame = 0;
let refresh = () => {};

export function startJobs(refreshAll) {
  refresh = refreshAll;
  on(["jobs", "compared", "loaded", "moreJobs", "model", "looked", "lookedSince", "shown", "versions", "info"], render);
  onPoints(schedule);
  document.addEventListener("click", (event) => {
    const id = event.target.closest?.("[data-cancel]")?.dataset.cancel;
    if (id) cancel(id);
  });
  $("jobs-more").addEventListener("click", more);
}

/** The rows of the jobs that are followed go on with their curves, at most once a frame. */
function schedule() {
  cancelAnimationFrame(frame);
  frame = requestAnimationFrame(() => { for (const job of state.jobs) if (isActive(job) && rows.has(job.id)) update(rows.get(job.id), job); });
}

function render() {
  if (!state.loaded) return;
  const list = $("jobs-list");
  list.classList.remove("loading");
  $("jobs-more").hidden = state.moreJobs === null;
  if (state.jobs.length === 0) {
    rows.clear();
    fill(list, h("li", { class: "empty" }, h("strong", {}, "No jobs yet"), h("p", {}, "Train the line: press Train, and the job appears here.")));
    return;
  }
  const ids = state.jobs.map((job) => job.id);
  for (const [id, row] of rows) {
    if (!ids.includes(id)) {
      row.element.remove();
      rows.delete(id);
    }
  }
  list.querySelector(".empty")?.remove();
  state.jobs.forEach((job, place) => {
    const row = rows.get(job.id) ?? makeRow(job);
    if (list.children[place] !== row.element) list.insertBefore(row.element, list.children[place] ?? null);
    update(row, job);
    tell(job);
  });
}

function makeRow(job) {
  const tick = h("input", { type: "checkbox", onchange: () => toggleCompared(job.id) });
  const swatch = h("span", { class: "swatch" });
  const title = h("span", { class: "row-title" });
  const badge = h("span", { class: "badge" });
  const when = since(job.created_at);
  when.className = "when";
  const detail = h("p", { class: "row-detail" });
  const progress = h("progress", { max: "1", value: 0 });
  const cancelButton = h("button", { type: "button", class: "quiet small", "data-cancel": job.id }, "Cancel");
  const element = h("li", { class: "row" },
    h("label", { class: "tick" }, tick, swatch, h("span", { class: "sr-only" }, `Draw the curve of ${jobName(job)}`)),
    h("p", { class: "row-head" }, title, badge, when),
    h("div", { class: "row-main" }, progress, detail),
    h("div", { class: "row-buttons" }, cancelButton));
  const row = { element, tick, swatch, title, badge, detail, progress, cancelButton };
  rows.set(job.id, row);
  return row;
}

function update(row, job) {
  const color = colorOf(job);
  row.tick.checked = color !== null;
  row.swatch.className = `swatch${color ? ` key-${color}` : ""}`;
  setText(row.title, capital(jobName(job)));
  const { isWaiting } = progressNow(job);
  const state_ = job.state === "queued" && !isWaiting ? "running" : job.state;
  setText(row.badge, STATES[state_]);
  row.badge.className = `badge is-${state_}`;
  setText(row.detail, detailOf(job));
  row.detail.title = isActive(job) ? "" : row.detail.textContent;
  row.progress.hidden = !isActive(job);
  row.progress.value = progressNow(job).fraction;
  row.progress.setAttribute("aria-label", `Progress of ${jobName(job)}`);
  const hadFocus = row.cancelButton === document.activeElement;
  row.cancelButton.hidden = !isActive(job);
  if (hadFocus && row.cancelButton.hidden) row.tick.focus({ preventScroll: true });
  row.cancelButton.setAttribute("aria-label", `Cancel ${jobName(job)}`);
}

function detailOf(job) {
  const { isWaiting, epoch, epochs, eta } = progressNow(job);
  if (isWaiting) return job.attempt > 0 ? "waiting to be taken up again" : "waiting for its turn";
  if (isActive(job)) {
    const again = job.attempt > 1 ? `, attempt ${job.attempt}` : "";
    return `${progressOf(epoch, epochs, eta)}${again}`;
  }
  if (job.state === "failed") return proseOf(plain(job.error?.message ?? "failed"));
  if (job.state === "cancelled") return `after ${progressOf(epoch, epochs, null)}`;
  const { metrics, promotion } = job;
  const part = judgedPart(metrics);
  const end = isDeleted(job) ? "deleted since" : `${isActiveNow(job) ? "active now; " : ""}${promotionOf(promotion)}`;
  return `mean error ${number(metrics?.[`${part}_mae`], 3)} · ${end}`;
}

/** Say aloud when a job begins, passes a quarter, ends. */
function tell(job) {
  const quarter = job.state === "running" ? Math.floor(job.progress.fraction * 4) * 25 : 0;
  const words = job.state === "running" && quarter > 0 ? `${quarter} percent of the training done` : `${STATES[job.state]}: ${jobName(job)}. ${isActive(job) ? "" : detailOf(job)}`;
  const before = told.get(job.id);
  told.set(job.id, words);
  if (before !== undefined ? before !== words : isActive(job)) announce(words);
}

async function cancel(id) {
  try {
    await post(`jobs/${id}/cancel`);
    const active = state.info?.active_version;
    toast(active ? `Cancelled. Version ${active} still answers.` : "Cancelled.");
  } catch (error) {
    toast(wordsOf(error), true);
  }
  refresh();
}

async function more() {
  const found = await get(`jobs?model=${encodeURIComponent(state.model)}&limit=20&after=${state.moreJobs}`);
  const known = new Set(state.jobs.map((job) => job.id));
  set({ jobs: [...state.jobs, ...found.jobs.filter((job) => !known.has(job.id))], moreJobs: found.next, compared: state.compared ?? comparedJobs().map((job) => job.id) });
}
