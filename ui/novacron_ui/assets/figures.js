// The newest figures that a process reports of itself: loaded from the server, kept current live.

import { Rates, seriesKey } from "./live.js";

export class Figures {
  constructor(metrics) {
    this.metrics = metrics;
    this.known = new Map();
    this.rates = new Rates();
    this.seen = 0;
  }

  // Rows of [metric, attributes, time, value, rate], as the server answers (query/collector.py).
  load(rows) {
    for (const [metric, attributes, time, value, rate] of rows) {
      const key = seriesKey([metric, "", attributes]);
      this.rates.push([metric, "", attributes, time, value]);
      this.seen = Math.max(this.seen, time);
      if ((this.known.get(key)?.time ?? 0) <= time) this.known.set(key, { metric, attributes, time, value, rate });
    }
  }

  // Points of the live feed.
  apply(points) {
    for (const [metric, , attributes, time, value] of points) {
      this.seen = Math.max(this.seen, time);
      if (!this.metrics.includes(metric)) continue;
      const key = seriesKey([metric, "", attributes]);
      const known = this.known.get(key);
      if (known && known.time >= time) continue;
      const rate = this.rates.push([metric, "", attributes, time, value]) ?? known?.rate ?? null;
      this.known.set(key, { metric, attributes, time, value, rate });
    }
  }

  // Null where nothing is known. Series of an earlier release are older than the newest report.
  sum(what, metric, wanted = () => true) {
    const every = [...this.known.values()].filter((each) => each.metric === metric && wanted(each.attributes));
    const values = every.map((each) => each[what]).filter((value) => value !== null && value !== undefined);
    return values.length ? values.reduce((a, b) => a + b, 0) : null;
  }
}
