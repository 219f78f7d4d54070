// One row of the quote, its header or a line: the values last read, and what is being typed over them.

import { same, textOf, valueOf } from "./fields.js";

/** Knows nothing of the screen; `typed` maps a field's name to its unsaved text. */
export class Row {
  typed = new Map();
  /** Fields that changed while they were being typed here: name → who did it last, the version before, the last version. */
  contested = new Map();
  /** Fields that only have the focus: nothing was typed, yet nothing may change under the caret. */
  #untouched = new Set();
  /** Fields that have the focus. */
  #held = new Set();
  /** How often each field was typed in. */
  #typings = new Map();

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
    const seen = Math.min(this.version, ...typed.map(([, contest]) => contest.seen));
    // No version is below 0, and the save must meet none.
    return seen < 0 ? this.version + 1 : seen;
  }

  textOf(field) {
    return this.typed.get(field.name) ?? textOf(this.values[field.name]);
  }

  isTyped(field) {
    return this.typed.has(field.name) && !this.#untouched.has(field.name);
  }

  /** The field got the focus: from now on it is not overwritten. */
  hold(field) {
    this.#held.add(field.name);
    if (this.typed.has(field.name)) return;
    this.typed.set(field.name, textOf(this.values[field.name]));
    this.#untouched.add(field.name);
  }

  type(field, text) {
    const asBefore = same(field, text, textOf(this.values[field.name])) && !this.contested.has(field.name);
    if (asBefore) this.#untouched.add(field.name);
    else this.#untouched.delete(field.name);
    this.typed.set(field.name, text);
    this.#typings.set(field.name, (this.#typings.get(field.name) ?? 0) + 1);
  }

  /** The field lost the focus: if nothing was typed, it shows what others made of it. */
  release(field) {
    this.#held.delete(field.name);
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

  /** Whether a save would send anything. */
  get hasTyped() {
    return this.fields.some((field) => this.isTyped(field));
  }

  /** What a save would send, as {name: value}; empty when nothing is typed. */
  changes() {
    const typed = this.fields.filter((field) => this.isTyped(field));
    return Object.fromEntries(typed.map((field) => [field.name, this.#valueOf(field)]));
  }

  // An input knows one kind of line break, and what was not typed over keeps its own.
  #valueOf(field) {
    const value = valueOf(field, this.typed.get(field.name));
    const before = this.values[field.name];
    const isOfTwo = typeof before === "string" && before.includes("\r\n") && !/(^|[^\r])\n/.test(before);
    return isOfTwo && typeof value === "string" ? value.replace(/\r?\n/g, "\r\n") : value;
  }

  /** What is typed by now: what a save would send, and how far typing has come. */
  draft() {
    return { changes: this.changes(), typings: new Map(this.#typings) };
  }

  /**
   * Takes the row as saved: what was sent is no longer typed, unless typing went on meanwhile. What others changed since, or what the
   * save changed in fields that it did not name, stays contested where it is being typed over.
   */
  saved(values, { changes, typings }) {
    this.merge(values, "somebody");
    const version = Number(values.version);
    for (const field of this.fields.filter(({ name }) => name in changes)) {
      const { name } = field;
      if (this.contested.get(name)?.version <= version) this.contested.delete(name);
      const isShown = same(field, this.typed.get(name) ?? "", textOf(this.values[name]));
      if (isShown || typings.get(name) === this.#typings.get(name)) this.#settle(field);
      else this.#untouched.delete(name);
    }
  }

  /** Nothing of a field is typed any more. What has the focus keeps its spelling: 12.5 must not become 12.5000 under the caret. */
  #settle(field) {
    const { name } = field;
    if (!this.#held.has(name)) return this.forget([name]);
    const text = textOf(this.values[name]);
    if (!this.contested.has(name) && !same(field, this.typed.get(name) ?? "", text)) this.typed.set(name, text);
    this.#untouched.add(name);
  }

  /** Whether an event follows directly; false when one in between never came. */
  follows(version) {
    return version <= this.version + 1;
  }

  /**
   * Takes newer values of others. What is typed stays and is marked with `who`.
   * Answers the names of fields that now show something else; nothing for what is already known. `afresh`: what was known is of another
   * history, as before a dump came back, and older values count, too.
   */
  merge(values, who, afresh = false) {
    const version = Number(values.version);
    if (version < this.version && !afresh) return [];
    // Versions of another history say nothing of this one: what was seen is met by none.
    const before = afresh ? Math.min(this.version, version - 1) : this.version;
    const changed = Object.keys(values).filter(
      (name) => name !== "version" && textOf(values[name]) !== textOf(this.values[name]),
    );
    this.values = { ...this.values, ...values };
    if (afresh) {
      for (const contest of this.contested.values()) {
        Object.assign(contest, { seen: Math.min(contest.seen, before), version });
      }
    }
    for (const field of this.fields.filter(({ name }) => changed.includes(name) && this.typed.has(name))) {
      this.#contest(field, who, before);
    }
    return changed;
  }

  #contest(field, who, before) {
    if (same(field, this.typed.get(field.name), textOf(this.values[field.name]))) {
      this.contested.delete(field.name);
      this.#settle(field);
    } else {
      const seen = Math.min(before, this.contested.get(field.name)?.seen ?? before);
      this.contested.set(field.name, { who, seen, version: this.version });
    }
  }
}
