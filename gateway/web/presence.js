// Who is here: this page's own session on a quote, and the list of everybody's.

import { ask } from "./api.js";
import { byId, element, moment } from "./element.js";
import { labelOf } from "./fields.js";
import { HEARTBEAT, JOIN, LEAVE } from "./operations.js";

const HEARTBEAT_MS = 10_000;
// Tabbing through a form blurs one field and focuses the next: one message for both.
const MOVE_MS = 100;

/** One session: joins, says every 10 s that it is alive and where it is, leaves. */
export class Session {
  id = null;
  #place = { lineId: null, field: null, typing: false };
  #moving = null;
  #left = false;
  #joining = null;

  constructor(quoteId) {
    this.quoteId = quoteId;
    this.beating = setInterval(() => this.#beat(), HEARTBEAT_MS);
    this.onLeave = () => this.leave();
    this.onReturn = () => this.#beat();
    addEventListener("pagehide", this.onLeave);
    document.addEventListener("visibilitychange", this.onReturn);
  }

  /** Whoever comes while it joins waits for that, and does not join beside it. */
  join() {
    this.#joining ??= this.#join().finally(() => (this.#joining = null));
    return this.#joining;
  }

  async #join() {
    const input = { quoteId: this.quoteId, sessionId: this.id ?? undefined };
    const { joinQuoteSession } = await ask(JOIN, { input });
    this.id = joinQuoteSession.sessionId;
    if (this.#left) await ask(LEAVE, { sessionId: this.id });
  }

  /** The person went into a field of the header (`lineId` null) or of a line, or out of all fields. */
  move(lineId, field, typing) {
    this.#place = { lineId, field, typing };
    clearTimeout(this.#moving);
    this.#moving = setTimeout(() => this.#beat(), MOVE_MS);
  }

  leave() {
    this.#left = true;
    clearInterval(this.beating);
    clearTimeout(this.#moving);
    removeEventListener("pagehide", this.onLeave);
    document.removeEventListener("visibilitychange", this.onReturn);
    if (this.id === null) return;
    ask(LEAVE, { sessionId: this.id }, { keepalive: true }).catch(() => {
      // The page is going away and nobody is left to tell; without heartbeats the session ends by itself.
    });
  }

  async #beat() {
    const { lineId, field, typing } = this.#place;
    const status = document.hidden ? "IDLE" : field === null ? "VIEWING" : "EDITING";
    const input = { sessionId: this.id, currentLineId: lineId, currentField: field, isEditing: typing, status };
    try {
      if (this.id === null) return await this.join();
      const { updateSessionHeartbeat: alive } = await ask(HEARTBEAT, { input });
      // A tab that slept too long was taken for gone.
      if (!alive && !this.#left) await this.join();
    } catch {
      // The connection badge already says so, and the next heartbeat tries again.
    }
  }
}

/** Shows the list; `lineNumberOf(id)` names a line. */
export function show(users, mySessionId, lineNumberOf) {
  const items = users.map((user) => {
    const item = element("li", { "data-user": user.userId, "data-status": user.status });
    const me = user.sessionId === mySessionId ? " (you)" : "";
    item.append(element("b", { textContent: (user.userName ?? user.userId) + me }), ` ${placeOf(user, lineNumberOf)} `);
    if (user.lastSeen) item.append(moment(user.lastSeen));
    return item;
  });
  byId("people").replaceChildren(...items);
}

function placeOf({ status, currentField, currentLine }, lineNumberOf) {
  const doing = (status ?? "VIEWING").toLowerCase();
  if (!currentField) return doing;
  const line = currentLine ? `, line ${lineNumberOf(currentLine) ?? "?"}` : "";
  return `${doing} ${labelOf(currentField)}${line}`;
}
