// The login page: asks for a session by fetch, so that no password is ever in a URL.

const AGAIN = 3000; // the same page is not opened again by itself within that time
const RETRY = 5000;
const { state, next } = document.body.dataset;
const form = document.getElementById("login");
const [name, password] = ["name", "password"].map((id) => document.getElementById(id));
const error = document.getElementById("login-error");
const button = form.querySelector("button");

if (state === "away") setTimeout(() => location.reload(), RETRY);
else lookAround();

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  if (button.disabled) return;
  const missing = [name, password].find((input) => !input.value);
  if (missing) {
    say(`Enter your ${missing === name ? "name" : "password"}.`, missing);
    return;
  }
  wait(true);
  try {
    const answer = await post("/api/login", { name: name.value, password: password.value });
    if (answer.ok) {
      location.replace(next);
      return;
    }
    const { message } = await answer.json();
    say(sentence(message), password);
  } catch {
    say("The web UI's server does not answer. Try again.", password);
  }
  wait(false);
});

// A link from another site brings no cookie: who has a session goes on by a link of our own. Where
// anonymous ones may read, nobody needs to log in.
async function lookAround() {
  const answer = await fetch("/api/self").catch(() => null);
  if (!answer?.ok) return;
  const { logged_in: isLoggedIn } = await answer.json();
  if (isLoggedIn && location.pathname !== "/login" && isFirstTime()) location.replace(next);
  document.getElementById("login-without").hidden = isLoggedIn;
}

function isFirstTime() {
  const key = `novacron-again-${next}`;
  const before = Number(sessionStorage.getItem(key) || 0);
  sessionStorage.setItem(key, Date.now());
  return Date.now() - before > AGAIN;
}

function post(path, body) {
  const headers = { "Content-Type": "application/json" };
  return fetch(path, { method: "POST", headers, body: JSON.stringify(body) });
}

function wait(isWaiting) {
  button.disabled = isWaiting;
  button.textContent = isWaiting ? "Logging in…" : "Log in";
}

function say(text, input) {
  error.textContent = text;
  input.focus();
  input.select();
}

function sentence(text) {
  return `${text[0].toUpperCase()}${text.slice(1)}.`;
}
