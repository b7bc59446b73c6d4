// How well a machine is measured: notices, the Agent section, and what its charts cannot show.

import { AgentFigures, problems } from "./agent_state.js";
import { AgentSection, lossText, sinceText } from "./agent_section.js";
import { Asking } from "./asking.js";
import { h, icon, setText } from "./elements.js";
import { span } from "./format.js";
import { live } from "./live.js";
import { ANSWERING, Silence } from "./silence.js";

const EVERY = 60000;
const NOTHING = { gaps: [], moreGaps: 0, gapsSince: null };
const MAX_NAMED = 5; // guests in a notice, and spans in a line

export class Monitoring {
  // `machines` as the page knows them; `panels` are the machine's own.
  constructor(root, { entity, kind, ranges, machines, panels }) {
    Object.assign(this, { root, entity, kind, ranges, machines, panels });
    this.figures = new AgentFigures();
    this.silence = new Silence();
    this.names = new Map();
    this.lost = NOTHING;
    this.isOther = false; // a range than that of `lost`
    this.more = 0;
    const section = root.querySelector("details#machine-agent");
    this.section = section ? new AgentSection(section, ranges) : null;
    const onSilence = () => this.forgetOther();
    this.asking = new Asking("monitoring-ask", { every: EVERY, onSilence, question: () => this.question() });
    this.asking.now();
  }

  question() {
    this.at = Date.now();
    const { entity, kind, at } = this;
    return { entity, kind, range: this.ranges.question(100), at };
  }

  // Another range: other gaps.
  ask() {
    this.section?.panels.ask();
    this.isOther = true;
    this.asking.now();
  }

  take(data) {
    if (data.asked?.entity !== this.entity || data.asked.at !== this.at) return;
    this.asking.answered(Boolean(data.error));
    if (data.error) return this.forgetOther(); // what is known stays; the page's own question says what is wrong
    this.isOther = false;
    this.agent = data.agent;
    if (this.agent && this.section?.follow(this.agent.entity)) this.figures = new AgentFigures();
    this.figures.load(data.figures);
    this.silence.load(data.silent, this.at + live.skew);
    this.names = new Map(data.silent.map(({ id, name }) => [id, name]));
    this.more = data.moreSilent;
    this.lost = data;
    for (const panels of [this.panels, this.section?.panels]) panels?.mark(data.gaps);
    this.showLost();
    this.show();
    this.root.dataset.measured = "true";
  }

  // What was lost in the range before says nothing of this one.
  forgetOther() {
    if (!this.isOther) return;
    this.lost = NOTHING;
    this.showLost();
    this.show();
  }

  topics(vms) {
    const topics = [{ metrics: [ANSWERING], entities: [this.entity, ...vms] }];
    if (this.section) {
      const metrics = [...new Set([...this.figures.metrics, ...this.section.panels.metrics()])];
      topics.push({ metrics, entities: [this.section.entity] });
    }
    return topics;
  }

  onPoints(points) {
    const own = this.section ? points.filter((point) => point[1] === this.section.entity) : [];
    if (own.length) {
      this.figures.apply(own);
      this.section.panels.extend(own, live.now());
    }
    if (this.silence.apply(points) || own.length) this.show();
  }

  // As time goes by, or when something changed.
  show() {
    const now = live.now();
    const silent = this.silent();
    const agent = this.section && this.agent ? this.summary(now) : null;
    const troubles = agent ? problems(agent, now) : [];
    const notices = troubles.map(([fact, advice]) => notice([h("strong", {}, fact), `: ${advice}`], this.details()));
    if (silent.length) notices.unshift(this.kind === "host" ? this.guestsNotice(silent) : ownNotice(silent[0], now));
    this.write(notices);
    const count = troubles.length + (silent.length ? 1 : 0);
    if (agent) this.section.update(agent, count, { rows: silent, more: this.more }, this.lost, now);
  }

  // While the socket is away, news come with answers alone.
  summary(now) {
    const host = this.machines.all.get(this.entity)?.seen ?? 0;
    const late = live.status === "live" ? 0 : EVERY;
    return this.figures.summary(this.agent, { host, late, now });
  }

  silent() {
    const named = (id) => this.machines.all.get(id)?.name || this.names.get(id) || id;
    return this.silence.of(this.machines.all).map(([id, since]) => ({ id, since, name: named(id) }));
  }

  // Only what differs is written: a reader of screens would read it again.
  write(notices) {
    const html = notices.map((each) => each.outerHTML).join("");
    if (html === this.written) return;
    this.written = html;
    this.root.querySelector("#machine-notices").replaceChildren(...notices);
  }

  details() {
    const show = () => this.section.show();
    return h("button", { class: "button", type: "button", onclick: show }, "Details");
  }

  guestsNotice(silent) {
    const total = silent.length + this.more;
    const link = ({ id, name }) => h("a", { href: `/machine/${encodeURIComponent(id)}` }, name);
    const links = silent.slice(0, MAX_NAMED).flatMap((guest) => [", ", link(guest)]).slice(1);
    const left = total > MAX_NAMED ? ` and ${total - MAX_NAMED} more` : "";
    const fact = total === 1 ? "The monitor of one guest does not answer" : `The monitors of ${total} guests do not answer`;
    const text = [h("strong", {}, fact), ": ", ...links, `${left}. Disks and memory inside are not measured.`];
    return notice(text, this.section ? this.details() : null);
  }

  showLost() {
    const { gaps, moreGaps } = this.lost;
    const newest = gaps.slice(-MAX_NAMED).reverse();
    const left = gaps.length - newest.length + moreGaps;
    const spans = newest.map((gap) => `${span(gap, live.now())} (${lossText(gap)})`).join("; ");
    const text = `Lost by the agent${this.kind === "vm" ? " of its host" : ""}: ${spans}${left ? `; and ${left} more` : ""}`;
    setText(this.root.querySelector("#machine-lost"), gaps.length ? text : "");
  }

  destroy() {
    this.asking.stop();
    this.section?.destroy();
  }
}

function ownNotice({ since }, now) {
  const fact = `QEMU's monitor has not answered ${sinceText(since, now)}`;
  return notice([h("strong", {}, fact), ": disks, and memory inside the guest, are not measured"]);
}

function notice(text, button = null) {
  const attributes = { class: "notice", "data-severity": "warning", role: "status" };
  return h("div", attributes, icon("triangle-alert"), h("p", {}, ...text), button);
}
