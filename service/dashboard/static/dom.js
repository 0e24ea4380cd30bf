// Elements from values. Text only ever becomes a text node: a name full of markup is just a name.

import { ago } from "./format.js";

export const $ = (id) => document.getElementById(id);

const PROPERTIES = new Set(["checked", "disabled", "hidden", "value", "selected", "open", "readOnly", "multiple"]);

/** An element; `on…` are listeners, some names are properties, all others attributes. */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false && !PROPERTIES.has(name)) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (PROPERTIES.has(name)) element[name] = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** Replace what an element holds. */
export function fill(element, ...children) {
  element.replaceChildren(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** A group of buttons of which one is chosen. With role `tablist` the arrow keys move between them. */
export function tabs(box, entries, chosen, choose) {
  const isTabs = box.getAttribute("role") === "tablist";
  const had = box.contains(document.activeElement);
  const keys = [...box.children].map((button) => button.dataset.key);
  // The same buttons stay: one that is replaced while it is pressed is never clicked.
  if (keys.join() !== entries.map(([key]) => key).join()) {
    fill(box, entries.map(([key, label]) => h("button", { type: "button", "data-key": key, ...(isTabs && { role: "tab" }) }, label)));
  }
  for (const button of box.children) {
    const { key } = button.dataset;
    button.setAttribute(isTabs ? "aria-selected" : "aria-pressed", String(key === chosen));
    if (isTabs) button.tabIndex = key === chosen ? 0 : -1;
    button.onclick = () => choose(key);
  }
  if (had) box.querySelector(`[data-key="${chosen}"]`)?.focus();
  if (!isTabs) return;
  box.onkeydown = (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const place = entries.findIndex(([key]) => key === chosen);
    choose(entries[(place + step + entries.length) % entries.length][0]);
  };
}

/** A table with a head; cells are text. */
export function table(caption, heads, rows) {
  return h("table", {},
    h("caption", { class: "sr-only" }, caption),
    h("thead", {}, h("tr", {}, heads.map((head) => h("th", { scope: "col" }, head)))),
    h("tbody", {}, rows.map((cells) => h("tr", {}, cells.map((cell) => h("td", {}, cell))))));
}

/** Tell people who listen instead of look; the same words twice are told twice. */
export function announce(words) {
  const live = $("live");
  live.textContent = live.textContent === words ? `${words}\u00a0` : words;
}

const CLOCK_MS = 2000;

/** How long ago something was; all of them go by one clock, so that no two on screen disagree. */
export function since(iso) {
  const element = h("time", { datetime: iso });
  element.textContent = ago(iso);
  return element;
}

export function startClock() {
  setInterval(() => {
    if (document.hidden) return;
    for (const element of document.querySelectorAll("time[datetime]")) setText(element, ago(element.dateTime));
  }, CLOCK_MS);
}

/** Writes only what is new: what is written anew is selected no more, and is read aloud again. */
export const setText = (element, text) => { if (element.textContent !== text) element.textContent = text; };

/** A box that scrolls, and `words` below it while something in it is out of sight. */
export function scrollBox(attributes, content, words) {
  const box = h("div", { tabindex: "0", role: "region", ...attributes, class: `scroll ${attributes.class}` }, content);
  const hint = h("p", { class: "hint", hidden: true }, words);
  const look = () => { hint.hidden = box.scrollHeight <= box.clientHeight + 1; };
  const observer = new ResizeObserver(look);
  for (const element of [box, ...box.children]) observer.observe(element);
  return [box, hint];
}

let toastTimer = 0;

/** A few words that go away by themselves. */
export function toast(words, isBad = false) {
  const box = $("toast");
  box.textContent = words;
  box.classList.toggle("bad", isBad);
  box.hidden = false;
  clearTimeout(toastTimer);
  toastTimer = setTimeout(() => { box.hidden = true; }, isBad ? 9000 : 5000);
}
