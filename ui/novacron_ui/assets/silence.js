// Guests whose QEMU does not answer: as the server told, and as it changes live.

export const ANSWERING = "libvirt.monitor.responding";
const STORED = 3000; // so old a live point may be and not be in the server's answer

export class Silence {
  constructor() {
    this.since = new Map(); // id of a guest -> time, null: for more than a day
    this.live = new Map(); // id of a guest -> {time, answers}
  }

  // `asked`: when the server was asked. What is newer stays.
  load(rows, asked) {
    const before = this.since;
    this.since = new Map(rows.map(({ id, since }) => [id, since]));
    for (const [id, { time, answers }] of this.live) {
      if (time < asked - STORED) continue;
      if (answers) this.since.delete(id);
      else if (!this.since.has(id)) this.since.set(id, before.get(id) ?? time);
    }
  }

  // Returns whether anything changed.
  apply(points) {
    let changed = false;
    for (const [metric, id, , time, value] of points) {
      if (metric !== ANSWERING || this.live.get(id)?.time >= time) continue;
      this.live.set(id, { time, answers: value > 0 });
      if (value > 0) changed = this.since.delete(id) || changed;
      else if (!this.since.has(id)) {
        this.since.set(id, time);
        changed = true;
      }
    }
    return changed;
  }

  // A guest that does not run has nobody who could answer. Pairs of id and since, the longest first.
  of(machines) {
    const runs = ([id]) => ["running", "unknown", "", undefined].includes(machines.get(id)?.state);
    return [...this.since].filter(runs).sort(([, a], [, b]) => (a ?? 0) - (b ?? 0));
  }
}
