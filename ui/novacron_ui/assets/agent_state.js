// An agent's newest figures, and what they mean in sentences.

import { Figures } from "./figures.js";
import { age, count, number } from "./format.js";

const OWN = "novacron.agent.";
const SOURCE = "novacron.source";
const DESTINATION = "novacron.destination";
const BEHIND_S = 60; // a batch is sent when it is there
const RECENT = 15 * 60000; // what is older the server does not tell either
const HAPPENS = 0.0005; // a rate that is no rounding

// Columns of a source and of a destination: which figure, and whether its value or its rate.
const SOURCES = {
  seconds: ["scrape.duration", "value"],
  failing: ["scrape.errors", "rate"],
  errors: ["scrape.errors", "value"],
  stuck: ["scrape.stuck", "value"],
};
const DESTINATIONS = {
  batches: ["spool.batch.count", "value"],
  size: ["spool.size", "value"],
  age: ["spool.age", "value"],
  delivered: ["export.points", "rate"],
  failing: ["export.errors", "rate"],
  refused: ["export.dropped", "value"],
  refusing: ["export.dropped", "rate"],
  buried: ["export.dead_letters", "value"],
  burying: ["export.dead_letters", "rate"],
  lost: ["spool.dropped", "value"],
  losing: ["spool.dropped", "rate"],
  notWriting: ["spool.errors", "rate"],
};
const NAMES = [...Object.values(SOURCES), ...Object.values(DESTINATIONS)].map(([name]) => OWN + name);

export class AgentFigures extends Figures {
  constructor() {
    super([...new Set(NAMES), "process.cpu.time", "process.memory.usage"]);
  }

  // `agent` as the server tells of it (query/monitoring.py). `host`: when its host was heard of: settings may leave the
  // agent's own figures out, or send them rarely. `late`: what is new may be known so many milliseconds later.
  summary(agent, { host, late, now }) {
    const ahead = 1000 * (agent.clock ?? 0);
    const own = this.seen ? this.seen - ahead : 0;
    const staleAfter = agent.staleAfter + late;
    const tells = now - own <= RECENT;
    const known = tells ? this.current(agent.staleAfter) : [];
    const sources = table(known, SOURCE, SOURCES);
    const destinations = table(known, DESTINATION, DESTINATIONS);
    return {
      ...agent,
      staleAfter,
      seen: Math.max(agent.seen, own, host - Math.max(ahead, 0)),
      tells,
      tellsAll: now - own <= staleAfter && tellAll(sources, destinations),
      cpu: tells ? this.sum("rate", "process.cpu.time") : null,
      memory: tells ? this.sum("value", "process.memory.usage") : null,
      sources,
      destinations,
    };
  }

  // Without series of an earlier life, which are older than the newest of their metric: each has its own interval.
  current(staleAfter) {
    const newest = new Map();
    for (const { metric, time } of this.known.values()) newest.set(metric, Math.max(time, newest.get(metric) ?? 0));
    const isCurrent = ({ metric, time }) => newest.get(metric) - time <= staleAfter && this.seen - time <= RECENT;
    return [...this.known.values()].filter(isCurrent);
  }
}

// Whether scrapes fail and what waits is known: else nobody can say that all is well.
function tellAll(sources, destinations) {
  return sources.some(({ errors }) => errors !== null) && destinations.some(({ age }) => age !== null);
}

// A row for each value of the attribute, by name. Null where nothing is known; reasons are summed.
function table(known, attribute, columns) {
  const rows = new Map();
  const empty = Object.fromEntries(Object.keys(columns).map((column) => [column, null]));
  for (const each of known) {
    const name = each.attributes[attribute];
    if (name === undefined) continue;
    if (!rows.has(name)) rows.set(name, { name, ...empty });
    const row = rows.get(name);
    for (const [column, [metric, what]] of Object.entries(columns)) {
      if (each.metric === OWN + metric && each[what] !== null) row[column] = (row[column] ?? 0) + each[what];
    }
  }
  return [...rows.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
}

// What keeps numbers away from here: pairs of a fact and what there is to know or to do about it.
export function problems(agent, now) {
  const silent = now - agent.seen;
  if (silent > agent.staleAfter) {
    const why = "it is stopped, or cannot reach the collector; what it measures meanwhile waits on its disk";
    return [[`The agent was last heard of ${age(silent)} ago`, why]];
  }
  return [...ofClock(agent), ...agent.sources.flatMap(ofSource), ...agent.destinations.flatMap(ofDestination)];
}

function ofClock({ clock, clockIsWrong }) {
  if (!clockIsWrong) return [];
  const off = `${age(Math.abs(clock) * 1000)} ${clock > 0 ? "ahead" : "behind"}`;
  return [[`The host's clock is ${off}`, "what is measured has wrong times; let the host synchronise its clock"]];
}

function ofSource({ name, failing }) {
  if (!(failing > HAPPENS)) return [];
  return [[`Scrapes of ${name} fail`, "what only it measures is missing; the agent's log and status say why"]];
}

function ofDestination({ name, batches, age: waits, failing, losing, refusing, burying, notWriting }) {
  const found = [];
  if (waits > BEHIND_S) {
    const state = failing > HAPPENS ? "it does not take them" : "they are sent, the newest first";
    const few = batches === 1 ? "One batch waits" : `${number(batches)} batches wait`;
    found.push([`${few} to be sent to ${name}, the oldest for ${age(waits * 1000)}`, state]);
  }
  if (losing > HAPPENS) found.push([`Points for ${name} are lost: ${count(losing)}/s`, "the agent has no room to keep them"]);
  if (refusing > HAPPENS) found.push([`${name} refuses points: ${count(refusing)}/s`, "the agent's log says why"]);
  if (burying > HAPPENS) found.push([`${name} refuses batches`, "they are kept as dead letters, in the agent's spool"]);
  if (notWriting > HAPPENS) found.push(["The agent cannot write to its disk", "what waits is in memory alone"]);
  return found;
}
