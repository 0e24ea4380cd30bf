// The advanced part of the training form. An empty field leaves the choice to the service.

import { $, h, setText } from "./dom.js";
import { field, integer, numberIn, numeric, select } from "./fields.js";

const AUTOMATIC = [["", "auto"]];
const YES_NO = [...AUTOMATIC, ["true", "yes"], ["false", "no"]];

/** The fields, closed at first; beside their name stands how many of them were changed, since they apply all the same. */
export function advancedPart(onReset) {
  const reset = h("button", { type: "button", class: "link", id: "advanced-reset", hidden: true, "aria-label": "Reset Advanced", onclick: () => {
    for (const input of inputs(details)) [input.value] = usual(input);
    details.querySelector("summary").focus();
    onReset();
  } }, "Reset");
  const details = folded();
  return h("div", { class: "folded" }, details, reset);
}

/** Say how many fields of the form's advanced part are not as they were at first. */
export function tellChanged(form) {
  const changed = inputs(form.querySelector(".advanced")).filter((input) => !input.closest("[hidden]") && !usual(input).includes(input.value.trim())).length;
  setText($("advanced-changed"), changed ? ` · ${changed} changed` : "");
  $("advanced-reset").hidden = changed === 0;
}

const inputs = (part) => [...part.querySelectorAll("input, select")];

/** What a field holds before anybody has touched it. */
const usual = (input) => [input.tagName === "SELECT" ? input.options[0].value : ""];

function folded() {
  return h("details", { class: "advanced" },
    h("summary", {}, "Advanced", h("span", { id: "advanced-changed" })),
    h("p", { class: "hint" }, "What is left at “auto” is chosen to suit the data; the job shows every value."),
    h("div", { id: "mlp-fields", hidden: true },
      h("h3", {}, "Neural network"),
      h("div", { class: "grid-2" },
        field("/architecture/hidden", "Hidden layers", h("input", { type: "text", name: "hidden", placeholder: "64, 64", autocomplete: "off" })),
        field("/architecture/activation", "Activation", select("activation", [...AUTOMATIC, ["relu", "ReLU"], ["tanh", "tanh"], ["gelu", "GELU"], ["silu", "SiLU"], ["sigmoid", "sigmoid"]])),
        field("/architecture/dropout", "Dropout", numeric("dropout", "", { "data-least": "0", "data-below": "1", placeholder: "0" })),
        field("/architecture/batch_norm", "Batch norm", select("batch_norm", YES_NO)))),
    h("h3", {}, "Training"),
    h("div", { class: "grid-2" },
      field("/epochs", "Epochs", integer("epochs", "", { "data-least": "1", placeholder: "auto" })),
      field("/loss", "Loss", select("loss", [...AUTOMATIC, ["l1", "mean absolute (L1)"], ["mse", "mean squared"], ["huber", "Huber"]])),
      field("/optimizer/kind", "Optimizer", select("optimizer", [...AUTOMATIC, ["sgd", "SGD"], ["adam", "Adam"], ["adamw", "AdamW"], ["lbfgs", "L-BFGS"]])),
      field("/optimizer/lr", "Learning rate", numeric("lr", "", { "data-above": "0", placeholder: "auto" })),
      field("/schedule", "Schedule", select("schedule", [...AUTOMATIC, ["constant", "constant"], ["cosine", "cosine"], ["one_cycle", "one cycle"], ["plateau", "on a plateau"]])),
      field("/batch_size", "Batch size", integer("batch_size", "", { "data-least": "1", placeholder: "auto" })),
      field("/early_stopping/patience", "Patience, epochs", integer("patience", "", { "data-least": "1", placeholder: "auto", title: "Epochs without a gain, after which it stops early" })),
      field("/clip_grad_norm", "Clip gradients", numeric("clip_grad_norm", "", { "data-above": "0", placeholder: "not" })),
      field("/evaluate_every", "Record every", integer("evaluate_every", "", { "data-least": "1", placeholder: "auto", title: "Epochs between two points of the curve" })),
      field("/seed", "Seed", integer("seed", "", { "data-least": "0", placeholder: "42" }))),
    h("h3", {}, "Rows"),
    h("div", { class: "grid-2" },
      field("/split/train", "Share to train", numeric("train_share", "", { "data-above": "0", "data-most": "1", placeholder: "0.8" })),
      field("/split/validation", "Share to validate", numeric("validation_share", "", { "data-least": "0", "data-below": "1", placeholder: "0" })),
      field("/split/shuffle", "Shuffle", select("shuffle", YES_NO)),
      field("/standardize", "Standardize", select("standardize", YES_NO))),
    h("h3", {}, "Afterwards"),
    h("div", { class: "stack" },
      field("/promote", "Make it active", select("promote", [["if_better", "if it is not worse"], ["always", "always"], ["never", "never"]], "if_better"), "than the active one, on the same held-out rows"),
      field("/start_from", "Start from", select("start_from", [["scratch", "scratch"], ["active", "the active one"]], "scratch"))));
}

/** What is wrong with the sizes of the layers, as faults like those of the service. */
export function hiddenFaults(form) {
  const { hidden } = form.elements;
  const isGood = hidden.closest("[hidden]") !== null || widths(hidden.value).every((width) => Number.isInteger(width) && width > 0);
  return isGood ? [] : [{ pointer: "/architecture/hidden", detail: "Enter whole numbers above 0, such as 64, 64" }];
}

const widths = (text) => text.split(/[\s,;·]+/).filter(Boolean).map((width) => (Number.isFinite(Number(width)) ? Number(width) : width));

/** The member `architecture`; null for the default, a linear model. */
export function architectureOf(form) {
  const kind = form.elements.kind.value;
  if (kind === "linear") return null;
  const architecture = { kind };
  if (kind !== "mlp") return architecture;
  const hidden = widths(form.elements.hidden.value);
  if (hidden.length) architecture.hidden = hidden;
  put(architecture, "activation", form.elements.activation.value || undefined);
  put(architecture, "dropout", numberIn(form.elements.dropout));
  put(architecture, "batch_norm", choice(form.elements.batch_norm));
  return architecture;
}

/** Every member but `data` and `architecture` that somebody has chosen. */
export function optionsOf(form) {
  const { elements } = form;
  const body = {};
  for (const name of ["epochs", "batch_size", "clip_grad_norm", "evaluate_every", "seed"]) put(body, name, numberIn(elements[name]));
  put(body, "loss", elements.loss.value || undefined);
  put(body, "standardize", choice(elements.standardize));
  put(body, "optimizer", group({ kind: elements.optimizer.value || undefined, lr: numberIn(elements.lr) }));
  put(body, "schedule", group({ kind: elements.schedule.value || undefined }));
  put(body, "early_stopping", group({ patience: numberIn(elements.patience) }));
  put(body, "split", group({ train: numberIn(elements.train_share), validation: numberIn(elements.validation_share), shuffle: choice(elements.shuffle) }));
  if (elements.promote.value !== "if_better") body.promote = elements.promote.value;
  if (elements.start_from.value !== "scratch") body.start_from = elements.start_from.value;
  return body;
}

const TUTORIAL = ["source", "noise"];
const HOW = ["optimizer", "epochs", "schedule", "batch_size", "clip_grad_norm"];

/** The tutorial's steps are made for its own line: others, and other models, are trained as the
 *  service trains pasted points, where the person has not chosen. */
export function suited(body) {
  const isNeural = body.architecture?.kind === "mlp";
  if (body.data.source !== "line" || (!isNeural && Object.keys(body.data).every((name) => TUTORIAL.includes(name)))) return body;
  const usual = { loss: "mse", standardize: true, split: { shuffle: true, ...body.split } };
  if (HOW.every((name) => body[name] === undefined)) usual.optimizer = { kind: isNeural ? "adam" : "lbfgs" };
  if (isNeural) usual.early_stopping = {};
  return { ...usual, ...body, split: usual.split };
}

function put(object, name, value) {
  if (value !== undefined) object[name] = value;
}

const choice = (input) => (input.value === "" ? undefined : input.value === "true");

/** An object of the members that are set; undefined where none is. */
function group(members) {
  const chosen = Object.entries(members).filter(([, value]) => value !== undefined);
  return chosen.length ? Object.fromEntries(chosen) : undefined;
}
