// The inputs of one row: what is live, what is typed, what others changed under the typing, and who else is there.

import { element } from "./element.js";
import * as conflict from "./conflict.js";
import { asTyped, shown } from "./fields.js";

// An input of one line would take the breaks away, and the next save with them.
function isOfLines(field, text) {
  return field.kind === "text" && /[\r\n]/.test(text);
}

// What a date input cannot hold it shows as nothing: a time, infinity, a year before Christ.
function isDate(text) {
  return text === "" || /^\d{4}-\d\d-\d\d$/.test(text);
}

function inputFor(field, text, attributes) {
  if (field.kind === "choice") {
    const options = field.choices.map((choice) => element("option", { value: choice, textContent: choice }));
    return element("select", attributes, ...options);
  }
  if (field.long) return element("textarea", { ...attributes, rows: 3 });
  if (isOfLines(field, text)) return element("textarea", { ...attributes, rows: 1 });
  // Decimals are typed as text: a number input would round them, and write them in the browser's own way.
  const type = field.kind === "date" && isDate(text) ? "date" : "text";
  const inputMode = { decimal: "decimal", integer: "numeric" }[field.kind] ?? "text";
  return element("input", { ...attributes, type, inputMode, autocomplete: "off" });
}

/** `onSave()` and `onFocus(name or null)` tell what the person does; the row holds what is true. */
export class RowEditor {
  #controls = new Map();
  #closed = false;

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
      if (this.#isWhole()) onSave();
    });
    this.discardButton.addEventListener("click", () => this.discard());
    for (const field of row.fields) place(field, this.#control(field, labelSuffix));
    this.refresh([]);
  }

  #control(field, labelSuffix) {
    const input = this.#input(field, field.label + labelSuffix);
    const note = element("small", { className: "note", "aria-live": "polite" });
    const peers = element("small", { className: "peers" });
    this.#controls.set(field.name, { field, input, note, peers });
    return [input, note, peers];
  }

  #input(field, label) {
    const attributes = { form: this.form.id, "aria-label": label, "data-field": field.name };
    const input = inputFor(field, this.row.textOf(field), attributes);
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
    return input;
  }

  /** Whether nothing is half typed: a date of which a part is missing reads as none, and would be saved so. */
  #isWhole() {
    const half = [...this.#controls.values()].find(({ input }) => input.validity.badInput);
    if (half === undefined) return true;
    half.isHalf = true;
    half.input.focus();
    this.refresh([]);
    return false;
  }

  /** Shows the row as it is now; `changed` names the fields that others just changed. */
  refresh(changed) {
    if (this.#closed) return;
    for (const control of this.#controls.values()) this.#show(control, changed.includes(control.field.name));
    const { version, expectedVersion, hasTyped } = this.row;
    this.version.textContent =
      expectedVersion === version ? `v${version}` : `v${version}, edited from v${expectedVersion}`;
    this.saveButton.disabled = !hasTyped;
    this.discardButton.hidden = !hasTyped;
  }

  #show(control, changed) {
    const { field, note } = control;
    const text = this.row.textOf(field);
    if (control.input.tagName === "INPUT" && isOfLines(field, text)) this.#replaceInput(control);
    const { input } = control;
    if (field.kind === "choice") ensureChoice(input, text);
    if (field.kind === "date" && !this.row.isTyped(field)) input.type = isDate(text) ? "date" : "text";
    if (input.value !== asTyped(text)) input.value = text;
    const who = this.row.contested.get(field.name)?.who;
    control.isHalf &&= input.validity.badInput;
    const changedBy = who === undefined ? "" : `changed by ${who}, now: ${shown(this.row.values[field.name])}`;
    note.textContent = control.isHalf ? "not a whole date" : changedBy;
    input.classList.toggle("typed", this.row.isTyped(field));
    input.classList.toggle("contested", who !== undefined);
    if (changed) flash(input);
  }

  #replaceInput(control) {
    const input = this.#input(control.field, control.input.getAttribute("aria-label"));
    // Leaving it may come back here.
    const before = control.input;
    control.input = input;
    before.replaceWith(input);
  }

  /** The line has another number. */
  label(suffix) {
    for (const { field, input } of this.#controls.values()) input.setAttribute("aria-label", field.label + suffix);
  }

  /** `peers` maps a field's name to the names of the people in it. */
  showPeers(peers) {
    for (const [name, control] of this.#controls) control.peers.textContent = peers.get(name)?.join(", ") ?? "";
  }

  discard() {
    // A half typed date reads as none, and would stay.
    for (const { input } of this.#controls.values()) if (input.validity.badInput) input.value = "";
    this.row.forget([...this.row.typed.keys()]);
    conflict.hide(this.row);
    if (this.#closed) this.form.closest("tr")?.remove();
    this.refresh([]);
  }

  /** Nothing here can be saved any more. */
  close() {
    this.#closed = true;
    // The row may come back, with a form of its own.
    this.form.id += "-deleted";
    for (const { input } of this.#controls.values()) {
      input.setAttribute("form", this.form.id);
      input.disabled = true;
    }
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
