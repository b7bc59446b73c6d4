// One panel: asks for its lines, draws them, and extends them live.

import { ask } from "./asking.js";
import { h, icon } from "./elements.js";
import { Chart } from "./chart.js";
import { Rates, seriesKey } from "./live.js";
import { retryButton } from "./states.js";

const FIRST_RETRY = 2000;
const LONGEST_RETRY = 30000;
const MOMENT = 200; // Dash has not taken up the page's stores yet
const STORED = 3000; // a point that was seen live can be asked for by then

let questions = 0;

export class Panel {
  constructor(section, { entity, kind, ranges }) {
    const { panel, unit, rate, share, metrics, redrawn } = section.dataset;
    Object.assign(this, { section, entity, kind, ranges, id: panel });
    this.metrics = metrics.split(" ");
    this.redrawnEvery = redrawn * 1000; // live points are finer than the server's: join them at times
    this.isRate = rate === "true";
    this.body = section.querySelector(".panel-body");
    this.badges = section.querySelector(".panel-badges");
    this.failures = 0;
    this.gaps = [];
    this.chartOptions = {
      unit,
      isRate: this.isRate,
      isShare: share === "true",
      onSelect: (start, end) => end - start >= 60 && ranges.choose({ start, end }),
    };
    this.watchVisibility();
  }

  // A panel that is off the screen asks when it comes into view.
  watchVisibility() {
    this.observer = new IntersectionObserver(([entry]) => {
      this.isVisible = entry.isIntersecting;
      if (this.isVisible && this.isDue) this.ask();
    }, { rootMargin: "200px" });
    this.observer.observe(this.section);
  }

  destroy() {
    clearTimeout(this.timer);
    clearTimeout(this.soon);
    this.observer.disconnect();
    this.chart?.destroy();
  }

  ask() {
    clearTimeout(this.timer);
    this.isDue = !this.isVisible && !this.isEmpty;
    if (this.isDue) return;
    questions += 1;
    this.number = questions;
    const points = Math.max(100, Math.round(this.body.clientWidth / 2));
    const id = { type: "panel-ask", panel: this.id };
    const { entity, kind, number } = this;
    const question = { entity, kind, panel: this.id, range: this.ranges.question(points), number };
    const isAsked = ask(id, question);
    this.section.dataset.state = "asking";
    this.timer = setTimeout(() => this.ask(), isAsked ? LONGEST_RETRY : MOMENT);
  }

  // Returns whether it was the answer to the newest question.
  show(data) {
    if (data.number !== this.number) return false;
    clearTimeout(this.timer);
    this.section.dataset.state = data.error ? "error" : "";
    if (data.error) this.showError(data.error);
    else this.showLines(data);
    return true;
  }

  showError({ title, detail }) {
    const delay = Math.min(FIRST_RETRY * 2 ** this.failures, LONGEST_RETRY);
    this.failures += 1;
    this.timer = setTimeout(() => this.ask(), delay);
    this.badges.replaceChildren(h("span", { class: "badge", "data-tone": "warn", title: detail }, title));
    if (this.chart) return; // the lines that are there stay, as old ones
    this.body.replaceChildren(
      h("div", { class: "panel-state", role: "status" }, icon("unplug"), title, retryButton(() => this.ask())),
    );
  }

  showLines(data) {
    this.failures = 0;
    if (this.ranges.isNow) {
      const pause = Math.max(this.redrawnEvery, data.step * 1000);
      this.timer = setTimeout(() => (document.hidden ? (this.isDue = true) : this.ask()), pause);
    }
    this.data = data;
    this.isEmpty = !data.x.length && !data.quiet;
    this.section.hidden = this.isEmpty;
    if (!data.x.length) {
      this.endChart();
      if (data.quiet) this.showQuiet(data.quiet);
      return;
    }
    for (const line of data.lines) line.values = aligned(line);
    const title = `One point per ${stepText(data.step)}`;
    this.badges.replaceChildren(h("span", { class: "badge", title }, data.resolution));
    this.chart ??= new Chart(this.body, this.chartOptions);
    this.chart.gaps.all = this.gaps;
    this.chart.draw(data);
    this.rates ??= new Rates();
    this.byKey = new Map(
      data.lines.map((line, index) => [seriesKey([line.metric, this.entity, line.attributes]), index]),
    );
  }

  mark(gaps) {
    this.gaps = gaps;
    this.chart?.mark(gaps);
  }

  endChart() {
    this.chart?.destroy();
    this.chart = null;
  }

  // Nothing happened, which is news as good as a line.
  showQuiet(text) {
    this.badges.replaceChildren();
    const span = this.ranges.isNow ? `in the last ${this.ranges.name}` : "in this range";
    const state = h("div", { class: "panel-state" }, icon("circle-check"), `${text} ${span}`);
    this.body.replaceChildren(state);
  }

  // Live points continue a chart of raw samples that ends now.
  extend(points, now) {
    if (this.isEmpty && this.ranges.isNow && points.some((point) => this.metrics.includes(point[0]))) this.askSoon();
    if (!this.chart || !this.ranges.isNow || this.data.resolution !== "raw") return;
    let grown = false;
    for (const point of points) {
      const index = this.byKey.get(seriesKey(point));
      if (index !== undefined) grown = this.add(index, point) || grown;
    }
    if (!grown) return;
    Object.assign(this.data, this.ranges.window(now / 1000));
    if (this.isVisible) this.chart.extend(this.data);
  }

  // What had no values has some now.
  askSoon() {
    this.soon ??= setTimeout(() => {
      this.soon = null;
      this.ask();
    }, STORED);
  }

  add(index, point) {
    const value = this.isRate ? this.rates.push(point) : point[4];
    if (value === null) return false;
    const { x, lines } = this.data;
    const time = point[3] / 1000;
    const last = x.at(-1);
    if (time < last) return false;
    if (time > last) {
      x.push(time);
      for (const line of lines) line.values.push(undefined);
    }
    lines[index].values[x.length - 1] = value;
    return true;
  }
}

// uPlot joins the points around an undefined value, and ends the line at a null: it does so from the
// last value before a gap to the first one after it, whatever times other lines have in between.
export function aligned({ values, gaps }) {
  const joined = values.map((value) => value ?? undefined);
  for (const gap of gaps) {
    joined[gap] = null;
    for (let at = gap - 1; at >= 0 && joined[at] === undefined; at -= 1) joined[at] = null;
    for (let at = gap + 1; at < joined.length && joined[at] === undefined; at += 1) joined[at] = null;
  }
  return joined;
}

function stepText(seconds) {
  if (seconds >= 3600) return `${seconds / 3600} h`;
  return seconds >= 60 ? `${Math.round(seconds / 6) / 10} min` : `${Math.round(seconds)} s`;
}
