// Fields of forms, and what is wrong beside the field that a JSON pointer names.

import { $, fill, h } from "./dom.js";
import { readNumber } from "./numbers.js";
import { plain } from "./words.js";

let made = 0;

/** A labelled input. `pointer` is its place in the request, such as `/data/weight`. */
export function field(pointer, label, input, hint = null) {
  made += 1;
  input.id = `field-${made}`;
  const error = h("p", { class: "error", id: `${input.id}-error` });
  input.setAttribute("aria-describedby", hint ? `${input.id}-hint ${error.id}` : error.id);
  return h("div", { class: `field${input.type === "checkbox" ? " check" : ""}`, "data-pointer": pointer },
    h("label", { for: input.id, title: label }, label), input,
    hint && h("p", { class: "hint", id: `${input.id}-hint` }, hint), error);
}

export const text = (name, value = "", attributes = {}) => h("input", { type: "text", name, value, autocomplete: "off", spellcheck: "false", ...attributes });
export const numeric = (name, value = "", attributes = {}) => text(name, value, { inputmode: "decimal", ...attributes });
export const integer = (name, value = "", attributes = {}) => text(name, value, { inputmode: "numeric", ...attributes });

export function select(name, options, value = "") {
  const element = h("select", { name }, options.map(([key, label]) => h("option", { value: key }, label)));
  element.value = value;
  return element;
}

const read = (input) => readNumber(input.value, input.inputMode === "numeric");

/** Attributes of inputs, and what is said of a number beyond them: in the words that the service's own become. */
const LIMITS = [
  ["least", (value, limit) => value < limit, (limit) => `Enter ${limit} or more`],
  ["above", (value, limit) => value <= limit, (limit) => `Enter a number above ${limit}`],
  ["most", (value, limit) => value > limit, (limit) => `Enter ${limit} or less`],
  ["below", (value, limit) => value >= limit, (limit) => `Enter a number below ${limit}`],
];

function limitFault(input, value) {
  const found = value === undefined ? undefined : LIMITS.find(([name, isBeyond]) => input.dataset[name] !== undefined && isBeyond(value, Number(input.dataset[name])));
  return found ? found[2](input.dataset[found[0]]) : null;
}

/** What a field of numbers holds: a number where it is one, undefined where it is empty, else its text. */
export function numberIn(input) {
  const { value, fault } = read(input);
  return fault ? input.value.trim() : value;
}

/** What is wrong with the numbers of a form, as faults like those of the service. */
export function numberFaults(form, isRequired = false) {
  return [...form.querySelectorAll("input[inputmode]")].filter(isThere).flatMap((input) => {
    const { value, fault } = read(input);
    const detail = fault ?? limitFault(input, value) ?? (isRequired && value === undefined ? "Enter a number, such as 0.5" : null);
    return detail ? [{ pointer: input.closest("[data-pointer]").dataset.pointer, detail }] : [];
  });
}

/** Whether a part is on screen, or would be if its `details` were open. */
const isThere = (element) => !element.closest("[hidden]");

export function clearFaults(form) {
  for (const element of form.querySelectorAll("[aria-invalid]")) element.removeAttribute("aria-invalid");
  for (const element of form.querySelectorAll(".error")) {
    fill(element);
    // Those of narrow fields were written across the form.
    if (element.id) $(element.id.replace("-error", "")).closest(".field").append(element);
  }
}

const NARROW = ".grid-2, .grid-3, .predict-fields";
const MOST_SAID = 2;

/** What is wrong with a field; where several stand in a row, below that row and as wide as all of them. */
function write(place, words) {
  const error = place.querySelector(".error");
  const grid = place.parentElement;
  const isNarrow = grid.matches(NARROW);
  const label = isNarrow ? `${place.querySelector("label").textContent}: ` : "";
  error.append(...words.slice(0, MOST_SAID).map((sentence) => h("span", {}, `${label}${sentence}`)));
  if (words.length > MOST_SAID) error.append(h("span", {}, `… and ${words.length - MOST_SAID} more`));
  if (!isNarrow) return;
  let last = [...grid.children].findLast((other) => other.matches(".field") && other.offsetTop === place.offsetTop);
  while (last.nextElementSibling?.matches(".error")) last = last.nextElementSibling;
  last.after(error);
}

/**
 * Write each fault beside the field whose pointer is nearest to it, the rest below the form, and put
 * the focus on the first. `explain(fault)` may say where in a pasted text it is.
 */
export function showFaults(form, problem, explain = (fault) => fault.detail) {
  clearFaults(form);
  const fields = [...form.querySelectorAll("[data-pointer]")].filter(isThere);
  const rest = [];
  const wrong = new Map(); // field -> what is wrong with it
  for (const fault of problem.faults ?? []) {
    const place = fields
      .filter((element) => fault.pointer === element.dataset.pointer || fault.pointer.startsWith(`${element.dataset.pointer}/`))
      .sort((a, b) => b.dataset.pointer.length - a.dataset.pointer.length)[0];
    if (!place) {
      rest.push(plain(fault.detail));
      continue;
    }
    const closed = place.closest("details:not([open])");
    if (closed) closed.open = true;
    wrong.set(place, [...(wrong.get(place) ?? []), explain({ ...fault, detail: plain(fault.detail) })]);
  }
  const inOrder = fields.filter((place) => wrong.has(place));
  for (const place of inOrder) {
    write(place, wrong.get(place));
    place.querySelector("input, select, textarea")?.setAttribute("aria-invalid", "true");
  }
  const first = inOrder[0]?.querySelector("input, select, textarea");
  if ((problem.faults ?? []).length === 0) rest.push(plain(problem.message));
  fill(form.querySelector(".form-error"), rest.map((words) => h("span", {}, words)));
  (first ?? form.querySelector(".form-error"))?.focus();
}
