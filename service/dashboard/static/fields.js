// Fields of forms, and the service's own words beside the field that a JSON pointer names.

import { h, fill } from "./dom.js";

let made = 0;

/** A labelled input. `pointer` is its place in the request, such as `/data/weight`. */
export function field(pointer, label, input, hint = null) {
  made += 1;
  input.id = `field-${made}`;
  const error = h("p", { class: "error", id: `${input.id}-error` });
  input.setAttribute("aria-describedby", hint ? `${input.id}-hint ${error.id}` : error.id);
  return h("div", { class: `field${input.type === "checkbox" ? " check" : ""}`, "data-pointer": pointer },
    h("label", { for: input.id }, label), input,
    hint && h("p", { class: "hint", id: `${input.id}-hint` }, hint), error);
}

export const text = (name, value = "", attributes = {}) => h("input", { type: "text", name, value, autocomplete: "off", spellcheck: "false", ...attributes });
export const numeric = (name, value = "", attributes = {}) => text(name, value, { inputmode: "decimal", ...attributes });

export function select(name, options, value = "") {
  const element = h("select", { name }, options.map(([key, label]) => h("option", { value: key }, label)));
  element.value = value;
  return element;
}

/** What a field of numbers holds: a number where it is one, else its text, which the service refuses in its own words. */
export function numberIn(input) {
  const written = input.value.trim().replace("−", "-");
  if (written === "") return undefined;
  const value = Number(written);
  return Number.isFinite(value) ? value : written;
}

export function clearFaults(form) {
  for (const element of form.querySelectorAll("[aria-invalid]")) element.removeAttribute("aria-invalid");
  for (const element of form.querySelectorAll(".error")) fill(element);
}

/**
 * Write each fault beside the field whose pointer is nearest to it, the rest below the form, and put
 * the focus on the first. `explain(fault)` may say where in a pasted text it is.
 */
export function showFaults(form, problem, explain = (fault) => fault.detail) {
  clearFaults(form);
  const fields = [...form.querySelectorAll("[data-pointer]")].filter((element) => element.offsetParent !== null || element.closest("details"));
  const rest = [];
  let first = null;
  for (const fault of problem.faults ?? []) {
    const place = fields
      .filter((element) => fault.pointer === element.dataset.pointer || fault.pointer.startsWith(`${element.dataset.pointer}/`))
      .sort((a, b) => b.dataset.pointer.length - a.dataset.pointer.length)[0];
    if (!place) {
      rest.push(fault.pointer ? `${fault.pointer}: ${fault.detail}` : fault.detail);
      continue;
    }
    const closed = place.closest("details:not([open])");
    if (closed) closed.open = true;
    const error = place.querySelector(".error");
    error.append(h("span", {}, explain(fault)));
    const input = place.querySelector("input, select, textarea");
    input?.setAttribute("aria-invalid", "true");
    first ??= input;
  }
  if ((problem.faults ?? []).length === 0) rest.push(problem.message);
  fill(form.querySelector(".form-error"), rest.map((words) => h("span", {}, words)));
  (first ?? form.querySelector(".form-error"))?.focus();
}
