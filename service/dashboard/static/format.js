// Numbers, times and the words for them.

const SUPERSCRIPT = { "-": "⁻", 0: "⁰", 1: "¹", 2: "²", 3: "³", 4: "⁴", 5: "⁵", 6: "⁶", 7: "⁷", 8: "⁸", 9: "⁹" };

/** A number with so many significant digits; powers of ten where zeros would hide it. */
export function number(value, digits = 4) {
  if (value === null || value === undefined || Number.isNaN(value)) return "–";
  if (!Number.isFinite(value)) return value > 0 ? "∞" : "−∞";
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size < 1e-4 || size >= 1e7) {
    const [mantissa, exponent] = value.toExponential(Math.min(digits - 1, 2)).split("e");
    const raised = String(Number(exponent)).replace(/./g, (letter) => SUPERSCRIPT[letter]);
    return `${minus(Number(mantissa))} × 10${raised}`;
  }
  const rounded = Number(value.toPrecision(digits));
  return minus(size >= 1000 ? rounded.toLocaleString("en-GB", { maximumFractionDigits: digits }) : String(rounded));
}

/** "2 x + 1": a line without what is not there. */
export function lineOf(weight, bias, x = "x") {
  return `${number(weight)} ${x}${bias === 0 ? "" : ` ${bias < 0 ? "−" : "+"} ${number(Math.abs(bias))}`}`;
}

/** Words of the service, with its numbers written as they are on this page. */
export const proseOf = (words) => words.replace(/\b\d+(?:\.\d+)?e[+-]?\d+\b/g, (text) => number(Number(text)));

const minus = (text) => String(text).replace("-", "−");

/** R², which is never rounded up to 1. */
export function r2(value) {
  if (value === null || value === undefined) return "–";
  for (let digits = 3; digits <= 6; digits += 1) {
    const text = value.toFixed(digits);
    if (value >= 1 || Number(text) !== 1) return minus(text);
  }
  return "> 0.999999";
}

export const whole = (value) => Math.round(value).toLocaleString("en-GB");

/** "3 min ago". */
export function ago(iso) {
  const seconds = Math.max(0, (Date.now() - Date.parse(iso)) / 1000);
  if (seconds < 10) return "just now";
  if (seconds < 90) return `${Math.round(seconds)} s ago`;
  if (seconds < 90 * 60) return `${Math.round(seconds / 60)} min ago`;
  if (seconds < 36 * 3600) return `${Math.round(seconds / 3600)} h ago`;
  return new Date(iso).toLocaleDateString("en-GB", { day: "numeric", month: "short", year: "numeric" });
}

/** "14:03:27" of today, else the day with it. */
export function clock(iso) {
  const [at, now] = [new Date(iso), new Date()];
  const isToday = at.toDateString() === now.toDateString();
  return at.toLocaleString("en-GB", { ...(!isToday && { day: "numeric", month: "short" }), hour: "2-digit", minute: "2-digit", second: "2-digit" });
}

/** "4 s", "3 min", "2 h". */
export function duration(seconds) {
  if (seconds < 1) return "less than 1 s";
  if (seconds < 90) return `${Math.round(seconds)} s`;
  if (seconds < 90 * 60) return `${Math.round(seconds / 60)} min`;
  return `${(seconds / 3600).toFixed(1)} h`;
}

/** "1 worker", "2 workers". */
export const count = (amount, noun) => `${whole(amount)} ${noun}${amount === 1 ? "" : "s"}`;

/** "epoch 1,200 of 5,000, 3 s left". */
export const progressOf = (epoch, epochs, eta) => `epoch ${whole(epoch)} of ${whole(epochs)}${eta === null ? "" : `, ${duration(eta)} left`}`;

/** Whether the version of a job was made active, and why not. */
export function promotionOf(promotion) {
  if (promotion?.promoted) return "made active when it finished";
  const reason = promotion?.reason ?? "";
  const other = /version \d+/.exec(reason)?.[0] ?? "the active one";
  if (reason.startsWith("worse")) return `not made active: worse than ${other} on the same rows`;
  if (/other features/.test(reason)) return `not made active: ${other} takes other columns`;
  return reason === "" || reason === "promote is never" ? "not made active, as asked" : `not made active: ${proseOf(reason)}`;
}

/** The rows that a version is judged on: test, else validation, else those it was trained on. */
export const judgedPart = (metrics) => ["test", "validation", "train"].find((part) => metrics?.[`${part}_loss`] !== undefined) ?? "train";

export const capital = (word) => word.charAt(0).toUpperCase() + word.slice(1);

const LOSSES = { l1: "mean absolute error", mse: "mean squared error", huber: "Huber loss" };
export const lossName = (kind) => LOSSES[kind] ?? kind;

/** What an architecture is, in a few words. */
export function architectureName(architecture) {
  if (architecture.kind === "linear") return "linear";
  if (architecture.kind === "parameters") return "two parameters";
  if (architecture.kind === "mlp") return `MLP ${architecture.hidden.join(" · ")}`;
  return architecture.kind;
}

/** Where the rows came from; `files` are names of datasets by their ids. */
export function dataName(data, files = {}) {
  if (data.source === "line") {
    const { weight, bias, noise } = data;
    return `y = ${lineOf(weight, bias)}${noise ? `, noise ${number(noise)}` : ""}`;
  }
  if (data.source === "points") return count(data.x.length, "pasted point");
  if (data.source === "import") return "imported";
  return files[data.dataset] ?? "a file";
}
