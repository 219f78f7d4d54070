// Who is looking: the tokens this tab was given. They stay in sessionStorage, so closing the tab forgets them.

const CURRENT = "quote-collab.token";
const KNOWN = "quote-collab.tokens";

/** The claims a token carries, unverified: only the server's word counts, this is for showing a name. */
export function claims(token) {
  try {
    const body = token.split(".")[1].replace(/-/g, "+").replace(/_/g, "/");
    const bytes = Uint8Array.from(atob(body), (char) => char.charCodeAt(0));
    return JSON.parse(new TextDecoder().decode(bytes));
  } catch {
    return null;
  }
}

/** Who a token says it is: a user is one of a tenant. */
export function personOf(token) {
  const { tenantId, sub } = claims(token) ?? {};
  return JSON.stringify([tenantId, sub]);
}

/** The token in use, or null. */
export function current() {
  return sessionStorage.getItem(CURRENT);
}

/** Every token of this tab that can still be read: `{token, name, tenant}`. */
export function known() {
  const tokens = JSON.parse(sessionStorage.getItem(KNOWN) ?? "[]");
  return tokens.map((token) => {
    const { username, sub, tenantId } = claims(token) ?? {};
    return { token, name: username ?? sub ?? "unknown", tenant: tenantId ?? "" };
  });
}

/** Makes `token` the one in use; answers false for something that is no token at all. */
export function use(token) {
  const mine = claims(token);
  if (!mine) return false;
  // A fresh token of the same user replaces the old one instead of standing beside it.
  const others = known().filter((other) => personOf(other.token) !== personOf(token));
  const tokens = [...others.map((other) => other.token), token];
  sessionStorage.setItem(KNOWN, JSON.stringify(tokens));
  sessionStorage.setItem(CURRENT, token);
  return true;
}

/** Stops using the current token, because the server refused it. */
export function drop() {
  const kept = known().filter(({ token }) => token !== current());
  sessionStorage.setItem(KNOWN, JSON.stringify(kept.map(({ token }) => token)));
  sessionStorage.removeItem(CURRENT);
}

/**
 * Reads `#token=…&quote=…`. The token leaves the address bar at once: an address is copied, bookmarked and
 * shown on a screen, a token is not. The quote stays, so a reload comes back to it.
 */
export function takeFromAddress() {
  const fragment = new URLSearchParams(location.hash.slice(1));
  const token = fragment.get("token")?.replace(/^Bearer /, "");
  const quote = fragment.get("quote");
  if (token) use(token);
  showQuote(quote);
  return quote;
}

/** The quote the address bar names, or null. */
export function quoteInAddress() {
  return new URLSearchParams(location.hash.slice(1)).get("quote");
}

/** Keeps the opened quote in the address bar. */
export function showQuote(quoteId) {
  const fragment = quoteId ? `#quote=${encodeURIComponent(quoteId)}` : "";
  history.replaceState(null, "", location.pathname + location.search + fragment);
}
