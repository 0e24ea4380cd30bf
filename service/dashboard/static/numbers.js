// Numbers as people write them: with a point or with a comma before the decimals.

export const PLAIN = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i;
export const DECIMAL_COMMA = /^[+-]?\d+,\d+$/;
const WHOLE = /^[+-]?(\d+|[1-9]\d{0,2}(,\d{3})+)(e\+?\d+)?$/i;
/** `1,250` is a thousand and more to some, one and a quarter to others. */
const UNCLEAR = /^[+-]?[1-9]\d{0,2},\d{3}$/;
const BETWEEN = /(?:,\s|[\s;])+/;

/** {value} of a text, or {fault} in words where it is no number; neither where it is empty. */
export function readNumber(written, isWhole = false) {
  const text = written.trim().replace("−", "-");
  if (text === "") return {};
  if (isWhole) return WHOLE.test(text) ? finite(text.replaceAll(",", "")) : { fault: "Enter a whole number, such as 100" };
  if (UNCLEAR.test(text)) return { fault: `${text} can mean ${text.replace(",", "")} or ${text.replace(",", ".")}: write one of them` };
  if (PLAIN.test(text)) return finite(text);
  if (DECIMAL_COMMA.test(text)) return finite(text.replace(",", "."));
  const parts = text.split(/[\s;]+/);
  if (parts.length > 1 && parts.every((part) => PLAIN.test(part) || DECIMAL_COMMA.test(part))) return { fault: "Enter one number for each field" };
  return { fault: "Enter a number, such as 0.5" };
}

function finite(text) {
  const value = Number(text);
  return Number.isFinite(value) ? { value } : { fault: "This number is too large" };
}

/**
 * {values} of a text that holds one number or several, or {fault} in words. Between them stand spaces,
 * semicolons or ends of lines. A comma inside is a decimal comma; it only parts numbers that have points
 * (`0.5,0.6`), or where there are several (`1,2,3`).
 */
export function readNumbers(written) {
  const parts = written.trim().split(BETWEEN).filter(Boolean);
  const hasPoint = parts.some((part) => part.includes("."));
  const texts = [];
  for (const part of parts) {
    const isOne = DECIMAL_COMMA.test(part.replace("−", "-"));
    if (isOne && (hasPoint || UNCLEAR.test(part))) return { values: [], fault: `${part} can be read in two ways: put spaces between numbers, and a point before decimals` };
    texts.push(...(isOne ? [part] : part.split(",").filter(Boolean)));
  }
  const read = texts.map((text) => readNumber(text));
  const fault = read.length ? read.find((one) => one.fault)?.fault : "Enter a number, such as 0.5";
  return fault ? { values: [], fault } : { values: read.map(({ value }) => value) };
}
