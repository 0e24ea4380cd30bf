// The form that trains: a line with its parameters, pasted points, or a file.

import { modelPath, post, Problem } from "./api.js";
import { advancedPart, architectureOf, hiddenFaults, optionsOf, suited, tellChanged } from "./advanced.js";
import { $, announce, fill, h, setText, tabs, toast } from "./dom.js";
import { clearFaults, field, numberFaults, numberIn, numeric, select, showFaults, text } from "./fields.js";
import { count, number } from "./format.js";
import { columnsOf, parsePoints, placeOf, pointsData, pointsFaults, pointsText } from "./points.js";
import { isActive, on, set, state } from "./state.js";
import { filePart } from "./upload.js";
import { whatWillBe } from "./verdict.js";
import { endOf, plain } from "./words.js";

const SOURCES = [["line", "A line"], ["points", "Pasted points"], ["file", "A file"]];
const LINE = [["weight", "Weight", "0.7"], ["bias", "Bias", "0.3"], ["noise", "Noise", "0", { "data-least": "0" }], ["start", "From x", "0"], ["end", "To x", "1"], ["step", "Step", "0.02", { "data-above": "0" }]];
const MOST_ADOPTED = 2000;
const KEPT = "refit-form"; // in the storage of the tab, for after a reload
const MOST_KEPT = 200_000; // characters of pasted points
const [TWO_COLUMNS, ONE_COLUMN] = ["(min-width: 1100px)", "(max-width: 60rem)"];
const EXAMPLE = "area\trooms\tprice\n30\t1\t67\n45\t2\t112\n60\t2\t142\n75\t3\t189\n90\t3\t214\n105\t4\t263";

let source = "line";
let form = null;
let file = null;
let changed = () => {};
let busy = false;
let adopted = ""; // the model whose rows the form began with
let latest = null; // of several sentences on the way, the one that was asked for last counts
let touched = false; // a person has changed something: then nothing is filled in any more
const begun = new Set(); // ids of the jobs that were begun here and have not ended

export function startTraining({ refresh, select: selectModel, onChange }) {
  changed = onChange;
  form = $("train-form");
  file = filePart(update);
  fill(form,
    h("div", { id: "train-source", class: "tabs", role: "group", "aria-label": "Where the rows come from" }),
    h("div", { id: "source-line", class: "grid-3" }, LINE.map(([name, label, value, limits]) => field(`/data/${name}`, label, numeric(name, value, { placeholder: value, title: `Empty means ${value}`, ...limits })))),
    h("div", { id: "source-points", hidden: true }, pointsField()),
    h("div", { id: "source-file", hidden: true }, file.element),
    h("p", { id: "train-hint", class: "hint fixed" }),
    h("div", { class: "grid-2 kind-and-name" },
      field("/architecture/kind", "Kind of model", select("kind", [["linear", "Linear"], ["mlp", "Neural network"], ["parameters", "Two parameters"]], "linear")),
      field("/model", "Model name", text("model", state.model, { maxlength: "64" })),
      h("p", { id: "model-hint", class: "hint" })),
    advancedPart(() => { touched = true; update(); }),
    h("p", { class: "error form-error", tabindex: "-1" }),
    h("button", { type: "submit", class: "primary wide-button" }, "Train"));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    submit(refresh, selectModel);
  });
  form.elements.model.setAttribute("aria-describedby", `model-hint ${form.elements.model.getAttribute("aria-describedby")}`);
  form.addEventListener("input", () => { touched = true; update(); });
  form.addEventListener("change", update);
  addEventListener("pagehide", keep);
  let before = state.model;
  on(["model"], () => {
    if (form.elements.model.value.trim() === before) form.elements.model.value = state.model;
    before = state.model;
    update();
  });
  on(["shown", "model"], adopt);
  on(["models", "info", "loaded"], sayWhatWillBe);
  on(["jobs"], tellEnds);
  chooseSource("line");
  recall();
}

/** What somebody has filled in is there again after a reload. */
function keep() {
  if (!touched) return;
  const values = {};
  for (const { name, value } of form.elements) if (name && !["feature", "target", "drop"].includes(name) && value.length < MOST_KEPT) values[name] = value;
  try {
    sessionStorage.setItem(KEPT, JSON.stringify({ source, values, data: file.data(), open: form.querySelector("details").open }));
  } catch {
    // No room, or no storage for this page: then it begins anew.
  }
}

async function recall() {
  let kept = null;
  try {
    kept = JSON.parse(sessionStorage.getItem(KEPT));
  } catch {
    // As above.
  }
  if (!kept) return;
  touched = true;
  for (const [name, value] of Object.entries(kept.values)) if (form.elements[name]) form.elements[name].value = value;
  form.querySelector("details").open = kept.open;
  chooseSource(kept.source);
  if (kept.data) await file.take(kept.data);
}

/** Begin with the rows that the model on screen was made from: training again is one click then. */
async function adopt() {
  const version = state.shown?.version;
  if (!version || version.model !== state.model || adopted === version.model) return;
  adopted = version.model;
  if (touched) return;
  const { data, architecture } = version.spec;
  if ([...form.elements.kind.options].some((option) => option.value === architecture.kind)) form.elements.kind.value = architecture.kind;
  if (data.source === "import") return;
  if (data.source === "line") for (const [name] of LINE) form.elements[name].value = String(data[name]);
  else if (data.source === "points") form.elements.points.value = data.x.length <= MOST_ADOPTED ? pointsText(data) : "";
  else await file.take(data);
  chooseSource(data.source === "dataset" ? "file" : data.source);
}

function pointsField() {
  const area = h("textarea", { name: "points", rows: "7", spellcheck: "false", autocomplete: "off", placeholder: "area\tprice\n30\t67\n45\t112", wrap: "off" });
  const whole = field("/data", "Points, one row a line", area, "Paste from a spreadsheet. The last column is what to predict; a header is optional.");
  whole.append(h("button", { type: "button", class: "small", onclick: () => { area.value = EXAMPLE; touched = true; update(); } }, "Fill in an example"));
  return whole;
}

function chooseSource(key) {
  source = key;
  tabs($("train-source"), SOURCES, key, (chosen) => { touched = true; chooseSource(chosen); });
  for (const [name] of SOURCES) $(`source-${name}`).hidden = name !== key;
  if (key === "file") file.list();
  clearFaults(form);
  update();
}

/** What would be sent now. */
export function trainingBody() {
  const body = {};
  const pasted = source === "points" ? parsePoints(form.elements.points.value) : null;
  if (source === "line") body.data = lineData();
  else if (source === "points") body.data = pointsData(pasted);
  else body.data = file.data() ?? { source: "dataset" };
  const architecture = architectureOf(form);
  if (architecture) body.architecture = architecture;
  return suited(Object.assign(body, optionsOf(form)));
}

/** Why it cannot be sent, in a sentence; null where it can. */
export const trainingFault = () => ownFaults(trainedModel(), source === "points" ? parsePoints(form.elements.points.value) : null)[0]?.detail ?? null;

export const trainedModel = () => form.elements.model.value.trim();

/** A curve of a hundred points is good to look at; the service's default is ten. */
function finer(body) {
  if (body.evaluate_every !== undefined || (source === "file" && file.rows() > 10_000)) return body;
  const isLinear = !body.architecture || body.architecture.kind === "parameters";
  const epochs = typeof body.epochs === "number" ? body.epochs : source === "line" ? 1000 : isLinear ? 50 : 500;
  return { ...body, evaluate_every: Math.max(1, Math.floor(epochs / 100)) };
}

function lineData() {
  const data = { source: "line" };
  for (const [name, , usual] of LINE) {
    const value = numberIn(form.elements[name]);
    if (value !== undefined && value !== Number(usual)) data[name] = value;
  }
  return data;
}

/** What would be trained, in words below the fields. */
function update() {
  const hint = $("train-hint");
  if (source === "line") {
    const { weight = 0.7, bias = 0.3, start = 0, end = 1, step = 0.02, noise = 0 } = lineData();
    const rows = Math.ceil((end - start) / step);
    const sign = bias < 0 ? "−" : "+";
    hint.textContent = Number.isFinite(rows) && rows > 0 && [weight, bias].every(Number.isFinite)
      ? `${count(rows, "point")} of y = ${number(weight)} x ${sign} ${number(Math.abs(bias))}${noise ? " and noise" : ""}${form.elements.train_share.value.trim() ? "" : ", a fifth to test"}`
      : "";
  } else if (source === "points") {
    const { names, rows, comma } = parsePoints(form.elements.points.value);
    const columns = rows[0]?.length ?? 0;
    const what = names && columns > 1 ? `${names.at(-1)} from ${names.slice(0, -1).join(", ")}` : columns > 1 ? `the last column from ${columns === 2 ? "the first" : `the first ${columns - 1}`}` : "";
    hint.textContent = rows.length === 0 ? "" : columns < 2 ? "Each line needs at least two numbers." : `${count(rows.length, "row")}: predict ${what}.${comma ? ` ${comma} is read as ${comma.replace(",", ".")}.` : ""}`;
  } else hint.textContent = file.words();
  $("mlp-fields").hidden = form.elements.kind.value !== "mlp";
  tellChanged(form);
  sayWhatWillBe();
  changed();
}

/** Whether the new version will answer, in a line below its name. */
async function sayWhatWillBe() {
  const asked = {};
  latest = asked;
  const words = await whatWillBe(trainedModel(), form.elements.promote.value, ownColumns());
  if (latest === asked) setText($("model-hint"), words);
}

function ownColumns() {
  if (source === "line") return { features: ["x"], targets: ["y"] };
  if (source === "file") {
    const data = file.data();
    return data?.target ? { features: data.features, targets: [data.target], categories: data.categories } : null;
  }
  const pasted = parsePoints(form.elements.points.value);
  return pasted.rows.length ? columnsOf(pasted) : null;
}

/** What keeps the form from being sent, as faults like those of the service. */
function ownFaults(model, pasted) {
  const faults = [...numberFaults(form), ...hiddenFaults(form)];
  const { start = 0, end = 1 } = lineData();
  if (source === "line" && start >= end) faults.push({ pointer: "/data/end", detail: `Enter a number above ${start}, which is “From x”` });
  if (pasted) faults.push(...pointsFaults(pasted).map((detail) => ({ pointer: "/data", detail })));
  if (source === "file") faults.push(...file.faults().map((detail) => ({ pointer: "/data", detail })));
  if (!/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/.test(model)) faults.push({ pointer: "/model", detail: "Use letters, digits, “.”, “_” and “-”, at most 64 of them; begin with a letter or digit" });
  return faults;
}

async function submit(refresh, selectModel) {
  if (busy) return;
  clearFaults(form);
  const model = trainedModel();
  const pasted = source === "points" ? parsePoints(form.elements.points.value) : null;
  const faults = ownFaults(model, pasted);
  if (faults.length) {
    showFaults(form, { faults });
    return;
  }
  const button = form.querySelector("[type=submit]");
  busy = true;
  button.disabled = true;
  button.textContent = "Sending …";
  const hadFocus = document.activeElement === button;
  try {
    const job = await post(`${modelPath(model)}/train`, finer(trainingBody()));
    announce("The training has been asked for.");
    begun.add(job.id);
    await selectModel(model);
    set({ compared: null, jobs: [job, ...state.jobs.filter((known) => known.id !== job.id)] });
    showCurves();
    await refresh();
  } catch (error) {
    if (error instanceof Problem) refuse(error, pasted);
    else toast("The service does not answer; nothing was begun.", true);
  } finally {
    busy = false;
    button.disabled = false;
    button.textContent = "Train";
    // A button that cannot be pressed loses the focus.
    if (hadFocus && document.activeElement === document.body) button.focus({ preventScroll: true });
  }
}

/** The service's faults; that a line has too many rows is said at its step, which makes them. */
function refuse({ faults, message }, pasted) {
  const placed = faults.map((fault) => (fault.pointer === "/data" && source === "line" ? { pointer: "/data/step", detail: `${plain(fault.detail)}: enter a larger step` } : fault));
  showFaults(form, { faults: placed, message }, (fault) => (pasted ? placeOf(fault, pasted, pasted.rows) : fault.detail));
}

/** Where the curve stands below the form, show it; beside the form nothing moves under people's eyes. */
function showCurves() {
  const card = $("curves");
  const { top, bottom } = card.getBoundingClientRect();
  const isSeen = top < innerHeight && bottom > 0;
  if (matchMedia(TWO_COLUMNS).matches || (isSeen && !matchMedia(ONE_COLUMN).matches)) return;
  const behavior = matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth";
  card.scrollIntoView({ block: "start", behavior });
}

/** Tell of each training that was begun here, once it has ended. */
function tellEnds() {
  for (const job of state.jobs) {
    if (!begun.has(job.id) || isActive(job)) continue;
    begun.delete(job.id);
    if (job.state !== "cancelled") toast(endOf(job), job.state === "failed");
  }
}
