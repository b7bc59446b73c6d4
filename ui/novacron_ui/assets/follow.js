// Follows an operation to its end: a request is held by the collector until something changed, so
// nobody asks again and again. Only one is held for an operation, and none by a hidden page.

import { get } from "./api.js";

const HELD_S = 25;
const CALM = 150; // between answers, of few commands and of many
const BUSY = 1000;
const MANY = 25;
const FIRST_RETRY = 1000;
const LONGEST_RETRY = 5000;

export class Follow {
  // `onChange(operation)` gives false where it could not show it: it is told again then.
  // `onTrouble(message)`, with "" when it is over.
  constructor(id, onChange, onTrouble = () => {}) {
    Object.assign(this, { id, onChange, onTrouble, version: null, retry: FIRST_RETRY });
    this.onVisibility = () => document.hidden && this.held?.abort();
    document.addEventListener("visibilitychange", this.onVisibility);
    this.run();
  }

  stop() {
    this.isStopped = true;
    this.held?.abort();
    document.removeEventListener("visibilitychange", this.onVisibility);
  }

  async run() {
    while (!this.isStopped) {
      await visible();
      const answer = await this.ask();
      if (this.isStopped) return;
      if (answer) await this.take(answer);
    }
  }

  async ask() {
    this.held = new AbortController();
    // Who did not answer is not to hold the question: that they are back is shown at once.
    const isAtOnce = this.version === null || this.retry !== FIRST_RETRY;
    const known = isAtOnce ? "" : `?after=${this.version}&wait=${HELD_S}`;
    try {
      return await get(`/api/operations/${this.id}${known}`, { signal: this.held.signal });
    } catch {
      return null; // it was let go
    }
  }

  async take({ ok, status, data, message }) {
    if (!ok) {
      this.onTrouble(message);
      if (status === 404) this.stop();
      await pause(this.retry);
      this.retry = Math.min(this.retry * 2, LONGEST_RETRY);
      return;
    }
    const wasTrouble = this.retry !== FIRST_RETRY;
    if (wasTrouble) this.onTrouble("");
    this.retry = FIRST_RETRY;
    const isOnPage = data.version === this.version && !wasTrouble; // and not what the trouble was
    const isShown = isOnPage || (await this.onChange(data)) !== false;
    this.version = isShown ? data.version : null;
    if (!isShown) await pause(FIRST_RETRY);
    else if (data.state !== "running") this.stop();
    else await pause(data.total > MANY ? BUSY : CALM);
  }
}

function visible() {
  if (!document.hidden) return null;
  return new Promise((resolve) => document.addEventListener("visibilitychange", resolve, { once: true }));
}

const pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));
