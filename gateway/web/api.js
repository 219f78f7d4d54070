// Questions and commands: GraphQL over HTTP, as the user whose token is in use.

import { current } from "./token.js";

const TIMEOUT_MS = 10_000;

/** An answer that is no: `code` is the server's, such as UNAUTHENTICATED, or UNREACHABLE when there was none. */
export class Refusal extends Error {
  constructor(message, code) {
    super(message);
    this.code = code;
  }
}

/**
 * Parses JSON and keeps every digit: a number that JavaScript would round or shorten (0.1000, 10^17 + 0.0001)
 * stays the text it was sent as.
 */
export function parseExactly(text) {
  return JSON.parse(text, (_key, value, context) => {
    if (typeof value !== "number" || context?.source === undefined) return value;
    return String(value) === context.source && Number.isSafeInteger(value) ? value : context.source;
  });
}

/** Sends one operation and answers its `data`; anything else is thrown as a Refusal. */
export async function ask(query, variables = {}, { keepalive = false } = {}) {
  const headers = { "content-type": "application/json", authorization: `Bearer ${current()}` };
  const body = JSON.stringify({ query, variables });
  // A request that must outlive the page may not be tied to one of its timers.
  const signal = keepalive ? undefined : AbortSignal.timeout(TIMEOUT_MS);
  let status, text;
  try {
    const response = await fetch("/graphql", { method: "POST", headers, body, keepalive, signal });
    status = response.status;
    text = await response.text();
  } catch {
    throw new Refusal("the server cannot be reached", "UNREACHABLE");
  }
  return answerOf(status, text);
}

function answerOf(status, text) {
  let answer = null;
  try {
    answer = parseExactly(text);
  } catch {
    // Not JSON, such as a proxy's error page: the status below says what is known.
  }
  const error = answer?.errors?.[0];
  if (status === 401) throw new Refusal(error?.message ?? "the token was refused", "UNAUTHENTICATED");
  if (error) throw new Refusal(error.message, error.extensions?.code ?? `HTTP ${status}`);
  if (!answer?.data) throw new Refusal(`the server answered ${status}`, `HTTP ${status}`);
  return answer.data;
}
