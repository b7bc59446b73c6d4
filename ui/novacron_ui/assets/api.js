// What scripts ask the server beside Dash: JSON, with the session's cookie.

const left = new AbortController();

// {ok, status, data}; where nobody answers, `status` is 0. A session that is over ends the page.
export async function call(method, path, { body, key, signal } = {}) {
  const headers = {};
  if (method !== "GET") headers["Content-Type"] = "application/json";
  if (key) headers["Idempotency-Key"] = key;
  const text = method === "GET" ? undefined : JSON.stringify(body ?? {});
  let answer;
  try {
    const signals = signal ? [signal, left.signal] : [left.signal];
    answer = await fetch(path, { method, headers, body: text, signal: AbortSignal.any(signals) });
  } catch (error) {
    if (left.signal.aborted) return new Promise(() => {}); // the page is about to go
    if (error.name === "AbortError") throw error;
    return failed(0, "The web UI's server does not answer");
  }
  const data = await answer.json().catch(() => null);
  if (answer.status === 401) await sessionMayBeOver();
  if (answer.ok && data) return { ok: true, status: answer.status, data };
  return failed(answer.status, data?.message || `The server answered ${answer.status}`);
}

export const get = (path, options) => call("GET", path, options);
export const post = (path, options) => call("POST", path, options);

// What the page asked is dropped first: it would be refused from here on.
export async function logOut() {
  left.abort();
  const headers = { "Content-Type": "application/json" };
  await fetch("/api/logout", { method: "POST", headers, body: "{}" }).catch(() => null);
}

// In place of the page the server then shows the login, at the same URL.
export async function sessionMayBeOver() {
  if (left.signal.aborted) return;
  const answer = await fetch("/api/self").catch(() => null);
  if (answer?.status === 401) location.reload();
}

// So that what was asked for twice is done once.
export function newKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

export function sentence(text) {
  const trimmed = text.trim();
  return `${trimmed.slice(0, 1).toUpperCase()}${trimmed.slice(1)}${/[.!?…]$/.test(trimmed) ? "" : "."}`;
}

function failed(status, message) {
  return { ok: false, status, message: sentence(message) };
}
