// One quote, opened: it is read, kept up to date by events, saved with its version, and left again.

import { ask } from "./api.js";
import * as conflict from "./conflict.js";
import { byId } from "./element.js";
import { propertyOf, textOf } from "./fields.js";
import * as feed from "./feed.js";
import { Live, backOff } from "./live.js";
import * as operations from "./operations.js";
import * as presence from "./presence.js";
import { Sheet } from "./sheet.js";
import { personOf } from "./token.js";

// A new token, or another quote, begins with reading.
const REFUSED = new Set(["UNAUTHENTICATED", "NOT_FOUND", "FORBIDDEN"]);

/** `onRefusal(refusal)` is told of every no; `onState(state, detail)` of the connection. */
export class OpenQuote {
  #names = new Map();
  #reading = null;
  #readAgain = false;
  #failedReads = 0;
  #afresh = false;
  #turns = new Map();
  #closed = false;

  constructor(quoteId, { token, onRefusal, onState }) {
    this.id = quoteId;
    this.onRefusal = onRefusal;
    this.sheet = new Sheet({
      onSave: (row, kind) => this.#saveTyped(row, kind, row.draft()),
      onFocus: (lineId, field) => this.session.move(lineId, field, field !== null),
    });
    this.session = new presence.Session(quoteId);
    this.live = new Live(token, onState);
  }

  async open() {
    await this.session.join();
    await this.#read();
    const { getQuoteChangeHistory: records } = await ask(operations.HISTORY, { quoteId: this.id });
    if (this.#closed) return;
    feed.fill(records, (lineId) => this.#lineNumber(lineId));
    this.#subscribe(operations.QUOTE_CHANGED, (event) => this.#headerChanged(event));
    this.#subscribe(operations.LINE_CHANGED, (event) => this.#lineChanged(event));
    // The list of people comes at once, and behind the other two: what is read then, and the events, leave no gap.
    const begun = () => this.#readInBackground();
    this.#subscribe(operations.PRESENCE, ({ activeUsers }) => this.#showPeople(activeUsers), begun);
    this.live.open();
  }

  /** Whether anything is typed that is not saved. */
  get isTyped() {
    return this.sheet.isTyped;
  }

  /** Whether a token is of the person who opened it. */
  isOf(token) {
    return personOf(token) === personOf(this.live.token);
  }

  /** Goes on with a fresh token of the same user; nothing that is typed is lost. */
  resume(token) {
    this.live.token = token;
    this.live.open();
  }

  close() {
    this.#closed = true;
    this.live.close();
    this.session.leave();
    conflict.hide();
  }

  #subscribe(query, next, begun) {
    this.live.subscribe(query, { quoteId: this.id }, { next, begun, reread: (afresh) => this.#readInBackground(afresh) });
  }

  async #read() {
    const afresh = this.#afresh;
    this.#afresh = false;
    try {
      const { quote: read } = await ask(operations.QUOTE, { quoteId: this.id });
      this.#failedReads = 0;
      if (!this.#closed) this.sheet.take(read, "somebody", afresh);
    } catch (refusal) {
      this.#afresh ||= afresh;
      throw refusal;
    }
  }

  /**
   * Reads once more; a wish that comes while reading is granted by one more reading after it. `afresh`: what is on screen may be of
   * another history.
   */
  #readInBackground(afresh = false) {
    if (this.#closed) return;
    this.#afresh ||= afresh;
    this.#outdate();
    this.#reading ??= this.#read().catch((refusal) => this.#notRead(refusal)).finally(() => {
      this.#reading = null;
      if (this.#readAgain) this.#readInBackground();
    });
  }

  /** What could not be read is read later, for no event tells it again; but not what is refused for good. */
  #notRead(refusal) {
    if (this.#closed) return;
    this.onRefusal(refusal);
    if (REFUSED.has(refusal.code)) return;
    setTimeout(() => this.#readInBackground(), backOff(this.#failedReads++));
  }

  #headerChanged(event) {
    this.#meet(event);
    if (event.changeType === "QUOTE_DELETED") return this.onRefusal(new Error("this quote was deleted"));
    if (!isComplete(event) || !this.sheet.header.follows(event.version)) return this.#readInBackground();
    this.sheet.mergeHeader(valuesOf(event), event.userName ?? "somebody");
  }

  #lineChanged(event) {
    this.#meet(event);
    if (event.changeType === "LINE_DELETED") return this.sheet.removeLine(event.lineId);
    const line = this.sheet.line(event.lineId);
    if (!isComplete(event) || !line?.follows(event.version)) return this.#readInBackground();
    this.sheet.mergeLine(event.lineId, valuesOf(event), event.userName ?? "somebody");
  }

  /** What is being read may have been looked up before this. */
  #outdate() {
    this.#readAgain = this.#reading !== null;
  }

  #meet(event) {
    this.#outdate();
    this.#names.set(event.userId, event.userName);
    feed.add(event);
  }

  #showPeople(users) {
    for (const { userId, userName } of users) this.#names.set(userId, userName);
    presence.show(users, this.session.id, (lineId) => this.#lineNumber(lineId));
    this.sheet.showPeers(users.filter(({ sessionId }) => sessionId !== this.session.id));
  }

  #lineNumber(lineId) {
    return this.sheet.line(lineId)?.values.lineNumber;
  }

  /** One save of a row after the other: the next is based on what the one before it came to. */
  #inTurn(row, save) {
    const begin = () => this.#closed || save();
    this.#turns.set(row, (this.#turns.get(row) ?? Promise.resolve()).then(begin, begin));
  }

  /** Saves what was typed when the person said so, as far as it is not saved or given up when its turn comes. */
  #saveTyped(row, kind, { changes, typings }) {
    this.#inTurn(row, () => {
      const left = row.changes();
      const still = Object.fromEntries(Object.entries(changes).filter(([name]) => name in left));
      return this.#save(row, kind, row.expectedVersion, { changes: still, typings });
    });
  }

  async #save(row, kind, expectedVersion, draft) {
    const { changes } = draft;
    if (Object.keys(changes).length === 0) return;
    const [operation, id] =
      kind === "quote" ? [operations.SAVE_QUOTE, { quoteId: row.id }] : [operations.SAVE_LINE, { lineId: row.id }];
    const input = { ...id, expectedVersion, changes, sessionId: this.session.id };
    try {
      const { saved } = await ask(operation, { input });
      if (this.#closed && !saved.success) throw new Error("the quote that was open before was not saved: somebody was first");
      if (!saved.success) return this.#refused(row, kind, draft, saved.conflicts);
      row.saved(saved.row, draft);
      this.#outdate();
      if (this.#closed) return;
      conflict.hide(row);
      this.sheet.refresh(row);
      byId("notice").textContent = `Saved as version ${saved.newVersion}.`;
    } catch (refusal) {
      this.onRefusal(refusal);
    }
  }

  #refused(row, kind, draft, conflicts) {
    const version = Math.max(...conflicts.map(({ actualVersion }) => actualVersion));
    // Each field that was sent has an entry, also where nobody else changed it.
    const changed = conflicts.filter(({ baseValue, currentValue }) => textOf(baseValue) !== textOf(currentValue));
    const theirs = changed.length > 0 ? changed : conflicts;
    conflict.show(row, conflicts, {
      nameOf: ({ lastChangedBy, lastChangedByName }) =>
        lastChangedByName ?? this.#names.get(lastChangedBy) ?? lastChangedBy ?? "somebody",
      onTheirs: () => {
        row.forget(theirs.map(({ field }) => propertyOf(field)));
        this.sheet.refresh(row);
      },
      onMine: () => this.#inTurn(row, () => this.#save(row, kind, version, draft)),
    });
    this.#readInBackground();
  }
}

// An event of a whole new row, or one too large for its values, says only that something changed.
function isComplete({ changes, truncated }) {
  return changes.length > 0 && !truncated;
}

function valuesOf({ version, changes }) {
  return { ...Object.fromEntries(changes.map(({ field, newValue }) => [field, newValue])), version };
}
