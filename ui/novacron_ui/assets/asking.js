// How a page asks the server: it changes the Dash store that the server's callback listens to.

const FIRST_RETRY = 2000;
const LONGEST_RETRY = 30000;
const ANSWER_WITHIN = 20000;

// A page's timer may come when Dash has just put another page in its place: nobody is asked then.
// Returns whether somebody was.
export function ask(store, question) {
  const isThere = isInLayout(store);
  if (isThere) window.dash_clientside.set_props(store, { data: question });
  return isThere;
}

function isInLayout(store) {
  try {
    return window.dash_component_api.getLayout(store)?.type === "Store";
  } catch {
    return false; // Dash looks for the path of an id that has none
  }
}

// Asks at intervals, and sooner, with growing delays, after a failure.
export class Asking {
  constructor(id, { every, onSilence, question = Date.now }) {
    Object.assign(this, { id, every, onSilence, question });
    this.failures = 0;
    this.plan(every);
  }

  answered(failed) {
    clearTimeout(this.deadline);
    this.failures = failed ? this.failures + 1 : 0;
    this.plan(failed ? Math.min(FIRST_RETRY * 2 ** (this.failures - 1), LONGEST_RETRY) : this.every);
  }

  now() {
    clearTimeout(this.timer);
    clearTimeout(this.deadline);
    this.deadline = setTimeout(() => {
      this.onSilence?.();
      this.answered(true);
    }, ANSWER_WITHIN);
    ask(this.id, this.question());
  }

  plan(delay) {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => (document.hidden ? this.plan(this.every) : this.now()), delay);
  }

  stop() {
    clearTimeout(this.timer);
    clearTimeout(this.deadline);
  }
}
