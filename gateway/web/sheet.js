// The quote on screen: title, totals, header fields and lines, each row with its own editor.

import { byId, element } from "./element.js";
import { HEADER_FIELDS, LINE_FIELDS, TOTALS, propertyOf, textOf } from "./fields.js";
import { RowEditor } from "./row-editor.js";
import { Row } from "./row.js";

/** `onSave(row, kind)` and `onFocus(lineId, field)`; a null field means that nothing has the focus. */
export class Sheet {
  #header = null;
  #lines = new Map();

  constructor({ onSave, onFocus }) {
    this.onSave = onSave;
    this.onFocus = onFocus;
    byId("header").replaceChildren();
    byId("lines").replaceChildren();
  }

  get header() {
    return this.#header?.editor.row;
  }

  get isTyped() {
    const editors = [this.#header, ...this.#lines.values()].filter(Boolean).map(({ editor }) => editor);
    const deleted = byId("lines").querySelector(".deleted") !== null;
    return deleted || editors.some(({ row }) => row.hasTyped);
  }

  line(id) {
    return this.#lines.get(id)?.editor.row;
  }

  /** Takes a whole quote as read: what is new appears, what is gone goes, the rest is merged as from others. */
  take({ quote, lines }, who, afresh) {
    if (this.#header === null) this.#addHeader(quote);
    else this.mergeHeader(quote, who, afresh);
    for (const line of lines) {
      if (this.#lines.has(line.id)) this.mergeLine(line.id, line, who, afresh);
      else this.#addLine(line);
    }
    const kept = new Set(lines.map((line) => line.id));
    for (const id of this.#lines.keys()) if (!kept.has(id)) this.removeLine(id);
  }

  mergeHeader(values, who, afresh) {
    this.#header.editor.refresh(this.header.merge(values, who, afresh));
    this.#showTitle();
  }

  mergeLine(id, values, who, afresh) {
    const { editor } = this.#lines.get(id);
    editor.refresh(editor.row.merge(values, who, afresh));
    this.#showLine(id);
  }

  /** A line that is gone; one with unsaved typing stays readable until the quote is opened again. */
  removeLine(id) {
    const line = this.#lines.get(id);
    if (!line) return;
    this.#lines.delete(id);
    line.editor.close();
    if (line.editor.row.hasTyped) line.tr.classList.add("deleted");
    else line.tr.remove();
  }

  refresh(row) {
    const { editor } = row === this.header ? this.#header : this.#lines.get(row.id) ?? {};
    editor?.refresh([]);
    if (row === this.header) this.#showTitle();
    else if (editor) this.#showLine(row.id);
  }

  /** `users` are the others who are here, each with the line and field they are in. */
  showPeers(users) {
    this.#header?.editor.showPeers(peersIn(users, null));
    for (const [id, { editor }] of this.#lines) editor.showPeers(peersIn(users, id));
  }

  #addHeader(quote) {
    const grid = byId("header");
    const place = (field, parts) => {
      const caption = element("span", { textContent: field.label });
      grid.append(element("label", { className: field.long ? "long" : "" }, caption, ...parts));
    };
    const editor = this.#editor(new Row(HEADER_FIELDS, quote), place, null);
    grid.append(editor.form);
    this.#header = { editor };
    this.#showTitle();
  }

  #addLine(line) {
    const row = new Row(LINE_FIELDS, line);
    const number = element("th", { scope: "row" });
    const amount = element("td", { className: "amount" });
    const tr = element("tr", { "data-line": line.id }, number);
    const place = (_field, parts) => tr.append(element("td", {}, ...parts));
    const editor = this.#editor(row, place, line.id, "");
    tr.append(amount, element("td", {}, editor.form));
    this.#lines.set(line.id, { editor, tr, number, amount });
    // Once the focus has come to where it goes.
    tr.addEventListener("focusout", () => setTimeout(() => this.#lines.has(line.id) && this.#showLine(line.id)));
    this.#showLine(line.id);
    showColumns(row.fields);
  }

  #number({ editor }) {
    return Number(editor.row.values.lineNumber);
  }

  #editor(row, place, lineId, labelSuffix) {
    const onSave = () => this.onSave(row, lineId === null ? "quote" : "line");
    const onFocus = (field) => this.onFocus(field === null ? null : lineId, field);
    return new RowEditor(row, { place, labelSuffix, onSave, onFocus });
  }

  #showTitle() {
    const { quoteNumber, customerName } = this.header.values;
    byId("title").textContent = [quoteNumber, customerName].filter(Boolean).join(" · ");
    const totals = TOTALS.filter(({ name }) => name in this.header.values).map(({ name, label }) => {
      const amount = element("dd", { textContent: textOf(this.header.values[name]), "data-total": name });
      return element("div", {}, element("dt", { textContent: label }), amount);
    });
    byId("totals").replaceChildren(...totals);
  }

  #showLine(id) {
    const { editor, tr, number, amount } = this.#lines.get(id);
    const { lineAmount, lineNumber, productCode } = editor.row.values;
    amount.textContent = textOf(lineAmount);
    number.replaceChildren(`${textOf(lineNumber)} `, element("small", { textContent: textOf(productCode) }));
    editor.label(textOf(lineNumber) === "" ? "" : `, line ${textOf(lineNumber)}`);
    if (!tr.isConnected || tr.dataset.number !== textOf(lineNumber)) this.#placeLine(id);
  }

  /** Puts a line where its number says; one that somebody is typing in stays where it is. */
  #placeLine(id) {
    const line = this.#lines.get(id);
    if (line.tr.contains(document.activeElement)) return;
    const number = this.#number(line);
    const isPlaced = ({ tr, editor }) => tr.isConnected && tr.dataset.number === textOf(editor.row.values.lineNumber);
    const behind = [...this.#lines.values()].filter((other) => isPlaced(other) && this.#number(other) > number);
    const [next] = behind.sort((one, other) => this.#number(one) - this.#number(other));
    byId("lines").insertBefore(line.tr, next?.tr ?? null);
    line.tr.dataset.number = textOf(line.editor.row.values.lineNumber);
  }
}

function peersIn(users, lineId) {
  const peers = new Map();
  for (const user of users) {
    if (!user.currentField || (user.currentLine ?? null) !== lineId) continue;
    const field = propertyOf(user.currentField);
    peers.set(field, [...(peers.get(field) ?? []), user.userName ?? user.userId]);
  }
  return peers;
}

// The columns follow the lines: an ERP without a promised date has no column for it.
function showColumns(fields) {
  const titles = ["Line", ...fields.map(({ label }) => label), "Amount", "Version"];
  byId("columns").replaceChildren(...titles.map((title) => element("th", { scope: "col", textContent: title })));
}
