// The inputs of one row: what is live, what is typed, what others changed under the typing, and who else is there.

import { element } from "./element.js";
import { textOf } from "./fields.js";

function inputFor(field, attributes) {
  if (field.kind === "choice") {
    const options = field.choices.map((choice) => element("option", { value: choice, textContent: choice }));
    return element("select", attributes, ...options);
  }
  if (field.long) return element("textarea", { ...attributes, rows: 3 });
  // Decimals are typed as text: a number input would round them, and write them in the browser's own way.
  const type = field.kind === "date" ? "date" : "text";
  const inputMode = { decimal: "decimal", integer: "numeric" }[field.kind] ?? "text";
  return element("input", { ...attributes, type, inputMode, autocomplete: "off" });
}

/** `onSave()` and `onFocus(name or null)` tell what the person does; the row holds what is true. */
export class RowEditor {
  #controls = new Map();

  constructor(row, { place, labelSuffix = "", onSave, onFocus }) {
    this.row = row;
    this.onFocus = onFocus;
    this.form = element("form", { id: `row-${row.id}`, noValidate: true });
    this.saveButton = element("button", { type: "submit", textContent: "Save" });
    this.discardButton = element("button", { type: "button", className: "quiet", textContent: "Discard" });
    this.version = element("span", { className: "version" });
    this.form.append(this.version, this.saveButton, this.discardButton);
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      onSave();
    });
    this.discardButton.addEventListener("click", () => this.discard());
    for (const field of row.fields) place(field, this.#control(field, labelSuffix));
    this.refresh([]);
  }

  #control(field, labelSuffix) {
    const label = field.label + labelSuffix;
    const input = inputFor(field, { form: this.form.id, "aria-label": label, "data-field": field.name });
    const note = element("small", { className: "note", "aria-live": "polite" });
    const peers = element("small", { className: "peers" });
    this.#controls.set(field.name, { field, input, note, peers });
    input.addEventListener("focus", () => {
      this.row.hold(field);
      this.onFocus(field.name);
    });
    input.addEventListener("input", () => {
      this.row.type(field, input.value);
      this.refresh([]);
    });
    input.addEventListener("blur", () => {
      this.row.release(field);
      this.onFocus(null);
      this.refresh([]);
    });
    return [input, note, peers];
  }

  /** Shows the row as it is now; `changed` names the fields that others just changed. */
  refresh(changed) {
    for (const control of this.#controls.values()) this.#show(control, changed.includes(control.field.name));
    const typed = Object.keys(this.row.changes()).length > 0;
    const { version, expectedVersion } = this.row;
    this.version.textContent =
      expectedVersion === version ? `v${version}` : `v${version}, edited from v${expectedVersion}`;
    this.saveButton.disabled = !typed;
    this.discardButton.hidden = !typed;
  }

  #show({ field, input, note }, changed) {
    const text = this.row.textOf(field);
    if (field.kind === "choice") ensureChoice(input, text);
    if (input.value !== text) input.value = text;
    const who = this.row.contested.get(field.name)?.who;
    const now = textOf(this.row.values[field.name]);
    note.textContent = who === undefined ? "" : `changed by ${who}, now: ${now === "" ? "(empty)" : now}`;
    input.classList.toggle("typed", this.row.isTyped(field));
    input.classList.toggle("contested", who !== undefined);
    if (changed) flash(input);
  }

  /** `peers` maps a field's name to the names of the people in it. */
  showPeers(peers) {
    for (const [name, control] of this.#controls) control.peers.textContent = peers.get(name)?.join(", ") ?? "";
  }

  discard() {
    this.row.forget([...this.row.typed.keys()]);
    this.refresh([]);
  }

  /** Nothing here can be saved any more. */
  close() {
    for (const { input } of this.#controls.values()) input.disabled = true;
    this.saveButton.disabled = true;
    this.version.textContent = "deleted";
  }
}

// A status that this page has never heard of is shown as it is, not as the first of the list.
function ensureChoice(select, value) {
  const listed = [...select.options].some((option) => option.value === value);
  if (!listed) select.append(element("option", { value, textContent: value }));
}

function flash(input) {
  input.classList.remove("flash");
  // Reading a layout property restarts the animation when two changes come in quick succession.
  void input.offsetWidth;
  input.classList.add("flash");
}
