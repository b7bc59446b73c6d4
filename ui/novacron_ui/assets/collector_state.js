// A collector's newest figures, and what they mean in a sentence.

import { Figures } from "./figures.js";
import { age, bytes, count, seconds } from "./format.js";

const OWN = "novacron.collector.";
const SILENT = 45000; // three reports and more are missing
const BEHIND_S = 15; // a segment is written each second
const FAR_BEHIND_S = 60;

export class CollectorFigures extends Figures {
  constructor() {
    super([
      ...["point.count", "point.rejected", "request.count", "log.size", "log.limit", "log.lag"].map((name) => OWN + name),
      "process.cpu.time",
      "process.memory.usage",
    ]);
  }

  summary() {
    const outcome = (...names) => this.sum("rate", `${OWN}request.count`, (a) => names.includes(a["novacron.outcome"]));
    return {
      seen: this.seen,
      points: this.sum("rate", `${OWN}point.count`),
      rejected: this.sum("rate", `${OWN}point.rejected`),
      requests: outcome("accepted", "repeated"),
      refused: outcome("refused", "undecodable"),
      size: this.sum("value", `${OWN}log.size`),
      limit: this.sum("value", `${OWN}log.limit`),
      lag: this.sum("value", `${OWN}log.lag`),
      cpu: this.sum("rate", "process.cpu.time"),
      memory: this.sum("value", "process.memory.usage"),
    };
  }
}

// Tone, icon and text. The worst is said, and what comes in.
export function describe({ seen, points, refused, rejected, size, lag }, now) {
  if (!seen) return { tone: "warn", mark: "clock-alert", text: "Nothing was reported in the last 15 minutes" };
  if (now - seen > SILENT) {
    const text = `Nothing was reported for ${age(now - seen)}: the collector is stopped, cannot be reached, or its log is full`;
    return { tone: "bad", mark: "clock-alert", text };
  }
  const receiving = points === null ? "Just started" : `Receiving ${points < 0.05 ? "nothing" : `${count(points)} points/s`}`;
  const turned = turnedAway(refused ?? 0, rejected ?? 0);
  if (lag !== null && lag > BEHIND_S) {
    const tone = lag > FAR_BEHIND_S ? "bad" : "warn";
    const waits = `the store is behind: ${bytes(size)} wait, the oldest for ${age(lag * 1000)}`;
    return { tone, mark: "triangle-alert", text: `${receiving}; ${waits}${turned}` };
  }
  const stored = lag === null ? "" : `; everything is stored within ${seconds(Math.max(lag, 0.1))}`;
  const tone = turned ? "warn" : "good";
  return { tone, mark: turned ? "triangle-alert" : "circle-check", text: `${receiving}${stored}${turned}` };
}

function turnedAway(refused, rejected) {
  const parts = [];
  if (refused >= 0.0005) parts.push(`${count(refused)} requests/s`);
  if (rejected >= 0.0005) parts.push(`${count(rejected)} points/s`);
  return parts.length ? `; turning away ${parts.join(" and ")}` : "";
}
