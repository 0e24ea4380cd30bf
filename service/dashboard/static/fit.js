// Pictures of the version on screen: its line, predicted against actual, residuals, coefficients.

import { Chart, scatterChart } from "./charts.js";
import { coefficients } from "./params.js";
import { $, fill, h, table, tabs } from "./dom.js";
import { capital, number, whole } from "./format.js";
import { on, state } from "./state.js";

const NAMES = { line: "Fit", actual: "Predicted vs actual", residuals: "Residuals", coefficients: "Coefficients" };
const TABLE_ROWS = 200;

let chart = null;
let picture = null;
let target = 0;

export function startFit() {
  chart = new Chart($("fit-chart"));
  on(["shown", "prediction"], render);
  $("fit-table").addEventListener("toggle", renderTable);
}

/** Which pictures there are for a version. */
function pictures({ fit, params }) {
  const found = [];
  if (fit?.line && fit.target_names.length === 1) found.push("line");
  if (fit) found.push("actual", "residuals");
  if (params?.weight !== null && params?.weight !== undefined && params.columns.length > 1) found.push("coefficients");
  return found;
}

function render() {
  const { shown } = state;
  if (!shown) return;
  const found = pictures(shown);
  if (!found.includes(picture)) picture = found[0] ?? null;
  target = Math.min(target, Math.max(0, (shown.fit?.target_names.length ?? 1) - 1));
  tabs($("fit-tabs"), found.map((key) => [key, NAMES[key]]), picture, (key) => {
    picture = key;
    render();
  });
  $("fit-panel").setAttribute("aria-label", picture ? `${NAMES[picture]}; the numbers are in the table below` : "Picture");
  renderTargets(shown.fit);
  const box = $("fit-chart");
  box.querySelector(".empty, .coefficients")?.remove();
  $("fit-table").hidden = !shown.fit;
  if (picture === null || picture === "coefficients") {
    chart.show(null);
    fill($("fit-legend"));
    box.append(picture ? coefficients(shown.params, target) : h("div", { class: "empty" }, h("p", {}, shown.problem ?? "No picture of this version.")));
  } else {
    const drawing = { line: lineOf, actual: actualOf, residuals: residualsOf }[picture](shown.fit);
    legend(shown.fit, drawing);
    chart.show((element, width, height) => scatterChart(element, width, height, drawing));
  }
  renderTable();
}

function renderTargets(fit) {
  const box = $("fit-target");
  if (!fit || fit.target_names.length < 2) {
    fill(box);
    return;
  }
  const select = h("select", { "aria-label": "Target", onchange: (event) => { target = Number(event.target.value); render(); } },
    fit.target_names.map((name, index) => h("option", { value: String(index) }, name)));
  select.value = String(target);
  fill(box, select);
}

/** The values of the chosen target. */
const of = (values) => (Array.isArray(values[0]) ? values.map((row) => row[target]) : values);

const size = (fit) => {
  const most = Math.max(...fit.splits.map((split) => split.actual.length));
  return most <= 60 ? 9 : most <= 300 ? 6 : 4;
};

function pointsOf(fit, across, up) {
  return fit.splits.map((split) => ({
    kind: "points",
    color: split.split,
    name: capital(split.split),
    xs: across(split),
    ys: up(split),
    size: size(fit),
    alpha: split.actual.length > 300 ? 0.55 : 0.9,
  }));
}

function lineOf(fit) {
  const asked = fit.splits.find((split) => split.split === "test") ?? fit.splits[0];
  const layers = [{ kind: "line", color: "predicted", xs: fit.line.x, ys: fit.line.predicted, width: 1.5 }];
  layers.push(...pointsOf(fit, (split) => split.x, (split) => split.actual));
  layers.push({ kind: "points", color: "predicted", name: "Predicted", xs: asked.x, ys: asked.predicted, size: size(fit) * 0.6 });
  const { prediction } = state;
  if (prediction?.x && prediction.model === fit.model && prediction.version === fit.version) {
    layers.push({ kind: "points", color: "ink", name: "Asked", xs: prediction.x, ys: prediction.y, size: 13, hollow: true, width: 2 });
  }
  const [xLabel, yLabel] = [fit.feature_names[0], fit.target_names[0]];
  return { layers, xLabel, yLabel, describe: (layer, index) => `${layer.name}: ${xLabel} ${number(layer.xs[index])}, ${yLabel} ${number(layer.ys[index])}` };
}

function actualOf(fit) {
  const layers = pointsOf(fit, (split) => of(split.actual), (split) => of(split.predicted));
  const name = fit.target_names[target];
  return {
    layers,
    diagonal: true,
    xLabel: `actual ${name}`,
    yLabel: `predicted ${name}`,
    describe: (layer, index) => `${layer.name}: actual ${number(layer.xs[index])}, predicted ${number(layer.ys[index])}`,
  };
}

function residualsOf(fit) {
  const residual = (split) => { const predicted = of(split.predicted); return of(split.actual).map((value, index) => value - predicted[index]); };
  const layers = pointsOf(fit, (split) => of(split.predicted), residual);
  const name = fit.target_names[target];
  return {
    layers,
    zero: true,
    xLabel: `predicted ${name}`,
    yLabel: "actual − predicted",
    describe: (layer, index) => `${layer.name}: predicted ${number(layer.xs[index])}, off by ${number(layer.ys[index])}`,
  };
}

function legend(fit, drawing) {
  const rows = Object.fromEntries(fit.splits.map((split) => [split.split, split]));
  fill($("fit-legend"), drawing.layers.filter((layer) => layer.kind === "points").map((layer) => {
    const split = rows[layer.color];
    const note = split && split.actual.length < split.rows ? `${whole(split.actual.length)} of ${whole(split.rows)}` : whole(layer.xs.length);
    return h("span", { class: `key key-${layer.color}` }, `${layer.name} `, h("small", {}, note));
  }));
}

/** The numbers behind the picture, made only when somebody opens them. */
function renderTable() {
  const { fit } = state.shown ?? {};
  const details = $("fit-table");
  const box = details.querySelector(".scroll");
  if (!details.open || !fit) {
    fill(box);
    return;
  }
  const name = fit.target_names[target];
  const heads = ["Part", ...(fit.line ? [fit.feature_names[0]] : []), `Actual ${name}`, `Predicted ${name}`, "Difference"];
  const rows = fit.splits.flatMap((split) => {
    const [actual, predicted] = [of(split.actual), of(split.predicted)];
    return actual.map((value, index) => [
      capital(split.split),
      ...(fit.line ? [number(split.x[index])] : []),
      number(value), number(predicted[index]), number(value - predicted[index]),
    ]);
  });
  const note = rows.length > TABLE_ROWS ? h("p", { class: "hint" }, `The first ${TABLE_ROWS} of ${whole(rows.length)} rows.`) : null;
  fill(box, table("Actual and predicted values", heads, rows.slice(0, TABLE_ROWS)), note);
}
