// Parameters beside the truth and the least-squares optimum; coefficients; how a version was made.

import { h, scrollBox } from "./dom.js";
import { architectureName, dataName, epochsOf, lineOf, listOf, lossName, number, whole } from "./format.js";

const SHOWN = 60;
const NAMED = 12; // features that are named in a sentence
const OPTIMIZERS = { sgd: "SGD", adam: "Adam", adamw: "AdamW", lbfgs: "L-BFGS" };

/** Rows of [name, learned, truth, optimum] for one target; the bias comes last. */
export function parameterRows(params, target = 0) {
  const pick = (line) => {
    if (!line || line.weight === null || line.weight === undefined) return null;
    const several = Array.isArray(line.bias);
    const weight = several ? line.weight[target] : line.weight;
    return [...[weight].flat(), several ? line.bias[target] : line.bias];
  };
  const lines = [pick(params), pick(params.truth), pick(params.least_squares)];
  if (!lines[0]) return [];
  const most = Math.max(...lines.flatMap((line) => (line ?? []).map(Math.abs)));
  const [learned, truth, optimum] = lines.map((line) => line?.map((value) => (isDust(value, most) ? 0 : value)));
  const names = params.columns.length === 1 ? ["weight", "bias"] : [...params.columns, "bias"];
  return names.map((name, index) => [name, learned[index], truth?.[index], optimum?.[index]]);
}

/** What is left of a zero after sums of floating-point numbers. */
const isDust = (value, most) => Math.abs(value) < 1e-12 && Math.abs(value) < 1e-12 * most;

/** The table beside the picture; null where the model is not linear. */
export function parameterTable(params) {
  const rows = parameterRows(params);
  if (rows.length === 0) return null;
  const hasTruth = params.truth !== null;
  const hasOptimum = params.least_squares !== null;
  const shown = rows.length > SHOWN ? [...rows.slice(0, SHOWN - 1), rows.at(-1)] : rows;
  const some = rows.length > SHOWN ? `The first ${SHOWN} of ${whole(rows.length)} parameters` : `${whole(rows.length)} parameters`;
  return h("div", {},
    scrollBox({ class: "params-scroll", "aria-label": "Parameters" }, h("table", { class: "numbers" },
      h("caption", { class: "sr-only" }, "Parameters in raw units"),
      h("thead", {}, h("tr", {},
        h("th", { scope: "col" }, "Parameter"),
        h("th", { scope: "col" }, "Learned"),
        hasTruth && h("th", { scope: "col" }, "Truth"),
        hasOptimum && h("th", { scope: "col", title: "The optimum over the training rows, in closed form" }, "Optimum"))),
      h("tbody", {}, shown.map(([name, learned, truth, optimum]) => h("tr", {},
        h("th", { scope: "row", title: name }, name),
        h("td", { class: "strong" }, number(learned)),
        hasTruth && h("td", {}, number(truth)),
        hasOptimum && h("td", {}, number(optimum)))))), `${some}: scroll to see all.`));
}

/** A bar for each coefficient, the longest first. */
export function coefficients(params, target) {
  const rows = parameterRows(params, target).slice(0, -1)
    .sort((a, b) => Math.abs(b[1]) - Math.abs(a[1])).slice(0, SHOWN);
  const most = Math.max(...rows.flatMap(([, learned, , optimum]) => [Math.abs(learned), Math.abs(optimum ?? 0)]), 1e-300);
  const bars = rows.map(([name, learned, , optimum]) => h("tr", {},
    h("th", { scope: "row", title: name }, name),
    h("td", { class: "bar-cell" }, bar(learned, optimum, most)),
    h("td", { class: "strong" }, number(learned)),
    h("td", {}, number(optimum))));
  return h("div", { class: "coefficients scroll", tabindex: "0", role: "region", "aria-label": "Coefficients" },
    h("p", { class: "hint" }, "In raw units: how much the prediction grows when the feature grows by 1. The tick is the least-squares optimum."),
    h("table", { class: "numbers" },
      h("caption", { class: "sr-only" }, "Coefficients in raw units, largest first"),
      h("thead", {}, h("tr", {}, ["Feature", "", "Learned", "Optimum"].map((head) => h("th", { scope: "col" }, head)))),
      h("tbody", {}, bars)));
}

function bar(value, optimum, most) {
  const svg = (tag, attributes) => {
    const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, text] of Object.entries(attributes)) element.setAttribute(name, String(text));
    return element;
  };
  const half = 48;
  const length = (Math.abs(value) / most) * half;
  const picture = svg("svg", { viewBox: "0 0 100 12", preserveAspectRatio: "none", "aria-hidden": "true", class: "bar-svg" });
  picture.append(svg("line", { x1: 50, x2: 50, y1: 0, y2: 12, class: "bar-zero" }));
  picture.append(svg("rect", { x: value < 0 ? 50 - length : 50, y: 2, width: Math.max(0.4, length), height: 8, class: value < 0 ? "bar-minus" : "bar-plus" }));
  if (optimum !== null && optimum !== undefined) {
    const place = 50 + (optimum / most) * half;
    picture.append(svg("line", { x1: place, x2: place, y1: 0, y2: 12, class: "bar-optimum" }));
  }
  return picture;
}

/** The line as a formula, for one feature and one target. */
export function formula(params) {
  if (params.columns.length !== 1 || params.target_names.length !== 1 || typeof params.weight !== "number") return null;
  const [, [, bias]] = parameterRows(params);
  return `${params.target_names[0]} = ${lineOf(params.weight, bias, params.columns[0])}`;
}

/** How a version was made, as terms and descriptions. */
export function recipe(version, params, files, job) {
  const { spec, environment } = version;
  const rows = environment.rows ?? null;
  const parts = rows && ["train", "validation", "test"].filter((part) => rows[part]).map((part) => `${whole(rows[part])} ${part}`).join(" · ");
  const facts = [
    ["Data", dataName(spec.data, files)],
    ["Rows", parts],
    ["Predicts", params && params.feature_names.length > 1 ? `${params.target_names.join(", ")} from ${listOf(params.feature_names, NAMED)}` : null],
    ["Model", architectureName(spec.architecture)],
    // A version that was imported tells only its architecture.
    ["Loss", spec.loss && lossName(spec.loss)],
    ["Optimizer", spec.optimizer && `${OPTIMIZERS[spec.optimizer.kind] ?? spec.optimizer.kind}, learning rate ${number(spec.optimizer.lr)}`],
    ["Epochs", spec.epochs && (job ? epochsOf(spec, job.progress) : whole(spec.epochs))],
    ["Trained on", environment.device],
  ];
  return h("dl", { class: "facts" }, facts.filter(([, value]) => value).map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))));
}
