// Who looks at the page and what they may order, for the modules that offer it.

const listeners = new Set();
let known = null;

export function learn(visitor, verbs) {
  known = { visitor, verbs };
  for (const listener of [...listeners]) listener(known);
}

// At once where it is known already, and whenever it changes. Returns how to stop.
export function whenKnown(listener) {
  listeners.add(listener);
  if (known) listener(known);
  return () => listeners.delete(listener);
}

// Whether the visitor may act upon a machine: where a tag decides, only the collector knows.
export function mayReach({ grants, permissions }, permission, machine) {
  if (!permissions.includes(permission)) return false;
  const scopes = grants.filter(({ role }) => role !== "viewer").map(({ scope }) => scope);
  return scopes.some((scope) => scope === "fleet" || scope.startsWith("tag:") || scope === `host:${machine.host}`);
}
