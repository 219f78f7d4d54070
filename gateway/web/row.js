// One row of the quote, its header or a line: the values last read, and what is being typed over them.

import { same, textOf, valueOf } from "./fields.js";

/** Knows nothing of the screen; `typed` maps a field's name to its unsaved text. */
export class Row {
  typed = new Map();
  /** Fields that changed while they were being typed here: name → who did it last, the version before, the last version. */
  contested = new Map();
  /** Fields that only have the focus: nothing was typed, yet nothing may change under the caret. */
  #untouched = new Set();

  constructor(fields, values) {
    this.fields = fields.filter(({ name }) => name in values);
    this.values = values;
  }

  get id() {
    return this.values.id;
  }

  get version() {
    return Number(this.values.version);
  }

  /**
   * The version a save must meet. It follows the live version, for what is on screen has been seen, but it stops
   * where somebody changed the very field typed here: then the save has to be told as a conflict.
   */
  get expectedVersion() {
    const typed = [...this.contested].filter(([name]) => !this.#untouched.has(name));
    return Math.min(this.version, ...typed.map(([, { seen }]) => seen));
  }

  textOf(field) {
    return this.typed.get(field.name) ?? textOf(this.values[field.name]);
  }

  isTyped(field) {
    return this.typed.has(field.name) && !this.#untouched.has(field.name);
  }

  /** The field got the focus: from now on it is not overwritten. */
  hold(field) {
    if (this.typed.has(field.name)) return;
    this.typed.set(field.name, textOf(this.values[field.name]));
    this.#untouched.add(field.name);
  }

  type(field, text) {
    const asBefore = same(field, text, textOf(this.values[field.name])) && !this.contested.has(field.name);
    if (asBefore) this.#untouched.add(field.name);
    else this.#untouched.delete(field.name);
    this.typed.set(field.name, text);
  }

  /** The field lost the focus: if nothing was typed, it shows what others made of it. */
  release(field) {
    if (this.#untouched.has(field.name)) this.forget([field.name]);
  }

  /** Gives up what was typed in these fields. */
  forget(names) {
    for (const name of names) {
      this.typed.delete(name);
      this.contested.delete(name);
      this.#untouched.delete(name);
    }
  }

  /** What a save would send, as {name: value}; empty when nothing is typed. */
  changes() {
    const typed = this.fields.filter((field) => this.isTyped(field));
    return Object.fromEntries(typed.map((field) => [field.name, valueOf(field, this.typed.get(field.name))]));
  }

  /**
   * Takes the row as saved: what was sent is no longer typed, unless typing went on meanwhile. What others changed since, or what the
   * save changed in fields that it did not name, stays contested where it is being typed over.
   */
  saved(values, sent) {
    const done = Object.keys(sent).filter((name) => {
      const field = this.fields.find((known) => known.name === name);
      return valueOf(field, this.typed.get(name) ?? "") === sent[name];
    });
    this.merge(values, "somebody");
    const version = Number(values.version);
    for (const name of Object.keys(sent)) if (this.contested.get(name)?.version <= version) this.contested.delete(name);
    this.forget(done);
  }

  /** Whether an event follows directly; false when one in between never came. */
  follows(version) {
    return version <= this.version + 1;
  }

  /**
   * Takes newer values of others. What is typed stays and is marked with `who`.
   * Answers the names of fields that now show something else; nothing for what is already known.
   */
  merge(values, who) {
    const version = Number(values.version);
    if (version < this.version) return [];
    const before = this.version;
    const changed = Object.keys(values).filter(
      (name) => name !== "version" && textOf(values[name]) !== textOf(this.values[name]),
    );
    this.values = { ...this.values, ...values };
    for (const field of this.fields.filter(({ name }) => changed.includes(name) && this.typed.has(name))) {
      this.#contest(field, who, before);
    }
    return changed;
  }

  #contest(field, who, before) {
    if (same(field, this.typed.get(field.name), textOf(this.values[field.name]))) {
      this.forget([field.name]);
    } else {
      const { seen } = this.contested.get(field.name) ?? { seen: before };
      this.contested.set(field.name, { who, seen, version: this.version });
    }
  }
}
