// Numbers, times and the words for them.

const SUPERSCRIPT = { "-": "⁻", 0: "⁰", 1: "¹", 2: "²", 3: "³", 4: "⁴", 5: "⁵", 6: "⁶", 7: "⁷", 8: "⁸", 9: "⁹" };

const MOST_PLAIN = 1e12; // from here on, digits are harder to count than a power of ten is to read

/** A number with so many significant digits; powers of ten where zeros would hide it. */
export function number(value, digits = 4) {
  if (value === null || value === undefined || Number.isNaN(value)) return "–";
  if (!Number.isFinite(value)) return value > 0 ? "∞" : "−∞";
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size < 1e-4 || size >= MOST_PLAIN) {
    const [mantissa, exponent] = value.toExponential(digits > 4 ? digits - 1 : Math.min(digits - 1, 2)).split("e");
    return `${minus(Number(mantissa))} × ${powerOfTen(Number(exponent))}`;
  }
  const rounded = Number(value.toPrecision(digits));
  return minus(size >= 1000 ? rounded.toLocaleString("en-GB", { maximumFractionDigits: digits }) : String(rounded));
}

const powerOfTen = (exponent) => `10${String(exponent).replace(/./g, (letter) => SUPERSCRIPT[letter])}`;

/** A prediction: with the digits that float32 can tell, and a seventh where the sixth is no unit. */
export const answerOf = (value) => number(value, Math.abs(value) >= 1e6 ? 7 : 6);

/** The numbers along an axis, all written in one way: plain, or all with the same power of ten. */
export function ticks(splits) {
  const values = splits.filter((value) => value !== null);
  const most = Math.max(...values.map(Math.abs));
  const step = values.length > 1 ? Math.abs(values[1] - values[0]) : most;
  if (!(most > 0) || !(step > 0)) return splits.map((value) => (value === null ? null : number(value)));
  const isPlain = most >= 1e-3 && most < 1e9;
  const exponent = isPlain ? 0 : Math.floor(Math.log10(most * (1 + 1e-9)));
  const places = Math.min(15, Math.max(0, exponent - Math.floor(Math.log10(step * (1 + 1e-9))) + (isWhole(step) ? 0 : 1)));
  return splits.map((value) => {
    if (value === null) return null;
    const text = minus((value / 10 ** exponent).toLocaleString("en-GB", { maximumFractionDigits: places })).replace(/^−0$/, "0");
    return isPlain || text === "0" ? text : `${text} × ${powerOfTen(exponent)}`;
  });
}

/** Whether a step is one digit times a power of ten, as 0.2 is and 0.25 is not. */
const isWhole = (step) => Number((step / 10 ** Math.floor(Math.log10(step * (1 + 1e-9)))).toFixed(6)) % 1 === 0;

/** The numbers along a logarithmic axis: plain, or all of them powers of ten. */
export function logTicks(splits) {
  const values = splits.filter((value) => value !== null && value > 0);
  if (values.every((value) => value >= 0.99e-4 && value < 1e7)) return splits.map((value) => (value === null ? null : number(value)));
  return splits.map((value) => {
    if (value === null) return null;
    const exponent = Math.floor(Math.log10(value) + 1e-9);
    const mantissa = Math.round(value / 10 ** exponent);
    return `${mantissa === 1 ? "" : `${mantissa} × `}${powerOfTen(exponent)}`;
  });
}

/** "2 x + 1": a line without what is not there. */
export function lineOf(weight, bias, x = "x") {
  return `${number(weight)} ${x}${bias === 0 ? "" : ` ${bias < 0 ? "−" : "+"} ${number(Math.abs(bias))}`}`;
}

/** "a, b and 3 more": names in a sentence. */
export const listOf = (names, most) => (names.length > most ? `${names.slice(0, most).join(", ")} and ${whole(names.length - most)} more` : names.join(", "));

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

const SCORES = /^(not worse|worse): (\S+) (\S+) against (\S+) of (version \d+)/;
const METRICS = { rmse: "RMSE", mae: "mean error" };

/** Whether the version of a job was made active when it finished, and why: what came later is not in it. */
export function promotionOf(promotion) {
  const reason = promotion?.reason ?? "";
  const verdict = promotion?.promoted ? "was made active when it finished" : "was not made active when it finished";
  const scores = SCORES.exec(reason);
  if (scores) {
    const [, , metric, mine, theirs, other] = scores;
    const written = [4, 6].map((digits) => [mine, theirs].map((text) => number(Number(text), digits)));
    const [one, two] = written.find(([a, b]) => a !== b) ?? written[0];
    return `${verdict}: ${METRICS[metric] ?? metric} ${one} against ${two} of ${other} on the same rows`;
  }
  const other = /version \d+/.exec(reason)?.[0] ?? "the active one";
  if (/other features/.test(reason)) return `${verdict}: ${other} takes other columns`;
  if (/bootstrap line/.test(reason)) return `${verdict}: ${other}, made at the first start, takes other columns`;
  if (reason === "first version") return `${verdict}, as the first version`;
  if (["", "promote is never", "promote is always"].includes(reason)) return `${verdict}, as asked`;
  return `${verdict}: ${proseOf(reason)}`;
}

/** "54 of 1,000, stopped early": how many epochs a training made, and why no more. */
export function epochsOf(spec, { epoch, epochs }) {
  const isShort = epoch > 0 && epoch < epochs;
  if (!isShort) return whole(epochs);
  const why = spec?.optimizer?.kind === "lbfgs" ? "it stood still" : spec?.early_stopping ? "stopped early" : "it ended there";
  return `${whole(epoch)} of ${whole(epochs)}, ${why}`;
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
