// The live path: one socket per browser tab. Pages say what they watch and get points.

import { sessionMayBeOver } from "./api.js";

const FIRST_DELAY = 500;
const LONGEST_DELAY = 15000;

class Live {
  constructor() {
    this.topics = [];
    this.listeners = new Set();
    this.statusListeners = new Set();
    this.status = "connecting";
    this.skew = 0; // the server's clock minus ours
    this.dropped = 0;
    this.buffer = [];
    this.delay = FIRST_DELAY;
  }

  start() {
    if (this.socket) return;
    this.connect();
    document.addEventListener("visibilitychange", () => this.flushSoon());
  }

  // Points reach `listener` once per frame of the screen, as a list.
  listen(listener) {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  onStatus(listener) {
    this.statusListeners.add(listener);
    listener(this.status);
  }

  // What the page shows: [{metrics: [...], entities: [...] or null}].
  watch(topics) {
    const text = JSON.stringify({ watch: topics });
    if (text === this.watching) return;
    this.watching = text;
    this.topics = topics;
    this.send();
  }

  now() {
    return Date.now() + this.skew;
  }

  send() {
    if (this.socket?.readyState === WebSocket.OPEN && this.watching) this.socket.send(this.watching);
  }

  connect() {
    const scheme = location.protocol === "https:" ? "wss:" : "ws:";
    this.socket = new WebSocket(`${scheme}//${location.host}/ws`);
    this.socket.onopen = () => {
      this.delay = FIRST_DELAY;
      this.send();
    };
    this.socket.onmessage = (event) => this.take(JSON.parse(event.data));
    this.socket.onclose = () => {
      sessionMayBeOver();
      this.setStatus("reconnecting");
      setTimeout(() => this.connect(), this.delay * (0.5 + Math.random() / 2));
      this.delay = Math.min(this.delay * 2, LONGEST_DELAY);
    };
  }

  take(frame) {
    this.dropped = frame.dropped;
    if (frame.status) this.setStatus(frame.status);
    if (!frame.points) return;
    for (const point of frame.points) this.buffer.push(point);
    this.flushSoon();
  }

  // A hidden page keeps only the newest value of each series.
  flushSoon() {
    if (document.hidden) {
      this.buffer = newestOnly(this.buffer);
      return;
    }
    if (this.flushing || !this.buffer.length) return;
    this.flushing = requestAnimationFrame(() => {
      this.flushing = 0;
      const points = this.buffer;
      this.buffer = [];
      for (const listener of this.listeners) listener(points);
    });
  }

  setStatus(status) {
    if (status === this.status) return;
    this.status = status;
    for (const listener of this.statusListeners) listener(status);
  }
}

function newestOnly(points) {
  if (points.length < 5000) return points;
  const newest = new Map();
  for (const point of points) newest.set(seriesKey(point), point);
  return [...newest.values()];
}

export function seriesKey([metric, entity, attributes]) {
  const names = Object.keys(attributes).sort();
  return [metric, entity, ...names.map((name) => `${name}=${attributes[name]}`)].join("\n");
}

// Turns a counter's points into rates per second; a reset or a first point gives none.
export class Rates {
  constructor() {
    this.last = new Map();
  }

  push(point) {
    const [, , , time, value] = point;
    const key = seriesKey(point);
    const before = this.last.get(key);
    if (before && time <= before.time) return null;
    this.last.set(key, { time, value });
    if (!before || value < before.value) return null;
    return (value - before.value) / ((time - before.time) / 1000);
  }
}

export const live = new Live();
