// All panels of a page: asked together, extended together; those without values named in one line.

import { setText } from "./elements.js";
import { Panel } from "./panel.js";

// What the server answered, of whichever page has panels now.
export function showPanels(all) {
  for (const root of document.querySelectorAll(".panels")) root.panels?.show(all);
}

export class Panels {
  // `empty`: where the titles of panels without values go; `context` as Panel has it.
  constructor(root, empty, context) {
    Object.assign(this, { root, empty, ranges: context.ranges });
    const sections = [...root.querySelectorAll(".panel")];
    this.all = new Map(sections.map((s) => [s.dataset.panel, new Panel(s, context)]));
    root.panels = this;
  }

  ask() {
    for (const panel of this.all.values()) panel.ask();
  }

  show(all) {
    for (const data of all) {
      const panel = data && this.all.get(data.panel);
      if (panel && panel.shown !== data) {
        panel.shown = data;
        panel.show(data);
      }
    }
    this.showEmpty();
  }

  // A panel without values takes no room; one line names them all.
  showEmpty() {
    const empty = [...this.all.values()].filter((panel) => panel.isEmpty);
    const titles = empty.map((panel) => panel.section.getAttribute("aria-label"));
    const span = this.ranges.isNow ? `in the last ${this.ranges.name}` : "in this range";
    setText(this.empty, titles.length ? `No values ${span}: ${titles.join(", ")}` : "");
  }

  // `gaps`: times that were lost, as {start, end, why} in milliseconds.
  mark(gaps) {
    for (const panel of this.all.values()) panel.mark(gaps);
  }

  // Draw another entity of the same kind.
  follow(entity) {
    for (const panel of this.all.values()) panel.entity = entity;
    this.ask();
  }

  metrics() {
    return [...this.all.values()].flatMap((panel) => panel.metrics);
  }

  // Up to `now`, or to the newest point, which a clock may put later.
  extend(points, now) {
    const end = points.reduce((latest, point) => Math.max(latest, point[3]), now);
    for (const panel of this.all.values()) panel.extend(points, end);
  }

  destroy() {
    for (const panel of this.all.values()) panel.destroy();
  }
}
