// An operation in words: how far it is, and how it ended.

import { STAGES, stepsTitle, vms } from "./words.js";

export function operationTitle({ steps, total }) {
  const number = steps.length ? Math.max(1, Math.round(total / steps.length)) : total;
  return `${stepsTitle(steps)} ${vms(number)}`;
}

export function operationWord({ state, total, ended, succeeded, failures }) {
  if (state === "running") return total > 1 ? `${ended.toLocaleString("en")} of ${total.toLocaleString("en")}` : "Running";
  if (state === "failed" && succeeded) return `${failures.toLocaleString("en")} of ${total.toLocaleString("en")} not done`;
  return STAGES[state][2];
}

export function operationText({ state, failures, problem, reason }) {
  const failed = state === "running" && failures ? `${failures.toLocaleString("en")} not done` : "";
  return [failed, problem, reason].filter(Boolean).join(" · ");
}

export function operationLine(operation) {
  const { state, total, ended, created, finished } = operation;
  return {
    title: operationTitle(operation),
    state,
    word: operationWord(operation).toLowerCase(),
    text: operationText(operation),
    share: total ? ended / total : null,
    isOver: state !== "running",
    begun: Date.parse(created),
    ended: finished ? Date.parse(finished) : null,
  };
}
