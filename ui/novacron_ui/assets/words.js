// Verbs and states in words, with their icons and tones.

const VERBS = {
  start: { title: "Start", icon: "play", doing: "Starting", done: "Started" },
  stop: { title: "Stop", icon: "power", doing: "Stopping", done: "Stopped" },
  reboot: { title: "Reboot", icon: "rotate-cw", doing: "Rebooting", done: "Rebooted" },
  reset: { title: "Reset", icon: "zap", doing: "Resetting", done: "Reset" },
  suspend: { title: "Suspend", icon: "pause", doing: "Suspending", done: "Suspended" },
  resume: { title: "Resume", icon: "play", doing: "Resuming", done: "Resumed" },
  save: { title: "Save", icon: "arrow-down-to-line", doing: "Saving", done: "Saved" },
  resize: { title: "Resize", icon: "scaling", doing: "Resizing", done: "Resized" },
  rename: { title: "Rename", icon: "pencil", doing: "Renaming", done: "Renamed" },
  create: { title: "Create", icon: "plus", doing: "Creating", done: "Created" },
  delete: { title: "Delete", icon: "trash-2", doing: "Deleting", done: "Deleted" },
  snapshot: { title: "Snapshot", icon: "copy", doing: "Making a snapshot", done: "Snapshot made" },
  revert: { title: "Revert", icon: "refresh-cw", doing: "Reverting", done: "Reverted" },
  "delete-snapshot": { title: "Delete snapshot", icon: "trash-2", doing: "Deleting a snapshot", done: "Snapshot deleted" },
  snapshots: { title: "List snapshots", icon: "list-checks", doing: "Listing snapshots", done: "Snapshots listed" },
};

// Of a command: tone, icon, word.
export const COMMAND_STATES = {
  queued: ["idle", "clock", "Queued"],
  delivered: ["idle", "send", "Delivered"],
  accepted: ["idle", "clock", "Accepted"],
  running: ["busy", "loader-circle", "Running"],
  succeeded: ["good", "circle-check", "Done"],
  failed: ["bad", "circle-x", "Failed"],
  rejected: ["bad", "ban", "Rejected"],
  expired: ["warn", "clock-alert", "Expired"],
  cancelled: ["idle", "ban", "Cancelled"],
  outcome_unknown: ["warn", "circle-help", "Outcome unknown"],
};
export const FINAL = new Set(["succeeded", "failed", "rejected", "expired", "cancelled", "outcome_unknown"]);

// Of an operation.
export const STAGES = {
  running: ["busy", "loader-circle", "Running"],
  succeeded: ["good", "circle-check", "Done"],
  failed: ["bad", "circle-x", "Failed"],
  cancelled: ["idle", "ban", "Cancelled"],
};

const WAITING = {
  queued: "waits until its agent asks",
  delivered: "the agent was told",
  accepted: "the agent has it in its journal",
};
const ENDED = {
  rejected: "the agent did not begin it",
  expired: "it did not begin in time",
  cancelled: "it was cancelled before it began",
  outcome_unknown: "it began, and nobody can tell what became of it: look at the VM",
};

export function verbWords(verb) {
  const title = `${verb[0].toUpperCase()}${verb.slice(1)}`;
  return VERBS[verb] || { title, icon: "terminal", doing: title, done: `${title}: done` };
}

export function vms(number) {
  return number === 1 ? "1 VM" : `${number.toLocaleString("en")} VMs`;
}

// What an operation does: "Stop", or "Stop, Start".
export function stepsTitle(steps) {
  const titles = steps.map((step) => verbWords(step.verb).title);
  return titles.length > 3 ? `${titles.slice(0, 3).join(", ")} …` : titles.join(", ");
}

export function commandText({ state, text, error, cancelling }) {
  if (cancelling && !FINAL.has(state)) return "is being cancelled";
  return error || text || WAITING[state] || ENDED[state] || "";
}

export function argumentsText(given) {
  const { force, grace_s: grace, spec } = given;
  if (spec) return `${spec.vcpus ?? 1} vCPU, ${spec.memory_mib} MiB of memory, ${spec.disks?.length ?? 0} disks`;
  if (force === "now") return "power taken away at once";
  if (force === "never") return `asked to shut down, ${grace} s to do so`;
  if (force === "after-grace") return `asked to shut down, power taken away after ${grace} s`;
  const said = Object.entries(given).filter(([, value]) => value !== false && value !== 0);
  const plainly = (value) => (typeof value === "object" ? JSON.stringify(value) : value);
  return said.map(([name, value]) => (value === true ? name.replaceAll("_", " ") : `${name}: ${plainly(value)}`)).join(", ");
}

export function length(milliseconds) {
  const seconds = Math.max(0, Math.round(milliseconds / 1000));
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
  return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min`;
}
