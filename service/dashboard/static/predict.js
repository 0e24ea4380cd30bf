// The box to predict with: one field for each feature, the answer, and which version gave it.

import { getIfThere, modelPath, post, Problem, versionPath } from "./api.js";
import { $, fill, h, scrollBox } from "./dom.js";
import { clearFaults, field, numberFaults, numberIn, numeric, select, showFaults, text } from "./fields.js";
import { answerOf, count, number } from "./format.js";
import { readNumbers } from "./numbers.js";
import { on, set, shownNumber, state } from "./state.js";

const MANY_FEATURES = 40;
const MOST_READ = 6;
const HOW = "One number, or several between spaces; 0,5 is 0.5";

let form = null;
let changed = () => {};
let drawn = ""; // the features that the form was made for
let touched = false; // values are a person's now: nothing is filled in over them

export function startPredicting({ onChange }) {
  form = $("predict-form");
  changed = onChange;
  form.addEventListener("submit", (event) => { event.preventDefault(); predict(); });
  form.addEventListener("input", () => { touched = true; tellRead(); changed(); });
  on(["shown", "loaded"], render);
}

function render() {
  if (!state.loaded) return;
  const params = state.shown?.params ?? null;
  if (!params) {
    if (shownNumber() !== null) return;
    drawn = "";
    fill(form, h("div", { class: "empty" }, h("strong", {}, "Nothing to ask yet"), h("p", {}, "Train a model first; then type a value here.")));
    fill($("predict-result"));
    return;
  }
  const key = JSON.stringify([state.model, params.feature_names, params.categories]);
  if (key !== drawn) {
    [drawn, touched] = [key, false];
    fill(form, inputs(params), h("p", { class: "error form-error", tabindex: "-1" }), h("button", { type: "submit", class: "primary" }, "Predict"));
    fill($("predict-result"), h("p", { class: "hint" }, `The answer appears here, with the version that gave it.`));
    prefill(params);
  } else if (state.prediction === null) fill($("predict-result"), h("p", { class: "hint" }, `Version ${params.version} will answer.`));
  changed();
}

function inputs(params) {
  const names = params.feature_names;
  if (names.length === 1 && !params.categories[names[0]]) return field("/x", names[0], text("value-0", "0.5", { maxlength: "20000" }), HOW);
  const fields = names.slice(0, MANY_FEATURES * 5).map((name, index) => {
    const words = params.categories[name];
    const input = words ? select(`value-${index}`, words.map((word) => [word, word]), words[0]) : numeric(`value-${index}`, "0");
    return field(`/rows/0/${name.replaceAll("~", "~0").replaceAll("/", "~1")}`, name, input);
  });
  return scrollBox({ class: "predict-fields", "aria-label": "Features" }, fields, `${count(names.length, "input")}: scroll to see all.`);
}

/** Where a comma had to be understood, say how. */
function tellRead() {
  const input = form.elements["value-0"];
  if (!isSeveral(input)) return;
  const { values } = readNumbers(input.value);
  const some = values.slice(0, MOST_READ).join(" and ");
  form.querySelector(".hint").textContent = !input.value.includes(",") || values.length === 0 ? HOW : `Read as ${values.length > MOST_READ ? `${count(values.length, "number")}: ${some} …` : some}`;
}

/** Whether a field takes several numbers: that of a model with one feature. */
const isSeveral = (input) => input?.maxLength > 0;

/** Values to begin with that are like those of the training rows. */
async function prefill(params) {
  const { data } = state.shown.version.spec;
  const names = params.feature_names;
  let usual = null;
  if (data.source === "points") {
    const middle = data.x[Math.floor(data.x.length / 2)];
    usual = [middle].flat();
  } else if (data.source === "dataset") {
    const dataset = await getIfThere(`datasets/${data.dataset}`).catch(() => null);
    const column = (name) => dataset?.columns.find((known) => known.name === name);
    usual = names.map((name) => column(name)?.mean ?? null);
    names.forEach((name, index) => { if (column(name)?.type === "integer" && usual[index] !== null) usual[index] = Math.round(usual[index]); });
  }
  if (!usual || touched || state.shown?.params !== params) return;
  names.forEach((name, index) => {
    const input = form.elements[`value-${index}`];
    if (input && input.tagName === "INPUT" && usual[index] !== null && usual[index] !== undefined) input.value = String(Number(Number(usual[index]).toPrecision(4)));
  });
  changed();
}

/** What would be sent now: {x} for one feature, {rows} by name for several; null without a model. */
export function predictionBody() {
  const params = state.shown?.params;
  if (!params || !form.elements["value-0"]) return null;
  const names = params.feature_names;
  const several = form.elements["value-0"];
  if (isSeveral(several)) {
    const { values, fault } = readNumbers(several.value);
    return { x: fault ? [several.value.trim()] : values };
  }
  const row = {};
  names.forEach((name, index) => {
    const input = form.elements[`value-${index}`];
    if (!input) return;
    row[name] = input.tagName === "SELECT" ? input.value : numberIn(input) ?? null;
  });
  return { rows: [row] };
}

/** Why nothing can be asked, in a sentence; null where it can. */
export const predictionFault = () => (predictionBody() ? ownFaults()[0]?.detail ?? null : null);

/** What is wrong with the values, before anybody is asked. */
function ownFaults() {
  const several = form.elements["value-0"];
  if (!isSeveral(several)) return numberFaults(form, true);
  const { fault } = readNumbers(several.value);
  return fault ? [{ pointer: "/x", detail: fault }] : [];
}

async function predict() {
  const body = predictionBody();
  if (!body) return;
  touched = true;
  clearFaults(form);
  const faults = ownFaults();
  if (faults.length) return refuse({ faults });
  const { shown, info, model } = state;
  const isActive = shown.version.version === info?.active_version;
  const path = isActive ? modelPath(model) : versionPath(model, shown.version.version);
  try {
    const answer = await post(`${path}/predict`, { ...body, explain: true });
    show(answer, body, shown.params);
  } catch (error) {
    if (error instanceof Problem) refuse(error);
    else fill($("predict-result"), h("p", { class: "error" }, "The service does not answer."));
  }
}

function refuse(problem) {
  showFaults(form, problem);
  fill($("predict-result"), h("p", { class: "hint" }, "No answer: see what is marked above."));
}

function show(answer, body, params) {
  const [outside, targets] = [answer.extrapolating ?? [], params.target_names];
  const rows = answer.y.map((y) => [y].flat());
  const isOne = rows.length === 1 && targets.length === 1;
  const main = isOne
    ? h("p", { class: "answer" }, h("span", { class: "answer-name" }, targets[0]), h("strong", {}, answerOf(rows[0][0])))
    : scrollBox({ class: "answers", "aria-label": "Answers" }, h("table", { class: "numbers" },
      h("thead", {}, h("tr", {}, [body.x ? params.feature_names[0] : "Row", ...targets].map((head) => h("th", { scope: "col" }, head)))),
      h("tbody", {}, rows.map((values, index) => h("tr", {}, h("th", { scope: "row" }, body.x ? number(body.x[index], 6) : String(index + 1), outside[index] && h("span", { class: "outside", title: "Outside what was seen in training" }, " ⚠")), values.map((value) => h("td", { class: "strong" }, answerOf(value))))))), `${count(rows.length, "answer")}: scroll to see all.`);
  const isOutside = outside.some(Boolean);
  fill($("predict-result"), main,
    h("p", { class: "answer-foot" },
      h("span", { class: "badge" }, `answered by version ${answer.version}`),
      isOutside && h("span", { class: "badge is-warning", title: "A feature lies below or above all training rows" }, "extrapolating: outside what was seen in training")));
  if (body.x) set({ prediction: { model: answer.model, version: answer.version, x: body.x, y: answer.y } });
}
