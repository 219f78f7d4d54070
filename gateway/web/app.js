// The page: a user, a quote, and the connection between them.

import { byId } from "./element.js";
import { OpenQuote } from "./open-quote.js";
import * as picker from "./picker.js";
import * as tokens from "./token.js";

const STATES = {
  connecting: "connecting …",
  live: "live",
  waiting: "connection lost, coming back …",
  refused: "token refused",
  failed: "not live",
  closed: "no quote open",
};

let opened = null;
let starts = 0;
let isSignedOut = false;

function tell(message) {
  byId("notice").textContent = message;
}

function showState(state, detail) {
  byId("state").dataset.state = state;
  byId("state").textContent = STATES[state];
  byId("state").title = detail ?? "";
  if (state === "failed") tell(`No live changes: ${detail}`);
  if (state === "refused") signOut("The token is not valid any more. Paste a new one.");
}

function refuse(refusal) {
  if (refusal.code === "UNAUTHENTICATED") return signOut("The token was refused. Paste another one.");
  tell(refusal.code ? `${refusal.message} (${refusal.code})` : refusal.message);
}

// The quote stays on screen: a fresh token of the same user goes on with everything that is typed.
function signOut(message) {
  isSignedOut = true;
  tokens.drop();
  picker.showUsers();
  picker.askForToken();
  tell(message);
}

function mayLeave() {
  return !opened?.isTyped || confirm("What is typed here is not saved. Leave it?");
}

/** Whoever has opened the quote stays, and is asked for a token where his own is refused. */
function stay() {
  tokens.showQuote(opened.id);
  if (isSignedOut) return signOut("The token was refused. Paste another one.");
  tokens.use(opened.live.token);
  picker.showUsers();
}

function signedIn() {
  const token = tokens.current();
  if (opened && !opened.isOf(token) && !mayLeave()) return stay();
  isSignedOut = false;
  if (!opened?.isOf(token)) return start(tokens.quoteInAddress());
  picker.showUsers();
  tell("");
  opened.resume(token);
}

/** Another quote, if the person does not want to go on with what is typed in this one. */
function choose(quoteId) {
  if (mayLeave()) return open(quoteId);
  picker.mark(opened.id);
}

/** Another address: a person, a quote, or both. */
function follow() {
  const quoteId = tokens.takeFromAddress();
  if (quoteId === opened?.id && opened?.isOf(tokens.current())) return signedIn();
  if (!mayLeave()) return stay();
  isSignedOut = false;
  return start(quoteId);
}

async function open(quoteId) {
  opened?.close();
  opened = null;
  byId("document").hidden = true;
  tokens.showQuote(quoteId);
  if (quoteId === null || tokens.current() === null) return;
  const mine = new OpenQuote(quoteId, { token: tokens.current(), onRefusal: refuse, onState: showState });
  opened = mine;
  try {
    await mine.open();
  } catch (refusal) {
    mine.close();
    if (opened === mine) opened = null;
    return refuse(refusal);
  }
  if (opened !== mine) return;
  picker.remember(quoteId);
  byId("document").hidden = false;
  tell("");
}

async function start(quoteId) {
  picker.showUsers();
  tell("");
  const mine = ++starts;
  if (tokens.current() === null) return picker.askForToken();
  try {
    await picker.showQuotes(quoteId);
  } catch (refusal) {
    return mine === starts && refuse(refusal);
  }
  if (mine === starts) await open(quoteId);
}

picker.start({
  onToken: signedIn,
  onQuote: choose,
  onBadToken: () => tell("That is not a token: it should be three parts with dots between them."),
});
addEventListener("hashchange", follow);
addEventListener("beforeunload", (event) => opened?.isTyped && event.preventDefault());
// A page that comes back from the browser's cache has left its session and lost its connection.
addEventListener("pageshow", ({ persisted }) => persisted && start(tokens.quoteInAddress()));
start(tokens.takeFromAddress());
