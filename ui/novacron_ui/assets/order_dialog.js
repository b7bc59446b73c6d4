// Asks before a VM is stopped, reset or restarted, and sends the order.

import { newKey, post } from "./api.js";
import { errorLine, openDialog } from "./dialog.js";
import { h, setText } from "./elements.js";
import { argumentsForm, confirmField, isDestructive, reasonField } from "./order_form.js";
import { verbWords } from "./words.js";

// These take nothing away and are undone by one another: nobody is asked.
const AT_ONCE = new Set(["start", "resume"]);

export function isAtOnce(spec) {
  return AT_ONCE.has(spec.verb) && !spec.destructive;
}

export function order(spec, vm, given, { reason = "", confirm, key = newKey() } = {}) {
  const body = { verb: spec.verb, arguments: given, targets: { vms: [vm.id] }, reason };
  if (confirm !== undefined) body.confirm = confirm;
  return post("/api/operations", { body, key });
}

// `onBegun(operation)` when the collector has it.
export function openOrder(spec, vm, onBegun) {
  const { title } = verbWords(spec.verb);
  const key = newKey();
  const error = errorLine();
  const reason = reasonField();
  const form = argumentsForm(spec, update);
  const confirmation = confirmField(vm.name, "its name", update);
  const go = h("button", { class: "button button-main", type: "submit" }, title);
  const name = h("bdi", { class: "dialog-subject" }, vm.name);
  const about = h("p", { class: "dialog-text" }, name, note(spec));
  const cancel = h("button", { class: "button", type: "button", onclick: () => dialog.close() }, "Cancel");
  const body = h(
    "form",
    { class: "dialog-body", method: "dialog", onsubmit: send },
    about,
    form.root,
    reason.root,
    confirmation.root,
    error,
    h("div", { class: "dialog-foot" }, cancel, go),
  );
  const dialog = openDialog({ title: `${title} this VM?`, body });
  form.update();
  (confirmation.root.hidden ? go : confirmation.input).focus({ preventScroll: true });

  function update() {
    const hard = isDestructive(spec, form.values());
    confirmation.root.hidden = !hard;
    go.className = `button ${hard ? "button-bad" : "button-main"}`;
    go.disabled = hard && !confirmation.isRight();
  }

  async function send(event) {
    event.preventDefault();
    if (go.disabled) return;
    go.disabled = true;
    setText(error, "");
    const given = form.values();
    const confirm = isDestructive(spec, given) ? vm.name : undefined;
    const answer = await order(spec, vm, given, { reason: reason.value(), confirm, key });
    if (answer.ok) {
      dialog.close();
      onBegun(answer.data);
      return;
    }
    update();
    setText(error, answer.message);
  }
}

function note(spec) {
  return ` — ${spec.summary}.`;
}
