// The version on screen: the active one, or another that somebody looks at.

import { get, getIfThere, modelPath, Problem, versionPath } from "./api.js";
import { $, fill, h, since } from "./dom.js";
import { capital, judgedPart, number, proseOf, r2 } from "./format.js";
import { formula, parameterTable, recipe } from "./params.js";
import { isActive, on, set, shownNumber, state } from "./state.js";
import { plain } from "./words.js";

let wanted = ""; // model and version that are on screen, or on their way

export function startServing() {
  on(["info", "looked", "model", "loaded"], load);
  on(["shown", "info", "looked", "model", "loaded", "jobs", "files"], render);
}

/** Fetch what the card shows, once for each version. */
async function load() {
  const [model, version] = [state.model, shownNumber()];
  const key = `${model} ${version}`;
  if (!state.loaded || key === wanted) return;
  wanted = key;
  if (version === null) {
    set({ shown: null, prediction: null });
    return;
  }
  try {
    const path = versionPath(model, version);
    const [record, params] = await Promise.all([
      state.versions.find((known) => known.version === version && known.model === model) ?? get(path),
      get(`${path}/params?state_dict=false`).catch(nothingIfProblem),
    ]);
    const { fit, problem } = await fitOf(record);
    // Known already, unless it is on no page of the list; then its curve is wanted all the same.
    const job = record.job === null || state.jobs.some((known) => known.id === record.job) ? null : await getIfThere(`jobs/${record.job}`).catch(nothingIfProblem);
    if (key === wanted) set({ shown: { version: record, params, fit, problem, job }, prediction: null });
  } catch (error) {
    if (key === wanted) wanted = "";
    if (error instanceof Problem) set({ looked: null });
  }
}

function nothingIfProblem(error) {
  if (error instanceof Problem) return null;
  throw error;
}

async function fitOf(version) {
  if (version.job === null) return { fit: null, problem: "This version was imported: its rows are not here." };
  try {
    const fit = await getIfThere(`jobs/${version.job}/fit`);
    return { fit, problem: fit ? null : "The rows this version was trained on are no longer here." };
  } catch (error) {
    if (error instanceof Problem) return { fit: null, problem: `No picture: ${error.message}.` };
    throw error;
  }
}

function render() {
  if (!state.loaded) return;
  const { shown, info } = state;
  const body = $("serving-body");
  const isLooked = state.looked !== null && state.looked !== info?.active_version;
  $("serving-name").textContent = state.model;
  $("serving-kicker").textContent = shownNumber() === null ? "Nothing answers yet" : isLooked ? "Not active" : "Answering now";
  body.classList.toggle("loading", shownNumber() !== null && shown === null);
  body.classList.toggle("blank", shownNumber() === null);
  renderLooking(isLooked);
  if (shownNumber() === null) {
    blank();
    return;
  }
  body.querySelector(".empty.wide")?.remove();
  if (!shown) return;
  const { version, params } = shown;
  fill($("serving-version"), `version ${version.version}`);
  fill($("stats"), stats(version));
  const words = params && formula(params);
  fill($("params"),
    words && h("p", { class: "formula" }, words),
    version.warnings.length > 0 && h("ul", { class: "warnings", "aria-label": "Warnings" }, version.warnings.map((warning) => h("li", {}, proseOf(warning)))),
    params && parameterTable(params),
    recipe(version, params, state.files, jobOf(version)),
    h("p", { class: "hint" }, "Made ", since(version.created_at), " · ",
      h("a", { href: `${versionPath(version.model, version.version)}/state_dict.pth` }, "Download state_dict.pth")));
}

const jobOf = (version) => state.jobs.find((job) => job.id === version.job) ?? state.shown.job;

function stats(version) {
  const { metrics } = version;
  const part = judgedPart(metrics);
  const tiles = [
    ["Mean error", number(metrics[`${part}_mae`], 3), `Mean absolute error of the ${part} rows (MAE)`],
    ["RMSE", number(metrics[`${part}_rmse`], 3), `Root mean square error of the ${part} rows`],
    ["R²", r2(metrics[`${part}_r2`]), `Share of the variance of the ${part} rows that is explained`],
  ];
  return tiles.map(([name, value, title]) => h("div", { title }, h("dt", {}, name, h("small", {}, ` ${part}`)), h("dd", {}, value)));
}

function renderLooking(isLooked) {
  const box = $("looking");
  box.hidden = !isLooked;
  const [active, looked] = [state.info?.active_version, state.looked];
  const words = isLooked ? `You are looking at version ${looked}. ${active ? `Clients are answered by version ${active}` : "No version answers clients"}; the form on this page asks version ${looked}.` : "";
  if (words === box.querySelector("p")?.textContent) return;
  const hadFocus = box.contains(document.activeElement);
  fill(box, isLooked && [
    h("p", {}, words),
    h("div", { class: "note-buttons" },
      h("button", { type: "button", "data-activate": String(looked) }, `Activate version ${looked} …`),
      h("button", { type: "button", class: "quiet", onclick: () => set({ looked: null }) }, active ? `Back to version ${active}` : "Back"))]);
  if (hadFocus) $("serving").focus({ preventScroll: true });
}

function blank() {
  const training = state.jobs.some(isActive);
  const last = state.jobs[0];
  fill($("serving-version"), "no version yet");
  fill($("stats"));
  const body = $("serving-body");
  body.querySelector(".empty.wide")?.remove();
  const words = training
    ? [h("strong", {}, "The first version is on its way."), h("p", {}, "It appears here when its training ends; watch the learning curves.")]
    : last?.state === "failed" ? [h("strong", {}, "The last training failed."), h("p", {}, capital(proseOf(plain(last.error?.message ?? "no reason is known"))))]
    : last?.state === "cancelled" ? [h("strong", {}, "The last training was cancelled."), h("p", {}, "It made no version. Press Train to begin another.")]
    : [h("strong", {}, "Nothing has been trained yet."), h("p", {}, "Press Train: a line is learned in a second, and this card shows what came of it.")];
  body.append(h("div", { class: "empty wide" }, words, !training && h("a", { class: "button primary", href: "#train" }, "Go to training")));
}
