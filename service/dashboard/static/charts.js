// uPlot in our colours: one chart in one box, redrawn for another size or theme.

import { logTicks, number, ticks } from "./format.js";

const FONT = '12px system-ui, -apple-system, "Segoe UI", Roboto, sans-serif';

const probe = document.createElement("i");
probe.hidden = true;

/** A colour of page.css as a canvas takes it: `light-dark()` is settled by an element only. */
export function color(name) {
  if (!probe.isConnected) document.body.append(probe);
  probe.style.color = `var(--${name})`;
  return getComputedStyle(probe).color;
}

/** A box that holds at most one chart, which `build(width, height)` makes anew for each theme. */
export class Chart {
  constructor(box) {
    this.box = box;
    this.plot = null;
    this.build = null;
    new ResizeObserver(() => this.#fit()).observe(box);
    document.addEventListener("themechange", () => this.redraw());
  }

  /** Draw what `build` makes; null empties the box. */
  show(build) {
    this.build = build;
    this.redraw();
  }

  /** New data for the same lines: what the pointer is at stays. */
  update(data) {
    if (this.plot) this.plot.setData(data);
    else this.redraw();
  }

  redraw() {
    this.plot?.destroy();
    this.plot = null;
    const { clientWidth, clientHeight } = this.box;
    if (this.build && clientWidth > 0) this.plot = this.build(this.box, clientWidth, clientHeight);
  }

  #fit() {
    const { clientWidth: width, clientHeight: height } = this.box;
    if (!this.build || width === 0) return;
    if (!this.plot) this.redraw();
    else if (this.plot.width !== width || this.plot.height !== height) this.plot.setSize({ width, height });
  }
}

/** An axis; `side` is 2 below, 3 at the left. */
function axis(side, label, extra = {}) {
  return {
    side,
    label,
    labelFont: FONT,
    labelSize: label ? 22 : 0,
    labelGap: 2,
    font: FONT,
    stroke: color("muted"),
    grid: { stroke: color("grid"), width: 1 },
    ticks: { show: false },
    border: { show: side === 2, stroke: color("line-strong"), width: 1 },
    // Numbers along the bottom need room between them, as wide as they are.
    ...(side === 2 && { space: (plot, place, least, most) => Math.max(50, 20 + 7 * Math.max(...[least, most].map((value) => number(value, 3).length))) }),
    size: side === 2 ? 30 : (plot, values) => {
      const longest = (values ?? []).reduce((most, text) => Math.max(most, text ? text.length : 0), 0);
      return Math.max(36, 14 + longest * 6.6);
    },
    gap: 6,
    values: (plot, splits) => ticks(splits),
    ...extra,
  };
}

/**
 * Lines over epochs. `series` are {label, color, dash}; `data` as uPlot takes it, epochs first.
 * `onHover(index)` hears which point the pointer is at, null when it leaves.
 */
export function lineChart(box, width, height, { series, data, log, yLabel, onHover }) {
  const few = isShort(data);
  const isLog = canBeLog(log, data);
  const options = {
    width,
    height,
    padding: [10, 28, 0, 0], // half of "1,000,000" stands beyond the last epoch
    legend: { show: false },
    cursor: {
      y: false,
      drag: { setScale: false, x: false, y: false },
      points: { size: 7, fill: (plot, index) => color(series[index - 1].color) },
    },
    scales: {
      x: { time: false, range: epochRange },
      y: isLog ? { distr: 3, log: 10, range: (plot, least, most) => [least / 1.3, most * 1.3] } : { range: (plot, least, most) => padded(Math.min(0, least), most) },
    },
    axes: [
      axis(2, "epoch, counted from 0", { incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 1e4, 2e4, 5e4, 1e5, 2e5, 5e5, 1e6] }),
      axis(3, yLabel, isLog ? { splits: (plot, place, least, most) => logMarks(least, most), filter: (plot, splits) => splits, values: (plot, splits) => logTicks(splits) } : {}),
    ],
    series: [{}, ...series.map((line) => ({
      label: line.label,
      stroke: color(line.color),
      width: 2,
      dash: line.dash,
      spanGaps: true,
      points: { show: few, size: 5, fill: color(line.color) },
    }))],
    hooks: { setCursor: [(plot) => onHover(plot.cursor.idx ?? null)] },
  };
  return new uPlot(options, lineData(data, isLog), box);
}

const ROUND_END = /^[1-9]0{2,}$/;

/** From the first epoch to the last; one alone stands in the middle (uPlot itself would add a hundred). */
function epochRange(plot, least, most) {
  const [first, last] = [plot.data[0][0] ?? least, plot.data[0].at(-1) ?? most];
  if (last <= first) return [first - 0.5, first + 0.5];
  // Of 1,000 epochs the last is 999: its tick would stand just outside.
  return [first, first === 0 && ROUND_END.test(last + 1) ? last + 1 : last];
}

/** Where a logarithmic axis is marked: at 1, 2 and 5 times powers of ten while there are few of these, else at some of the powers. */
function logMarks(least, most) {
  const [low, high] = [Math.floor(Math.log10(least)), Math.ceil(Math.log10(most))];
  const step = Math.ceil((high - low) / 7);
  const times = high - low > 3 ? [1] : [1, 2, 5];
  const marks = [];
  for (let exponent = Math.ceil(low / step) * step; exponent <= high; exponent += step) marks.push(...times.map((digit) => Number(`${digit}e${exponent}`)));
  const inside = marks.filter((value) => value >= least && value <= most);
  return inside.length > 1 ? inside : [least, Math.sqrt(least * most), most].map((value) => Number(value.toPrecision(2)));
}

/** Points of so short a curve are marked: a lone one would draw no line. */
export const isShort = (data) => data[0].length <= 30;

export const canBeLog = (log, data) => log && data.slice(1).some((values) => values.some((value) => value > 0));

const DUST = 1e-12; // of the largest loss: what is left of a zero after sums of floating-point numbers

/** What a chart draws of the data: a logarithm has a place for numbers above zero only, and dust lies at its foot. */
export function lineData(data, isLog) {
  if (!isLog) return data;
  const most = data.slice(1).flat().reduce((found, value) => Math.max(found, value ?? 0), 0);
  return [data[0], ...data.slice(1).map((values) => values.map((value) => (value > 0 ? Math.max(value, most * DUST) : null)))];
}

/**
 * Points and lines anywhere. `layers` are {kind: "points" | "line", color, xs, ys, size, hollow},
 * later ones above; `describe(layer, index)` are the words under the pointer.
 */
export function scatterChart(box, width, height, { layers, xLabel, yLabel, describe, diagonal, zero }) {
  const [xRange, yRange] = ranges(layers, diagonal);
  const options = {
    width,
    height,
    padding: [10, 14, 0, 0],
    legend: { show: false },
    cursor: { show: false },
    scales: { x: { time: false, range: () => xRange }, y: { range: () => yRange } },
    axes: [axis(2, xLabel), axis(3, yLabel)],
    series: [{}, { show: true, paths: () => null, points: { show: false } }],
    hooks: {
      drawClear: [(plot) => {
        if (diagonal) draw(plot, reference(Math.max(xRange[0], yRange[0]), Math.min(xRange[1], yRange[1])));
      }],
      draw: [(plot) => {
        if (zero) draw(plot, { kind: "line", color: "line-strong", xs: xRange, ys: [0, 0], width: 1.5 });
        for (const layer of layers) draw(plot, layer);
      }],
    },
  };
  const plot = new uPlot(options, [xRange, yRange], box);
  if (describe) tip(plot, layers, describe);
  return plot;
}

const reference = (least, most) => ({ kind: "line", color: "line-strong", xs: [least, most], ys: [least, most], width: 1.5 });

function draw(plot, layer) {
  const { ctx, bbox } = plot;
  const ratio = devicePixelRatio;
  ctx.save();
  ctx.beginPath();
  ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
  ctx.clip();
  ctx.fillStyle = ctx.strokeStyle = color(layer.color);
  ctx.lineWidth = (layer.width ?? 2) * ratio;
  ctx.globalAlpha = layer.alpha ?? 1;
  ctx.beginPath();
  layer.xs.forEach((x, index) => {
    const y = layer.ys[index];
    if (x === null || y === null) return;
    const across = plot.valToPos(x, "x", true);
    const up = plot.valToPos(y, "y", true);
    if (layer.kind === "line") ctx.lineTo(across, up);
    else {
      const radius = (layer.size / 2) * ratio;
      ctx.moveTo(across + radius, up);
      ctx.arc(across, up, radius, 0, 2 * Math.PI);
    }
  });
  if (layer.kind === "line" || layer.hollow) ctx.stroke();
  else ctx.fill();
  ctx.restore();
}

function padded(least, most) {
  if (!(most > least)) return least === 0 && most === 0 ? [0, 1] : [least - Math.abs(least) * 0.1 - 1e-9, most + Math.abs(most) * 0.1 + 1e-9];
  const room = (most - least) * 0.06;
  return [least === 0 ? 0 : least - room, most + room];
}

function ranges(layers, isSquare) {
  const found = ["xs", "ys"].map((name) => {
    let least = Infinity;
    let most = -Infinity;
    for (const layer of layers) {
      for (const value of layer[name]) {
        if (value === null) continue;
        least = Math.min(least, value);
        most = Math.max(most, value);
      }
    }
    if (least > most) return [0, 1];
    const room = (most - least || Math.abs(most) || 1) * 0.05;
    return [least - room, most + room];
  });
  if (!isSquare) return found;
  const both = [Math.min(found[0][0], found[1][0]), Math.max(found[0][1], found[1][1])];
  return [both, both];
}

const REACH_PX = 24;

/** Words beside the nearest point. */
function tip(plot, layers, describe) {
  const box = document.createElement("div");
  box.className = "tip";
  box.hidden = true;
  plot.over.append(box);
  plot.over.addEventListener("pointermove", (event) => {
    const bounds = plot.over.getBoundingClientRect();
    const [left, top] = [event.clientX - bounds.left, event.clientY - bounds.top];
    let best = null;
    let distance = REACH_PX;
    layers.forEach((layer) => {
      if (layer.kind !== "points") return;
      layer.xs.forEach((x, index) => {
        const away = Math.hypot(plot.valToPos(x, "x") - left, plot.valToPos(layer.ys[index], "y") - top);
        if (away < distance) [best, distance] = [[layer, index], away];
      });
    });
    box.hidden = best === null;
    if (!best) return;
    const [layer, index] = best;
    box.textContent = describe(layer, index);
    const across = plot.valToPos(layer.xs[index], "x");
    box.style.left = `${Math.min(Math.max(across, box.offsetWidth / 2), bounds.width - box.offsetWidth / 2)}px`;
    const up = plot.valToPos(layer.ys[index], "y");
    box.style.top = `${up > 60 ? up - 12 : up + 12 + box.offsetHeight}px`;
  });
  plot.over.addEventListener("pointerleave", () => { box.hidden = true; });
}
