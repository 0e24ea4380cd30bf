// The form that trains: a line with its parameters, pasted points, or a file.

import { modelPath, post, Problem } from "./api.js";
import { advancedPart, architectureOf, optionsOf } from "./advanced.js";
import { $, announce, fill, h, tabs, toast } from "./dom.js";
import { clearFaults, field, numberIn, numeric, select, showFaults, text } from "./fields.js";
import { count, number } from "./format.js";
import { parsePoints, placeOf, pointsData, pointsText } from "./points.js";
import { on, set, state } from "./state.js";
import { filePart } from "./upload.js";

const SOURCES = [["line", "A line"], ["points", "Pasted points"], ["file", "A file"]];
const LINE = [["weight", "Weight", "0.7"], ["bias", "Bias", "0.3"], ["noise", "Noise", "0"], ["start", "From x", "0"], ["end", "To x", "1"], ["step", "Step", "0.02"]];
const MOST_ADOPTED = 2000;
const EXAMPLE = "area\trooms\tprice\n30\t1\t67\n45\t2\t112\n60\t2\t142\n75\t3\t189\n90\t3\t214\n105\t4\t263";

let source = "line";
let form = null;
let file = null;
let changed = () => {};
let busy = false;
let adopted = ""; // the model whose rows the form began with
let touched = false; // a person has changed something: then nothing is filled in any more

export function startTraining({ refresh, select: selectModel, onChange }) {
  changed = onChange;
  form = $("train-form");
  file = filePart(update);
  fill(form,
    h("div", { id: "train-source", class: "tabs", role: "group", "aria-label": "Where the rows come from" }),
    h("div", { id: "source-line", class: "grid-3" }, LINE.map(([name, label, value]) => field(`/data/${name}`, label, numeric(name, value)))),
    h("div", { id: "source-points", hidden: true }, pointsField()),
    h("div", { id: "source-file", hidden: true }, file.element),
    h("p", { id: "train-hint", class: "hint fixed" }),
    h("div", { class: "grid-2" },
      field("/architecture/kind", "Kind of model", select("kind", [["linear", "Linear"], ["mlp", "Neural network"], ["parameters", "Two parameters"]], "linear")),
      field("/model", "Model name", text("model", state.model, { maxlength: "64" }))),
    advancedPart(),
    h("p", { class: "error form-error", tabindex: "-1" }),
    h("button", { type: "submit", class: "primary wide-button" }, "Train"));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    submit(refresh, selectModel);
  });
  form.addEventListener("input", () => { touched = true; update(); });
  form.addEventListener("change", update);
  let before = state.model;
  on(["model"], () => {
    if (form.elements.model.value.trim() === before) form.elements.model.value = state.model;
    before = state.model;
    update();
  });
  on(["shown", "model"], adopt);
  chooseSource("line");
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
  whole.append(h("button", { type: "button", class: "quiet small", onclick: () => { area.value = EXAMPLE; touched = true; update(); } }, "Fill in an example"));
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
  Object.assign(body, optionsOf(form));
  if (body.evaluate_every === undefined) {
    const every = finer(body);
    if (every) body.evaluate_every = every;
  }
  return body;
}

export const trainedModel = () => form.elements.model.value.trim();

/** A curve of a hundred points is good to look at; the service's default is ten. */
function finer(body) {
  if (source === "file" && file.rows() > 10_000) return null;
  const isLinear = !body.architecture || body.architecture.kind === "parameters";
  const epochs = typeof body.epochs === "number" ? body.epochs : source === "line" ? 1000 : isLinear ? 50 : 500;
  return Math.max(1, Math.floor(epochs / 100));
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
      ? `${count(rows, "point")} of y = ${number(weight)} x ${sign} ${number(Math.abs(bias))}${noise ? " and noise" : ""}, a fifth to test`
      : "";
  } else if (source === "points") {
    const { names, rows, between } = parsePoints(form.elements.points.value);
    const columns = rows[0]?.length ?? 0;
    const what = names && columns > 1 ? `${names.at(-1)} from ${names.slice(0, -1).join(", ")}` : columns > 1 ? `the last column from ${columns === 2 ? "the first" : `the first ${columns - 1}`}` : "";
    hint.textContent = rows.length === 0 ? "" : columns < 2 ? "Each line needs at least two numbers." : `${count(rows.length, "row")} between ${between}: predict ${what}.`;
  } else hint.textContent = "";
  $("mlp-fields").hidden = form.elements.kind.value !== "mlp";
  changed();
}

async function submit(refresh, selectModel) {
  if (busy) return;
  clearFaults(form);
  const model = trainedModel();
  if (!/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/.test(model)) {
    showFaults(form, { faults: [{ pointer: "/model", detail: "letters, digits, '.', '_' and '-', at most 64, and a letter or digit first" }] });
    return;
  }
  if (source === "file" && !file.data()) {
    showFaults(form, { message: "Choose a file first.", faults: [] });
    return;
  }
  const button = form.querySelector("[type=submit]");
  busy = true;
  button.disabled = true;
  button.textContent = "Sending …";
  const pasted = source === "points" ? parsePoints(form.elements.points.value) : null;
  try {
    const job = await post(`${modelPath(model)}/train`, trainingBody());
    announce("The training has been asked for.");
    await selectModel(model);
    set({ compared: null, jobs: [job, ...state.jobs.filter((known) => known.id !== job.id)] });
    $("curves").scrollIntoView({ block: "nearest", behavior: "smooth" });
    await refresh();
  } catch (error) {
    if (error instanceof Problem) showFaults(form, error, (fault) => (pasted ? placeOf(fault, pasted, pasted.rows) : fault.detail));
    else toast("The service does not answer; nothing was begun.", true);
  } finally {
    busy = false;
    button.disabled = false;
    button.textContent = "Train";
  }
}
