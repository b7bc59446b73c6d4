// What goes on of what this visitor ordered on Fleet: it is found again after a reload. What draws it
// is loaded only then.

import { get } from "./api.js";
import { whenKnown } from "./visitor.js";

const MOST = 5;

export class FleetOrders {
  constructor(place) {
    this.place = place;
    this.lines = new Map();
    this.forget = whenKnown(({ visitor }) => visitor.logged_in && !this.isAsked && this.look(visitor.name));
  }

  destroy() {
    this.forget();
    this.isOver = true;
    for (const { follow } of this.lines.values()) follow?.stop();
  }

  tick() {
    for (const { line } of this.lines.values()) line?.tick();
  }

  async look(name) {
    this.isAsked = true;
    const answer = await get(`/api/operations?state=running&limit=${MOST}`).catch(() => null);
    if (!answer?.ok) return;
    for (const { id, issuer } of answer.data.operations) if (issuer === name) this.follow(id);
  }

  // Just ordered: a person wants to see it.
  begun(operation) {
    this.follow(operation);
    this.wanted = operation;
  }

  async follow(operation) {
    if (this.lines.has(operation)) return;
    this.lines.set(operation, {});
    const [{ Follow }, { OrderLine }, { operationLine }] = await Promise.all([
      import("./follow.js"),
      import("./order_line.js"),
      import("./operation_words.js"),
    ]);
    if (this.isOver) return;
    const line = new OrderLine({ operation, mayCancel: true, onClose: () => this.close(operation) });
    const show = (now) => {
      line.show(operationLine(now));
      if (!line.root.isConnected) this.place.append(line.root);
      if (this.wanted === operation) this.place.scrollIntoView({ block: "nearest" });
      this.wanted = null;
    };
    const follow = new Follow(operation, show, (message) => line.trouble(message));
    this.lines.set(operation, { line, follow });
  }

  close(operation) {
    const { line, follow } = this.lines.get(operation);
    follow.stop();
    line.root.remove();
    this.lines.delete(operation);
  }
}
