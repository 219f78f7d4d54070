// Everything this page asks of the server, word for word.

export const QUOTES = "query Quotes { quotes(limit: 200) }";

export const QUOTE = "query Quote($quoteId: ID!) { quote(quoteId: $quoteId) }";

export const HISTORY = `query History($quoteId: ID!) {
  getQuoteChangeHistory(quoteId: $quoteId, limit: 20) {
    quoteLineId changedByName changedAt fieldName oldValue newValue changeType conflictResolution entityVersionAfter
  }
}`;

const SAVED = `success newVersion conflicts {
  field actualVersion baseValue currentValue attemptedValue lastChangedBy lastChangedByName lastChangedAt
}`;

export const SAVE_QUOTE = `mutation SaveQuote($input: VersionedQuoteUpdateInput!) {
  saved: updateQuoteWithVersionCheck(input: $input) { row: quote ${SAVED} }
}`;

export const SAVE_LINE = `mutation SaveLine($input: VersionedQuoteLineUpdateInput!) {
  saved: updateQuoteLineWithVersionCheck(input: $input) { row: quoteLine ${SAVED} }
}`;

export const JOIN = `mutation Join($input: JoinQuoteSessionInput!) {
  joinQuoteSession(input: $input) { sessionId }
}`;

export const HEARTBEAT = `mutation Heartbeat($input: UpdateSessionHeartbeatInput!) {
  updateSessionHeartbeat(input: $input)
}`;

export const LEAVE = "mutation Leave($sessionId: ID!) { leaveQuoteSession(sessionId: $sessionId) }";

const EVENT = "eventId timestamp userId userName eventType changeType version truncated cursor changes { field oldValue newValue }";

export const QUOTE_CHANGED = `subscription QuoteChanged($quoteId: ID!, $after: String) {
  quoteChanged(quoteId: $quoteId, after: $after) { ${EVENT} }
}`;

export const LINE_CHANGED = `subscription LineChanged($quoteId: ID!, $after: String) {
  quoteLineChanged(quoteId: $quoteId, after: $after) { ${EVENT} lineId lineNumber }
}`;

export const PRESENCE = `subscription Presence($quoteId: ID!) {
  presenceUpdated(quoteId: $quoteId) {
    activeUsers { sessionId userId userName userEmail status currentLine currentField lastSeen }
  }
}`;
