// The dialog that says what a change will do before it is done.

import { $, fill, h } from "./dom.js";
import { number, r2 } from "./format.js";
import { state } from "./state.js";

// Not the loss: versions may be trained with different ones, and in other units.
const ORDER = ["mae", "rmse", "r2", "max_error"];
const LABELS = { mae: "Mean error", rmse: "RMSE", r2: "R²", max_error: "Largest error" };

/** Ask; true if the person agrees. `body` are elements, `verb` is the word on the button. */
export function ask(title, body, verb, isDangerous = false) {
  const dialog = $("confirm");
  return new Promise((resolve) => {
    const close = (agreed) => () => {
      dialog.returnValue = agreed ? "yes" : "";
      dialog.close();
    };
    fill(dialog,
      h("h2", { id: "confirm-title" }, title),
      body,
      h("div", { class: "buttons" },
        h("button", { type: "button", onclick: close(false) }, "Keep it as it is"),
        h("button", { type: "button", class: isDangerous ? "danger" : "primary", onclick: close(true) }, verb)));
    dialog.returnValue = "";
    // Told a moment after the dialog has closed, when it may be open again for the next question.
    dialog.onclose = () => { if (!dialog.open) resolve(dialog.returnValue === "yes"); };
    dialog.onclick = (event) => { if (event.target === dialog) dialog.close(); };
    dialog.showModal();
    dialog.querySelector(".buttons button").focus();
  });
}

/** What a move of the active version changes: from which to which, how they differ, for whom; `change` is what clients must do. */
export function moveBody(from, to, change) {
  const who = h("p", {}, "Predictions of ", h("strong", {}, state.model), ` will be answered by version ${to.version}`, from ? ` instead of version ${from.version}` : "", ", within a second; no request fails meanwhile.");
  return [h("p", { class: "move" }, h("span", { class: "pill" }, from ? `version ${from.version}` : "none"), h("span", { "aria-label": "becomes" }, "→"), h("span", { class: "pill strong" }, `version ${to.version}`)), who,
    change && h("ul", { class: "warnings" }, h("li", {}, change)), differences(from, to)];
}

function differences(from, to) {
  const has = (version, part) => version.metrics[`${part}_mae`] !== undefined;
  const part = ["test", "validation", "train"].find((one) => has(to, one) && (!from || has(from, one)));
  if (!part) return h("p", { class: "hint" }, "There are no figures of both to compare.");
  const isSame = from !== null && isOfSameRows(from, to);
  const columns = from ? [from, to] : [to];
  const heads = [`On ${part} rows`, ...columns.map((version) => `Version ${version.version}`), ...(isSame ? ["Verdict"] : [])];
  return h("div", { class: "stack" },
    from && !isSame && h("p", {}, "They were trained or tested on different rows, so these figures do not tell which one is better."),
    h("table", { class: "numbers" },
      h("caption", { class: "sr-only" }, "How the versions differ"),
      h("thead", {}, h("tr", {}, heads.map((head) => h("th", { scope: "col" }, head)))),
      h("tbody", {}, ORDER.map((name) => {
        const values = columns.map((version) => version.metrics[`${part}_${name}`]);
        return h("tr", {},
          h("th", { scope: "row" }, LABELS[name]),
          values.map((value, place) => h("td", { class: place === columns.length - 1 && "strong" }, name === "r2" ? r2(value) : number(value, 3))),
          isSame && h("td", {}, verdict(name, ...values)));
      }))));
}

/** Whether both were scored on the same rows: the same file, and the same part of it held out. */
function isOfSameRows(from, to) {
  const [one, other] = [from, to].map(({ data_sha256: rows, spec }) => JSON.stringify([rows, spec.split ?? null, spec.split?.shuffle ? spec.seed : null]));
  return one === other;
}

function verdict(name, before, after) {
  if (before === undefined || before === null) return "";
  if (before === after) return h("span", { class: "same" }, "same");
  const isBetter = name === "r2" ? after > before : after < before;
  return h("span", { class: isBetter ? "better" : "worse" }, isBetter ? "better" : "worse");
}
