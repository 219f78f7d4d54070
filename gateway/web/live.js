// What happens elsewhere, as it happens: a client of the graphql-transport-ws protocol that comes back by itself.

import { parseExactly } from "./api.js";

// The server pings every 10 s; three missed pings mean that nobody is there, whatever TCP believes.
const SILENCE_MS = 30_000;
const ACK_MS = 10_000;
const FIRST_RETRY_MS = 250;
const LAST_RETRY_MS = 10_000;
const BAD_TOKEN = 4403;
// The server does not speak what this page speaks: trying again cannot help.
const HOPELESS = new Set([4400, 4406]);

/**
 * One connection and its subscriptions. `onState(state, detail)` is told: connecting, live, waiting, refused
 * (the token), failed, closed.
 */
export class Live {
  #subscriptions = new Map();
  #socket = null;
  #timer = null;
  #attempt = 0;
  #lastId = 0;
  #acknowledged = false;

  constructor(token, onState) {
    this.token = token;
    this.onState = onState;
    this.retryNow = () => this.#socket === null && this.open();
    addEventListener("online", this.retryNow);
  }

  /**
   * Keeps `query` subscribed. `next(data)` gets each answer; the cursor in it is where a new connection resumes.
   * `reread()` is called when events may be missing and the state has to be read again.
   */
  subscribe(query, variables, { next, reread, after = null }) {
    const subscription = { query, variables, next, reread, after };
    this.#subscriptions.set(String(++this.#lastId), subscription);
  }

  open() {
    clearTimeout(this.#timer);
    this.#socket?.close(1000);
    this.#acknowledged = false;
    this.onState("connecting");
    const socket = new WebSocket(location.origin.replace(/^http/, "ws") + "/graphql", "graphql-transport-ws");
    this.#socket = socket;
    socket.onopen = () => this.#send("connection_init", undefined, { authToken: `Bearer ${this.token}` });
    socket.onmessage = ({ data }) => socket === this.#socket && this.#receive(JSON.parse(data), data);
    socket.onclose = ({ code, reason }) => socket === this.#socket && this.#closed(code, reason);
    this.#expectWithin(ACK_MS);
  }

  close() {
    removeEventListener("online", this.retryNow);
    clearTimeout(this.#timer);
    this.#socket?.close(1000);
    this.#socket = null;
    this.#acknowledged = false;
    this.onState("closed");
  }

  #send(type, id, payload) {
    if (this.#socket?.readyState === WebSocket.OPEN) this.#socket.send(JSON.stringify({ id, type, payload }));
  }

  #start(id, { query, variables, after }) {
    this.#send("subscribe", id, { query, variables: { ...variables, after: after ?? undefined } });
  }

  #receive({ type, id, payload }, text) {
    this.#expectWithin(SILENCE_MS);
    const subscription = this.#subscriptions.get(id);
    if (type === "ping") this.#send("pong");
    else if (type === "connection_ack") this.#startAll();
    else if (type === "next" && payload.data) this.#deliver(subscription, parseExactly(text).payload.data);
    else if (type === "next") this.#failed(id, subscription, payload.errors);
    else if (type === "error") this.#failed(id, subscription, payload);
  }

  #startAll() {
    this.#attempt = 0;
    this.#acknowledged = true;
    this.onState("live");
    for (const [id, subscription] of this.#subscriptions) this.#start(id, subscription);
  }

  #deliver(subscription, data) {
    const [event] = Object.values(data);
    subscription.after = event.cursor ?? subscription.after;
    subscription.next(event);
  }

  #failed(id, subscription, errors) {
    const { message, extensions: { code } = {} } = errors?.[0] ?? {};
    if (code !== "RESYNC_REQUIRED" && code !== "LAGGED") return this.onState("failed", message ?? "unknown error");
    // After LAGGED the cursor still holds and nothing is missed; after RESYNC_REQUIRED it leads nowhere.
    if (code === "RESYNC_REQUIRED") subscription.after = null;
    this.#subscriptions.delete(id);
    setTimeout(() => this.#renew(subscription), FIRST_RETRY_MS * (0.5 + Math.random()));
  }

  #renew(subscription) {
    // A new id: the server may still be closing the old one, and a duplicate id would cost the connection.
    const id = String(++this.#lastId);
    this.#subscriptions.set(id, subscription);
    if (this.#acknowledged) this.#start(id, subscription);
    subscription.reread();
  }

  #expectWithin(milliseconds) {
    clearTimeout(this.#timer);
    const socket = this.#socket;
    this.#timer = setTimeout(() => {
      socket.close();
      if (socket === this.#socket) this.#closed(1006, "the server went silent");
    }, milliseconds);
  }

  #closed(code, reason) {
    clearTimeout(this.#timer);
    this.#socket = null;
    this.#acknowledged = false;
    if (code === BAD_TOKEN) return this.onState("refused", reason);
    if (HOPELESS.has(code)) return this.onState("failed", reason);
    // Jitter keeps a thousand pages from returning in the same instant after a restart.
    const wait = Math.min(FIRST_RETRY_MS * 2 ** this.#attempt++, LAST_RETRY_MS) * (0.5 + Math.random());
    this.onState("waiting", reason);
    this.#timer = setTimeout(() => this.open(), wait);
  }
}
