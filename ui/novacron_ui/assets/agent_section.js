// The section "Agent" of a host's page: a line that says how it is, and behind it all it tells.

import { h, icon, remember, remembered, setText } from "./elements.js";
import { age, bytes, clock, count, NONE, number, percent, seconds, short, span } from "./format.js";
import { Panels } from "./panels.js";

const NAME = "agent"; // in the URL, while it is open

// Columns of tables: title, text of a row, and whether that is something to look at.
const SOURCES = [
  ["Measured", ({ name }) => name],
  ["Last scrape took", (row) => seconds(row.seconds)],
  ["Failed scrapes", (row) => number(row.errors), (row) => row.failing > 0],
  ["Guests without an answer", (row) => number(row.stuck), (row) => row.stuck > 0],
];
const DESTINATIONS = [
  ["Sent to", ({ name }) => name],
  ["Delivered", (row) => (row.delivered === null ? NONE : `${count(row.delivered)} points/s`)],
  ["Waiting", (row) => waiting(row)],
  ["The oldest for", (row) => (row.batches ? age(row.age * 1000) : NONE), (row) => row.age > 60],
  ["Points refused", (row) => number(row.refused), (row) => row.refused > 0],
  ["Dead letters", (row) => number(row.buried), (row) => row.buried > 0],
  ["Points lost", (row) => number(row.lost), (row) => row.lost > 0],
];

function waiting({ batches, size }) {
  if (batches === null) return NONE;
  return batches ? `${number(batches)} ${batches === 1 ? "batch" : "batches"}, ${bytes(size)}` : "nothing";
}

export class AgentSection {
  constructor(root, ranges) {
    this.root = root;
    this.entity = root.dataset.entity;
    this.state = h("span", { class: "status" }, icon("circle-help"), h("span"));
    root.querySelector("#agent-state").replaceChildren(this.state);
    this.brief = root.querySelector("#agent-brief");
    this.figures = root.querySelector("#agent-figures");
    this.panels = new Panels(root.querySelector(".panels"), root.querySelector("#agent-empty"), {
      entity: this.entity,
      kind: "agent",
      ranges,
    });
    root.open = remembered(NAME) === "open";
    root.addEventListener("toggle", () => remember(NAME, root.open ? "open" : null));
    this.panels.ask();
  }

  // An agent that was installed anew is another one. Returns whether it is.
  follow(entity) {
    if (entity === this.entity) return false;
    this.entity = entity;
    this.panels.follow(entity);
    return true;
  }

  show() {
    this.root.open = true;
    this.root.scrollIntoView({ behavior: "smooth", block: "start" });
  }

  // `agent`: its summary; `troubles`: how many; `silent`: rows of guests; `lost`: gaps.
  update(agent, troubles, silent, lost, now) {
    const [tone, mark, word] = describe(agent, troubles, now);
    this.state.dataset.tone = tone;
    this.state.firstChild.className = `icon icon-${mark}`;
    setText(this.state.lastChild, word);
    setText(this.brief, agent.tells ? brief(agent) : "");
    this.write(agent, silent, lost, now);
  }

  // Only what differs is written: what somebody selects stays selected.
  write(agent, silent, lost, now) {
    const parts = [facts(agent, now), ...told(agent, now), ...guests(silent, now), ...losses(lost, now)];
    const html = parts.map((part) => part.outerHTML).join("");
    if (html === this.written) return;
    this.written = html;
    this.figures.replaceChildren(...parts);
  }

  destroy() {
    this.panels.destroy();
  }
}

// Tone, icon and word.
export function describe(agent, troubles, now) {
  if (now - agent.seen > agent.staleAfter) return ["warn", "clock-alert", "Not reporting"];
  if (troubles) return ["warn", "triangle-alert", troubles === 1 ? "1 problem" : `${troubles} problems`];
  if (!agent.tellsAll) return ["idle", "circle-help", "Reporting"];
  return ["good", "circle-check", "Everything is measured and sent"];
}

function brief({ cpu, memory, sources }) {
  const longest = Math.max(...sources.map((row) => row.seconds ?? 0));
  const scrape = longest > 0 ? `scrapes in ${seconds(longest)}` : "";
  return [`${percent(cpu)} CPU`, bytes(memory), scrape].filter(Boolean).join(" · ");
}

function facts(agent, now) {
  const off = agent.clock === null ? NONE : `${seconds(Math.abs(agent.clock))} ${agent.clock < 0 ? "behind" : "ahead"}`;
  const pairs = [
    ["Version", agent.version || NONE],
    ["CPU", percent(agent.cpu)],
    ["Memory", bytes(agent.memory)],
    ["Measures every", short(seconds(agent.interval))],
    ["Clock", Math.abs(agent.clock ?? 1) < 0.05 ? "right" : off],
    ["Last heard of", clock(agent.seen, now)],
  ];
  const fact = ([name, value]) => h("div", {}, h("dt", {}, name), h("dd", { class: "number" }, value));
  return h("dl", { class: "agent-facts" }, ...pairs.map(fact));
}

function told(agent, now) {
  const tables = [table("Sources", SOURCES, agent.sources), table("Destinations", DESTINATIONS, agent.destinations)];
  const known = tables.filter(Boolean);
  return known.length ? known : [h("p", { class: "agent-quiet" }, whyNothing(agent, now))];
}

// What stands where nothing is known of sources and destinations.
export function whyNothing({ tells, seen, staleAfter }, now) {
  if (tells) return "The agent does not tell here how it measures and sends: its settings leave these metrics out.";
  if (now - seen > staleAfter) return `Nothing was heard of the agent for ${age(now - seen)}: what it told before is too old to be shown.`;
  return "The agent tells nothing of itself here: its settings leave these metrics out, or it is older than they are.";
}

function table(name, columns, rows) {
  if (!rows.length) return null;
  const head = h("tr", {}, ...columns.map(([title]) => h("th", { scope: "col" }, title)));
  const cell = (row) => ([, text, isTrouble], index) => {
    const attributes = { class: "number", "data-tone": isTrouble?.(row) ? "warn" : null };
    return h(index ? "td" : "th", index ? attributes : { scope: "row" }, text(row));
  };
  const body = rows.map((row) => h("tr", {}, ...columns.map(cell(row))));
  const content = [h("thead", {}, head), h("tbody", {}, ...body)];
  return h("div", { class: "agent-table" }, h("table", { "aria-label": name }, ...content));
}

function guests({ rows, more }, now) {
  if (!rows.length) return [];
  const item = ({ id, name, since }) =>
    h("li", {}, h("a", { href: `/machine/${encodeURIComponent(id)}` }, name), h("span", {}, sinceText(since, now)));
  const left = more ? [h("li", {}, `and ${more} more`)] : [];
  return [list("Guests that do not answer", rows.map(item), left)];
}

function losses({ gaps, moreGaps, gapsSince }, now) {
  if (!gaps.length && !gapsSince) return [];
  const item = (gap) => h("li", {}, h("span", { class: "number" }, span(gap, now)), h("span", {}, lossText(gap)));
  const left = moreGaps ? [h("li", {}, `and ${moreGaps} before`)] : [];
  if (gapsSince) left.push(h("li", {}, `What was lost before ${clock(gapsSince, now)} is no longer known`));
  return [list("Lost by the agent in this range", [...gaps].reverse().map(item), left)];
}

function list(title, items, left) {
  return h("section", { class: "agent-list" }, h("h3", {}, title), h("ul", {}, ...items, ...left));
}

export function sinceText(since, now) {
  return since === null ? "for more than a day" : `since ${clock(since, now)}`;
}

export function lossText({ why, points }) {
  return `${points ? `${points.toLocaleString("en")} points, ` : ""}${why}`;
}
