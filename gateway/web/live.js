// What happens elsewhere, as it happens: a client of the graphql-transport-ws protocol that comes back by itself.

import { parseExactly } from "./api.js";

// A page does not see the server's own pings, so it asks; three missed answers mean that nobody is there.
const PING_MS = 10_000;
const SILENCE_MS = 30_000;
const ACK_MS = 10_000;
const FIRST_RETRY_MS = 250;
const LAST_RETRY_MS = 10_000;
const RETRIED = new Set(["RESYNC_REQUIRED", "LAGGED", "RATE_LIMITED", "SERVICE_UNAVAILABLE"]);
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
  #pinging = null;
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
   * Keeps `query` subscribed. `next(event)` gets each event; the cursor in it is where a new connection resumes.
   * `reread(afresh)` is called when events may be missing and the state has to be read again, afresh where the history may be another;
   * `begun()` when the first
   * event after (re)subscribing has come.
   */
  subscribe(query, variables, { next, reread, begun }) {
    const subscription = { query, variables, next, reread, begun, after: undefined, fresh: true, refusals: 0 };
    this.#subscriptions.set(String(++this.#lastId), subscription);
  }

  open() {
    this.#socket?.close(1000);
    this.#forgetSocket();
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
    this.#socket?.close(1000);
    this.#forgetSocket();
    this.onState("closed");
  }

  #send(type, id, payload) {
    if (this.#socket?.readyState === WebSocket.OPEN) this.#socket.send(JSON.stringify({ id, type, payload }));
  }

  #start(id, subscription) {
    const { query, variables, after } = subscription;
    subscription.fresh = true;
    this.#send("subscribe", id, { query, variables: { ...variables, after } });
  }

  #receive({ type, id, payload }, text) {
    this.#expectWithin(SILENCE_MS);
    const subscription = this.#subscriptions.get(id);
    if (type === "ping") this.#send("pong");
    else if (type === "connection_ack") this.#startAll();
    else if (type === "next" && payload.data) this.#deliver(subscription, parseExactly(text).payload.data);
    else if (type === "next") this.#failed(id, subscription, payload.errors);
    else if (type === "error") this.#failed(id, subscription, payload);
    else if (type === "complete" && subscription) this.#retry(id, subscription);
  }

  #startAll() {
    this.#attempt = 0;
    this.#acknowledged = true;
    this.onState("live");
    this.#pinging = setInterval(() => this.#send("ping"), PING_MS);
    for (const [id, subscription] of this.#subscriptions) this.#start(id, subscription);
  }

  #deliver(subscription, data) {
    const [event] = Object.values(data);
    const begins = subscription.fresh;
    Object.assign(subscription, { after: event.cursor, fresh: false, refusals: 0 });
    subscription.next(event);
    if (begins) subscription.begun?.();
  }

  #failed(id, subscription, errors) {
    const { message, extensions: { code } = {} } = errors?.[0] ?? {};
    if (!RETRIED.has(code)) return this.onState("failed", message ?? "unknown error");
    // After LAGGED the cursor still holds and nothing is missed; after RESYNC_REQUIRED it leads nowhere.
    const afresh = code === "RESYNC_REQUIRED";
    if (afresh) subscription.after = undefined;
    this.#retry(id, subscription, afresh);
  }

  #retry(id, subscription, afresh = false) {
    this.#subscriptions.delete(id);
    setTimeout(() => this.#renew(subscription, afresh), backOff(subscription.refusals++));
  }

  #renew(subscription, afresh) {
    // A new id: the server may still be closing the old one, and a duplicate id would cost the connection.
    const id = String(++this.#lastId);
    this.#subscriptions.set(id, subscription);
    if (this.#acknowledged) this.#start(id, subscription);
    subscription.reread(afresh);
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
    this.#forgetSocket();
    if (code === BAD_TOKEN) return this.onState("refused", reason);
    if (HOPELESS.has(code)) return this.onState("failed", reason);
    this.onState("waiting", reason);
    this.#timer = setTimeout(() => this.open(), backOff(this.#attempt++));
  }

  #forgetSocket() {
    clearTimeout(this.#timer);
    clearInterval(this.#pinging);
    this.#socket = null;
    this.#acknowledged = false;
  }
}

/** How long to wait; jitter keeps a thousand pages from returning in the same instant after a restart. */
export function backOff(attempt) {
  return Math.min(FIRST_RETRY_MS * 2 ** attempt, LAST_RETRY_MS) * (0.5 + Math.random());
}
