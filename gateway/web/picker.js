// Which user, which quote: the tokens of this tab, the quotes of the tenant, and the ones opened lately.

import { ask } from "./api.js";
import { byId, element } from "./element.js";
import { QUOTES } from "./operations.js";
import * as tokens from "./token.js";

const RECENT = "quote-collab.recent";
const RECENT_KEPT = 8;

/** `onToken()` when another user was chosen or pasted, `onQuote(id)` when a quote was. */
export function start({ onToken, onQuote, onBadToken }) {
  byId("token-form").addEventListener("submit", (event) => {
    event.preventDefault();
    const pasted = byId("token").value.trim().replace(/^Bearer /, "");
    byId("token").value = "";
    if (tokens.use(pasted)) onToken();
    else onBadToken();
  });
  byId("user").addEventListener("change", ({ target }) => {
    if (target.value === "") return askForToken();
    tokens.use(target.value);
    onToken();
  });
  byId("quote-form").addEventListener("submit", (event) => {
    event.preventDefault();
    onQuote(byId("quote-id").value.trim());
  });
  byId("quote").addEventListener("change", ({ target }) => target.value !== "" && onQuote(target.value));
}

/** Shows the field for pasting a token. */
export function askForToken() {
  byId("sign-in").hidden = false;
  // Whoever is typing types on: it would go into the token.
  if (!byId("document").contains(document.activeElement)) byId("token").focus();
}

export function showUsers() {
  byId("sign-in").hidden = tokens.current() !== null;
  const options = tokens.known().map(({ token, name, tenant }) => {
    const textContent = `${name} (tenant ${tenant.slice(-4)})`;
    return element("option", { value: token, textContent, selected: token === tokens.current() });
  });
  const none = tokens.current() === null;
  const another = element("option", { value: "", textContent: "another token …", selected: none });
  byId("user").replaceChildren(...options, another);
}

/** Reads the quotes this user may see and marks the opened one. */
export async function showQuotes(openedId) {
  const { quotes } = await ask(QUOTES);
  const recent = recentIds();
  const known = new Map(quotes.map((quote) => [quote.id, quote]));
  const option = ({ id, quoteNumber, customerName, status }) =>
    element("option", {
      value: id,
      textContent: [quoteNumber, customerName, status].filter(Boolean).join(" · "),
      selected: id === openedId,
    });
  const lately = recent.filter((id) => known.has(id)).map((id) => option(known.get(id)));
  const others = quotes.filter(({ id }) => !recent.includes(id)).map(option);
  const none = element("option", { value: "", textContent: "choose a quote …", selected: openedId === null });
  byId("quote").replaceChildren(none, group("Opened lately", lately), group("Quotes", others));
  if (openedId !== null) mark(openedId);
}

/** Marks the quote that is open. */
export function mark(quoteId) {
  byId("quote").value = quoteId;
}

/** Remembers an opened quote for the list of recent ones. */
export function remember(quoteId) {
  const ids = [quoteId, ...recentIds().filter((id) => id !== quoteId)].slice(0, RECENT_KEPT);
  sessionStorage.setItem(RECENT, JSON.stringify(ids));
}

function recentIds() {
  return JSON.parse(sessionStorage.getItem(RECENT) ?? "[]");
}

function group(label, options) {
  const made = element("optgroup", { hidden: options.length === 0 }, ...options);
  made.label = label;
  return made;
}
