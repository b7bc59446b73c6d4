// The Collector page: its state in words, tiles, and charts over a range.

import { Asking } from "./asking.js";
import { CollectorFigures, describe } from "./collector_state.js";
import { h, icon, setText } from "./elements.js";
import { bytes, count, percent, size } from "./format.js";
import { meter, setMeter } from "./fleet_table.js";
import { live } from "./live.js";
import { Panels } from "./panels.js";
import { Ranges } from "./ranges.js";
import { retryButton } from "./states.js";

const FIGURES_EVERY = 60000;
const NOTICES_EVERY = 15000;
const LOOK_AGAIN = 10000; // for a collector, where there is none yet

export function showFigures(data) {
  const view = currentView();
  if (view && data) view.take(data);
}

function currentView() {
  const root = document.getElementById("collector");
  if (!root) return null;
  if (root.view && root.view.entity !== root.dataset.entity) root.view.end();
  root.view ??= root.dataset.entity ? new CollectorView(root) : new NoView(root);
  return root.view;
}

// No collector, or no answer: notices say why, where that is known, and the page looks again.
class NoView {
  constructor(root) {
    this.root = root;
    this.notices = new Asking("notices-ask", { every: NOTICES_EVERY });
    this.notices.now();
    this.timer = setInterval(() => this.lookAgain(), LOOK_AGAIN);
  }

  lookAgain() {
    if (!this.root.isConnected) this.end();
    else if (!document.hidden) location.reload();
  }

  take() {}

  end() {
    clearInterval(this.timer);
    this.notices.stop();
    this.root.view = null;
  }
}

class CollectorView {
  constructor(root) {
    this.root = root;
    this.entity = root.dataset.entity;
    this.figures = new CollectorFigures();
    this.tiles = new Tiles(root.querySelector("#collector-tiles"));
    const toolbar = root.querySelector("#collector-toolbar");
    this.ranges = new Ranges(toolbar, () => this.panels.ask());
    const context = { entity: this.entity, kind: root.dataset.kind, ranges: this.ranges };
    this.panels = new Panels(root.querySelector(".panels"), root.querySelector("#collector-empty"), context);
    const onSilence = () => this.take({ error: { title: "The web UI's server does not answer" } });
    this.asking = new Asking("collector-ask", {
      every: FIGURES_EVERY,
      onSilence,
      question: () => ({ entity: this.entity, at: Date.now() }),
    });
    this.notices = new Asking("notices-ask", { every: NOTICES_EVERY });
    this.notices.now();
    this.stopListening = live.listen((points) => this.onPoints(points));
    this.clock = setInterval(() => this.onClock(), 1000);
    this.panels.ask();
    const metrics = [...new Set([...this.figures.metrics, ...this.panels.metrics()])];
    live.watch([{ metrics, entities: [this.entity] }]);
  }

  take(data) {
    this.asking.answered(Boolean(data.error));
    const trouble = this.root.querySelector("#collector-trouble");
    if (data.error) {
      const { title, detail = "" } = data.error;
      const text = h("p", {}, h("strong", {}, title), ` ${detail} This page tries again by itself.`);
      const retry = retryButton(() => this.asking.now());
      const notice = { class: "notice", "data-severity": "critical", role: "alert" };
      trouble.replaceChildren(h("div", notice, icon("unplug"), text, retry));
      return;
    }
    trouble.replaceChildren();
    live.skew = data.made - Date.now();
    this.figures.load(data.figures);
    this.isLoaded = true;
    this.showNow();
    this.root.dataset.ready = "true";
  }

  onPoints(points) {
    if (!this.isMounted()) return;
    const own = points.filter((point) => point[1] === this.entity);
    if (!own.length) return;
    this.figures.apply(own);
    this.showNow();
    this.panels.extend(own, live.now());
  }

  onClock() {
    if (this.isMounted() && !document.hidden) this.showNow();
  }

  showNow() {
    if (!this.isLoaded && !this.figures.seen) return;
    const now = this.figures.summary();
    this.tiles.update(now);
    const { tone, mark, text } = describe(now, live.now());
    const line = this.root.querySelector("#collector-state");
    if (line.dataset.text === text) return;
    line.dataset.text = text;
    line.dataset.tone = tone;
    line.replaceChildren(icon(mark), h("span", {}, text));
  }

  // Dash replaced the page: this view is over.
  isMounted() {
    if (this.root.isConnected && this.root.dataset.entity === this.entity) return true;
    this.end();
    return false;
  }

  end() {
    this.stopListening();
    clearInterval(this.clock);
    this.asking.stop();
    this.notices.stop();
    this.panels.destroy();
    if (this.root.view === this) this.root.view = null;
  }
}

class Tiles {
  constructor(root) {
    this.points = tile("Points taken");
    this.refused = tile("Turned away");
    this.waiting = tile("Waiting in the log", meter());
    this.process = tile("Process");
    const every = [this.points, this.refused, this.waiting, this.process];
    root.replaceChildren(...every.map((each) => each.root));
  }

  update({ points, requests, refused, rejected, size: waiting, limit, cpu, memory }) {
    show(this.points, count(points, "/s"), `in ${count(requests)} requests/s`);
    show(this.refused, `${count(refused)} requests/s`, `${count(rejected)} points/s rejected`);
    show(this.waiting, bytes(waiting), limit ? `of ${size(limit)} at most` : "");
    setMeter(this.waiting.bar, waiting === null || !limit ? null : waiting / limit);
    show(this.process, `${percent(cpu)} CPU`, `${bytes(memory)} of memory`);
  }
}

function tile(title, bar = null) {
  const value = h("div", { class: "tile-value number" });
  const detail = h("div", { class: "tile-detail" });
  const head = h("div", { class: "tile-title" }, title);
  return { value, detail, bar, root: h("div", { class: "tile card" }, head, value, detail, bar) };
}

function show({ value, detail }, text, note) {
  setText(value, text);
  setText(detail, note);
}
