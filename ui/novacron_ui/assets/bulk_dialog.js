// An order to many VMs: its plan, then the confirmation.

import { newKey, post } from "./api.js";
import { errorLine, openDialog } from "./dialog.js";
import { h, icon, setText } from "./elements.js";
import { argumentsForm, confirmField, isDestructive, reasonField } from "./order_form.js";
import { verbWords, vms } from "./words.js";

const NAMED = 200; // VMs in a list

// `onBegun(operation)` when the collector has it.
export async function openBulk(spec, machines, onBegun) {
  const { title } = verbWords(spec.verb);
  const plan = h("div", { class: "plan", role: "status" }, h("div", { class: "skeleton plan-wait" }));
  const body = h("div", { class: "dialog-body" }, plan);
  const dialog = openDialog({ title: `${title} ${vms(machines.length)}?`, body });
  const targets = { vms: machines.map((machine) => machine.id) };
  const answer = await post("/api/operations", { body: { verb: spec.verb, targets, dry_run: true } });
  if (!dialog.root.isConnected) return;
  if (!answer.ok) {
    plan.replaceChildren(h("p", { class: "dialog-error", role: "alert" }, answer.message));
    return;
  }
  const able = answer.data.vms.filter((vm) => !vm.problem && vm.sensible !== false);
  plan.replaceChildren(...planned(spec, answer.data.vms, able));
  if (able.length) body.append(form(spec, able, dialog, onBegun));
}

// How many, and which are left out and why.
function planned(spec, every, able) {
  const problems = every.filter((vm) => vm.problem);
  const pointless = every.filter((vm) => !vm.problem && vm.sensible === false);
  const { title, icon: iconName } = verbWords(spec.verb);
  return [
    group(iconName, able.length ? "good" : "idle", `${title} ${vms(able.length)}`, able.map((vm) => [vm, vm.host.name]), able.length <= 3),
    group("square", "idle", `${vms(pointless.length)} left out: not in a state for it`, pointless.map((vm) => [vm, vm.state])),
    group("triangle-alert", "warn", `${vms(problems.length)} left out: not possible`, problems.map((vm) => [vm, why(vm)]), true),
  ].filter(Boolean);
}

function why({ name, problem }) {
  return problem.startsWith(`${name}: `) ? problem.slice(name.length + 2) : problem;
}

function group(iconName, tone, text, rows, isOpen = false) {
  if (!rows.length && tone !== "good" && tone !== "idle") return null;
  if (!rows.length && iconName === "square") return null;
  const shown = rows.slice(0, NAMED).map(([vm, note]) => h("li", {}, h("bdi", {}, vm.name || vm.id), h("span", {}, note)));
  if (rows.length > NAMED) shown.push(h("li", {}, `and ${(rows.length - NAMED).toLocaleString("en")} more`));
  const head = h("summary", { class: "status", "data-tone": tone }, icon(iconName), h("span", {}, text));
  return h("details", { class: "plan-group", open: isOpen && rows.length > 0 }, head, h("ul", { class: "plan-vms" }, ...shown));
}

function form(spec, able, dialog, onBegun) {
  const { title } = verbWords(spec.verb);
  const key = newKey();
  const error = errorLine();
  const reason = reasonField();
  const fields = argumentsForm(spec, update);
  const isOne = able.length === 1;
  const wanted = isOne ? able[0].name : String(able.length);
  const confirmation = confirmField(wanted, isOne ? "its name" : "how many", update);
  const go = h("button", { class: "button button-main", type: "submit" }, `${title} ${vms(able.length)}`);
  const cancel = h("button", { class: "button", type: "button", onclick: () => dialog.close() }, "Cancel");
  const foot = h("div", { class: "dialog-foot" }, cancel, go);
  const root = h("form", { class: "dialog-form", method: "dialog", onsubmit: send }, fields.root, reason.root, confirmation.root, error, foot);
  fields.update();
  queueMicrotask(() => (confirmation.root.hidden ? go : confirmation.input).focus({ preventScroll: true }));
  return root;

  function update() {
    const hard = isDestructive(spec, fields.values());
    confirmation.root.hidden = !hard;
    go.className = `button ${hard ? "button-bad" : "button-main"}`;
    go.disabled = hard && !confirmation.isRight();
  }

  async function send(event) {
    event.preventDefault();
    if (go.disabled) return;
    go.disabled = true;
    setText(error, "");
    const given = fields.values();
    const body = { verb: spec.verb, arguments: given, targets: { vms: able.map((vm) => vm.id) }, reason: reason.value() };
    if (isDestructive(spec, given)) body.confirm = wanted;
    const answer = await post("/api/operations", { body, key });
    if (answer.ok) {
      dialog.close();
      onBegun(answer.data);
      return;
    }
    update();
    setText(error, answer.message);
  }
}
