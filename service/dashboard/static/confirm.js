// The dialog that says what a change will do before it is done.

import { $, fill, h } from "./dom.js";
import { capital, count, judgedPart, number, r2 } from "./format.js";
import { state } from "./state.js";

const ORDER = ["mae", "rmse", "r2", "max_error", "loss"];
const LABELS = { mae: "mean error", rmse: "RMSE", r2: "R²", max_error: "largest error", loss: "loss" };

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
    dialog.onclose = () => resolve(dialog.returnValue === "yes");
    dialog.onclick = (event) => { if (event.target === dialog) dialog.close(); };
    dialog.showModal();
    dialog.querySelector(".buttons button").focus();
  });
}

/** What a move of the active version changes: from which to which, how they differ, for whom. */
export function moveBody(from, to) {
  const workers = state.health?.workers ?? 1;
  const who = h("p", {}, "Predictions of ", h("strong", {}, state.model), ` will be answered by version ${to.version}`, from ? ` instead of version ${from.version}` : "", `. ${capital(count(workers, "web worker"))} ${workers === 1 ? "takes" : "take"} it up one after the other, within a second; no request fails meanwhile.`);
  return [h("p", { class: "move" }, h("span", { class: "pill" }, from ? `version ${from.version}` : "none"), h("span", { "aria-label": "becomes" }, "→"), h("span", { class: "pill strong" }, `version ${to.version}`)), who, differences(from, to)];
}

function differences(from, to) {
  const part = judgedPart(to.metrics);
  const rows = ORDER.map((name) => [name, from?.metrics[`${part}_${name}`], to.metrics[`${part}_${name}`]])
    .filter(([, , value]) => value !== undefined && value !== null);
  if (rows.length === 0) return null;
  const sameRows = from && from.data_sha256 === to.data_sha256;
  const show = (name, value) => (name === "r2" ? r2(value) : number(value, 3));
  return h("div", {},
    h("table", { class: "numbers" },
      h("caption", { class: "sr-only" }, "How the versions differ"),
      h("thead", {}, h("tr", {}, [`On ${part} rows`, from ? `Version ${from.version}` : "Now", `Version ${to.version}`, ""].map((head) => h("th", { scope: "col" }, head)))),
      h("tbody", {}, rows.map(([name, before, after]) => h("tr", {},
        h("th", { scope: "row" }, capital(LABELS[name])), h("td", {}, show(name, before)), h("td", { class: "strong" }, show(name, after)), h("td", {}, verdict(name, before, after)))))),
    from && !sameRows && h("p", { class: "hint" }, "They were trained on different rows, so the figures are not of the same rows either."));
}

function verdict(name, before, after) {
  if (before === undefined || before === null) return "";
  if (before === after) return h("span", { class: "same" }, "same");
  const isBetter = name === "r2" ? after > before : after < before;
  return h("span", { class: isBetter ? "better" : "worse" }, isBetter ? "better" : "worse");
}
