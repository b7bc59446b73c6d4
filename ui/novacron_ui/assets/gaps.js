// Times that an agent lost, on a chart: shaded behind the lines, and named in the legend.

import { h, setText } from "./elements.js";
import { span } from "./format.js";

const NARROWEST = 3; // pixels of a gap
const OPACITY = 0.16;

export class Gaps {
  // `window()`: what the chart shows, as {start, end} in seconds.
  constructor(window) {
    this.window = window;
    this.all = []; // {start, end, why} in milliseconds
  }

  within() {
    const { start, end } = this.window();
    return this.all.filter((gap) => gap.end >= start * 1000 && gap.start <= end * 1000);
  }

  // In pixels of the canvas.
  shade(plot, colour) {
    const { ctx, bbox } = plot;
    ctx.save();
    ctx.beginPath();
    ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
    ctx.clip();
    ctx.fillStyle = colour;
    ctx.globalAlpha = OPACITY;
    for (const { start, end } of this.within()) {
      const [left, right] = [start, end].map((time) => plot.valToPos(time / 1000, "x", true));
      const width = Math.max(right - left, NARROWEST * devicePixelRatio);
      ctx.fillRect((left + right - width) / 2, bbox.top, width, bbox.height);
    }
    ctx.restore();
  }

  // Its place in a new legend.
  entry() {
    const mark = h("i", { class: "legend-mark" });
    this.legend = h("span", { class: "legend-gap" }, mark, h("span"));
    return this.legend;
  }

  // What was lost under the crosshair, or else that something was.
  write(plot) {
    const gaps = this.within();
    const { left } = plot.cursor;
    const at = left >= 0 ? plot.posToVal(left, "x") * 1000 : null;
    const reach = 1000 * (plot.posToVal(NARROWEST, "x") - plot.posToVal(0, "x"));
    const under = at !== null && gaps.find(({ start, end }) => start - reach <= at && at <= end + reach);
    this.legend.hidden = !gaps.length;
    setText(this.legend.lastChild, under ? `lost by the agent ${span(under, at)}, ${under.why}` : "lost by the agent");
  }
}
