// The list of versions: look at one, make it active, go back, delete.

import { get, modelPath, post, remove, versionPath, wordsOf } from "./api.js";
import { changeFor, columnsOf } from "./columns.js";
import { ask, moveBody } from "./confirm.js";
import { $, announce, fill, h, since, toast } from "./dom.js";
import { architectureName, dataName, judgedPart, number, r2 } from "./format.js";
import { on, set, shownNumber, state } from "./state.js";

let refresh = () => {};

export function startVersions(refreshAll) {
  refresh = refreshAll;
  on(["versions", "info", "looked", "loaded", "moreVersions", "model", "files"], render);
  $("rollback").addEventListener("click", rollBack);
  $("versions-more").addEventListener("click", more);
  document.addEventListener("click", (event) => {
    const number = event.target.closest?.("[data-activate]")?.dataset.activate;
    if (number) activate(Number(number));
  });
}

function render() {
  if (!state.loaded) return;
  const list = $("versions-list");
  list.classList.remove("loading");
  $("versions-more").hidden = state.moreVersions === null;
  const earlier = state.info?.rollback_version ?? null;
  const button = $("rollback");
  button.disabled = earlier === null;
  button.textContent = earlier === null ? "Roll back …" : `Roll back to version ${earlier} …`;
  button.title = earlier === null ? "No other version was active before" : "";
  const focused = document.activeElement?.closest?.("#versions-list [data-focus]")?.dataset.focus;
  const hadFocus = focused || document.activeElement === button;
  if (state.versions.length === 0) {
    fill(list, h("li", { class: "empty" }, h("strong", {}, "No versions yet"), h("p", {}, "Every training that succeeds makes one; one that is not worse answers predictions.")));
    return;
  }
  fill(list, state.versions.map(row));
  if (hadFocus) focusOn(focused ?? "");
}

/** Where somebody was; else the row; else the heading, when the row is gone too. */
function focusOn(name) {
  const find = (wanted) => $("versions-list").querySelector(`[data-focus="${wanted}"]`);
  const same = name === "" && document.activeElement === $("rollback") && !$("rollback").disabled ? $("rollback") : find(name);
  (same ?? find(name.replace(/^[a-z]+/, "look")) ?? $("versions-title")).focus({ preventScroll: true });
}

function row(version) {
  const number_ = version.version;
  const isActive = number_ === state.info?.active_version;
  const isShown = number_ === shownNumber();
  const { metrics, spec } = version;
  const part = judgedPart(metrics);
  return h("li", { class: `row${isShown ? " is-shown" : ""}` },
    h("p", { class: "row-head" },
      h("button", { type: "button", class: "link row-title", "data-focus": `look-${number_}`, "aria-pressed": String(isShown), title: isShown ? "Its picture and parameters are shown above" : "Show its picture and parameters above", onclick: () => look(number_) }, `Version ${number_}`),
      isActive && h("span", { class: "badge is-active" }, "Active"),
      isShown && h("span", { class: "hint" }, "shown"),
      h("span", { class: "when" }, since(version.created_at))),
    h("div", { class: "row-main" },
      h("p", { class: "row-detail" }, `${architectureName(spec.architecture)} · ${dataName(spec.data, state.files)}`),
      h("p", { class: "row-detail figures" }, `mean error ${number(metrics[`${part}_mae`], 3)} · R² ${r2(metrics[`${part}_r2`])}`)),
    h("div", { class: "row-buttons" },
      !isActive && h("button", { type: "button", "data-activate": String(number_), "data-focus": `activate-${number_}`, "aria-label": `Activate version ${number_}` }, "Activate …"),
      !isActive && h("button", { type: "button", class: "quiet icon", "data-focus": `delete-${number_}`, "aria-label": `Delete version ${number_}`, title: "Delete …", onclick: () => erase(version) }, "×")));
}

function look(number_) {
  set({ looked: number_ === state.info?.active_version ? null : number_, lookedSince: state.jobs[0]?.id ?? null });
  $("serving").scrollIntoView({ block: "nearest" });
}

const find = async (number_) => state.versions.find((version) => version.version === number_) ?? get(versionPath(state.model, number_));

async function activate(number_) {
  await move(number_, `Activate version ${number_}?`, `Activate version ${number_}`, `${versionPath(state.model, number_)}/activate`);
}

async function rollBack() {
  const earlier = state.info?.rollback_version;
  if (earlier) await move(earlier, `Roll back to version ${earlier}?`, `Roll back to version ${earlier}`, `${modelPath(state.model)}/rollback`);
}

async function move(number_, title, verb, path) {
  try {
    const active = state.info?.active_version;
    const [from, to, before, after] = await Promise.all([active ? find(active) : null, find(number_), active ? columnsOf(state.model, active) : null, columnsOf(state.model, number_)]);
    if (!(await ask(title, moveBody(from, to, changeFor(before, after)), verb))) {
      keepFocus(`activate-${number_}`);
      return;
    }
    const moved = await post(path, undefined, { Prefer: "wait=10" });
    set({ looked: null });
    const words = moved.acknowledged === moved.workers
      ? `Version ${moved.version} answers now.`
      : `Version ${moved.version} is active, but only ${moved.acknowledged} of ${moved.workers} workers answer with it yet.`;
    toast(words);
    announce(words);
  } catch (error) {
    toast(wordsOf(error), true);
  }
  await refresh();
  if (document.activeElement === document.body) focusOn(`look-${number_}`);
}

/** The list may have been drawn anew behind the dialog: then the browser finds no button to give the focus back to. */
function keepFocus(name) {
  if (document.activeElement === document.body) focusOn(name);
}

async function erase(version) {
  const active = state.info?.active_version;
  const body = h("p", {}, `Its parameters and figures are lost for good, and no other version gets the number ${version.version}.${active ? ` Version ${active} still answers.` : ""}`);
  if (!(await ask(`Delete version ${version.version}?`, [body], `Delete version ${version.version}`, true))) {
    keepFocus(`delete-${version.version}`);
    return;
  }
  try {
    await remove(versionPath(version.model, version.version));
    if (state.looked === version.version) set({ looked: null });
    toast(`Version ${version.version} is deleted.`);
  } catch (error) {
    toast(wordsOf(error), true);
  }
  await refresh();
  if (document.activeElement === document.body) focusOn("");
}

async function more() {
  const found = await get(`${modelPath(state.model)}/versions?limit=20&after=${state.moreVersions}`);
  set({ versions: [...state.versions, ...found.versions], moreVersions: found.next });
}
