// One chart on uPlot: lines with gaps, a crosshair shared by the page, a legend with values.

import { h, icon, setText } from "./elements.js";
import { formatter, NONE, short } from "./format.js";
import { Gaps } from "./gaps.js";
import uPlot from "./vendor/uplot/uPlot.esm.js";

const HEIGHT = 192;
const COLOURS = 6;
const DASHES = [[], [6, 3], [2, 2]];
const SYNC = uPlot.sync("machine");

export class Chart {
  // `unit`, `isRate`, `isShare` as in query/panels.py; `onSelect(start, end)` in seconds.
  constructor(body, { unit, isRate, isShare, onSelect }) {
    Object.assign(this, { body, isShare, onSelect });
    this.gaps = new Gaps(() => this.data);
    this.format = formatter(unit, isRate);
    this.bytes = unit === "By" && !isRate;
    this.resize = new ResizeObserver(() => this.fit());
    this.resize.observe(body);
    this.onTheme = () => this.plot && this.draw(this.data);
    window.addEventListener("novacron:theme", this.onTheme);
  }

  destroy() {
    this.resize.disconnect();
    window.removeEventListener("novacron:theme", this.onTheme);
    this.plot?.destroy();
    this.plot = null;
  }

  // {start, end, x, lines: [{name, values}], left}
  draw(data) {
    this.data = data;
    const hidden = new Set(this.plot?.series.slice(1).filter((s) => !s.show).map((s) => s.label));
    this.plot?.destroy();
    const canvas = h("div", { class: "chart-canvas" });
    this.legend = h("div", { class: "legend" });
    this.body.replaceChildren(canvas, this.legend);
    const columns = [data.x, ...data.lines.map((line) => line.values)];
    this.plot = new uPlot(this.options(hidden), columns, canvas);
    this.buildLegend();
  }

  // New points at the right edge; the window moves with them.
  extend(data) {
    this.data = data;
    this.plot.setData([data.x, ...data.lines.map((line) => line.values)], false);
    this.plot.setScale("x", { min: data.start, max: data.end });
    this.writeLegend();
  }

  // Times that were lost, as {start, end, why} in milliseconds.
  mark(gaps) {
    this.gaps.all = gaps;
    if (!this.plot) return;
    this.gaps.write(this.plot);
    this.plot.redraw(false);
  }

  fit() {
    const width = this.body.clientWidth;
    if (this.plot && width && width !== this.plot.width) this.plot.setSize({ width, height: HEIGHT });
  }

  options(hidden) {
    const { data } = this;
    const style = getComputedStyle(document.documentElement);
    const colour = (name) => style.getPropertyValue(name).trim();
    this.colours = data.lines.map((_, index) => colour(`--series-${(index % COLOURS) + 1}`));
    const warn = colour("--warn");
    const axis = {
      stroke: colour("--text-3"),
      font: `11px ${colour("--font")}`,
      grid: { stroke: colour("--grid"), width: 1 },
      ticks: { show: false },
    };
    return {
      width: this.body.clientWidth || 400,
      height: HEIGHT,
      padding: [10, 12, 0, 0],
      legend: { show: false },
      cursor: {
        sync: { key: SYNC.key, setSeries: false },
        drag: { x: true, y: false, setScale: false },
        points: { size: 6, width: 0, fill: (_, index) => this.colours[index - 1] },
      },
      scales: {
        x: { min: data.start, max: data.end, range: () => [this.data.start, this.data.end] },
        y: { range: (_, low, high) => this.bounds(low, high) },
      },
      axes: [
        { ...axis, size: 26, gap: 4, space: 70, values: timeLabels },
        {
          ...axis,
          size: 72,
          gap: 8,
          space: 36,
          splits: this.bytes ? byteSplits : undefined,
          values: (_, splits) => splits.map((value) => short(this.format(value))),
        },
      ],
      series: [{}, ...data.lines.map((line, index) => this.series(line, index, hidden))],
      hooks: {
        drawClear: [(plot) => this.gaps.shade(plot, warn)],
        setCursor: [() => this.writeLegend()],
        setSelect: [(plot) => this.select(plot)],
      },
    };
  }

  series(line, index, hidden) {
    const stroke = this.colours[index];
    const isOnly = this.data.lines.length === 1;
    return {
      label: line.name,
      show: !hidden.has(line.name),
      stroke,
      width: 1.5,
      dash: DASHES[Math.floor(index / COLOURS) % DASHES.length],
      fill: isOnly ? `color-mix(in srgb, ${stroke} 12%, transparent)` : undefined,
      points: { show: (plot, series, first, last) => last - first < 2, size: 4 },
      spanGaps: false,
    };
  }

  bounds(low, high) {
    const top = high === null || high <= 0 ? 1 : high * 1.1;
    if (this.isShare) return [0, Math.max(1, high || 0)];
    return [Math.min(0, low || 0), top];
  }

  select(plot) {
    const { left, width } = plot.select;
    if (width < 4) return;
    const [start, end] = [plot.posToVal(left, "x"), plot.posToVal(left + width, "x")];
    plot.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
    this.onSelect(Math.round(start), Math.round(end));
  }

  buildLegend() {
    const entries = this.data.lines.map((line, index) => {
      const value = h("span", { class: "legend-value" }, NONE);
      const mark = h("i", { class: "legend-mark" });
      mark.style.background = this.colours[index];
      const toggle = () => {
        const show = !this.plot.series[index + 1].show;
        this.plot.setSeries(index + 1, { show });
        entry.setAttribute("aria-pressed", show);
      };
      const entry = h(
        "button",
        {
          type: "button",
          class: "legend-entry",
          title: line.name,
          "aria-pressed": this.plot.series[index + 1].show,
          onclick: toggle,
        },
        mark,
        h("span", { class: "legend-name" }, line.name),
        value,
      );
      entry.reading = value;
      return entry;
    });
    const left = this.data.left
      ? [h("span", { class: "legend-left" }, icon("info"), `${this.data.left} smaller lines are not drawn`)]
      : [];
    this.legend.replaceChildren(...entries, this.gaps.entry(), ...left);
    this.entries = entries;
    this.writeLegend();
  }

  // The values under the crosshair, or else the newest.
  writeLegend() {
    if (!this.entries) return;
    const under = this.plot.cursor.idx;
    this.data.lines.forEach((line, index) => {
      const value = under === null || under === undefined ? newest(line.values) : valueAt(line.values, under);
      const text = value === null || value === undefined ? NONE : this.format(value);
      setText(this.entries[index].reading, text);
    });
    this.gaps.write(this.plot);
  }
}

// At a time that only other lines have, the value before, where the line goes on.
export function valueAt(values, index) {
  let [before, after] = [index, index];
  while (values[before] === undefined && before > 0) before -= 1;
  while (values[after] === undefined && after < values.length - 1) after += 1;
  const goesOn = values[after] !== undefined && values[after] !== null;
  return goesOn ? values[before] : undefined;
}

function newest(values) {
  for (let index = values.length - 1; index >= 0; index -= 1) {
    if (values[index] !== null && values[index] !== undefined) return values[index];
  }
  return null;
}

// Round numbers of KiB, MiB, …, not of thousands.
function byteSplits(_plot, _axis, low, high, step) {
  const unit = 1024 ** Math.max(0, Math.floor(Math.log(step) / Math.log(1024)));
  const size = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024].find((n) => n * unit >= step) * unit;
  const splits = [];
  for (let value = Math.ceil(low / size) * size; value <= high; value += size) splits.push(value);
  return splits;
}

const DAY = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short" });
const MINUTE = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
const SECOND = new Intl.DateTimeFormat(undefined, {
  hour: "2-digit",
  minute: "2-digit",
  second: "2-digit",
  hourCycle: "h23",
});

function timeLabels(_plot, splits, _axis, _space, step) {
  return splits.map((time) => {
    const moment = new Date(time * 1000);
    const midnight = moment.getHours() === 0 && moment.getMinutes() === 0;
    if (step >= 86400 || (midnight && step >= 60)) return DAY.format(moment);
    return (step < 60 ? SECOND : MINUTE).format(moment);
  });
}
