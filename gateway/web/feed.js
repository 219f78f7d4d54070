// The live list of changes, newest first.

import { byId, element, moment } from "./element.js";
import { labelOf, shown } from "./fields.js";

// Enough to scroll back through a busy quarter of an hour; the whole history is in the database.
const KEPT = 100;

const HEADLINES = {
  CREATE: "created",
  DELETE: "deleted",
  QUOTE_CREATED: "created the quote",
  QUOTE_DELETED: "deleted the quote",
  LINE_ADDED: "added line",
  LINE_DELETED: "deleted line",
  RECALCULATED: "totals recalculated",
};

/** Shows the history read at the start. */
export function fill(records, lineNumberOf) {
  const entries = records.map((record) => {
    const lineNumber = record.quoteLineId === null ? null : lineNumberOf(record.quoteLineId);
    return entry({
      who: record.changedByName,
      when: record.changedAt,
      headline: record.conflictResolution === "REJECTED" ? "came too late with" : (HEADLINES[record.changeType] ?? ""),
      place: record.quoteLineId === null ? "" : `line ${lineNumber ?? "(gone)"}`,
      changes: [{ field: record.fieldName, oldValue: record.oldValue, newValue: record.newValue }],
      version: record.entityVersionAfter,
    });
  });
  byId("feed").replaceChildren(...entries);
}

/** Adds an event of a subscription. */
export function add(event) {
  const made = entry({
    who: event.userName,
    when: event.timestamp,
    headline: HEADLINES[event.changeType] ?? "",
    // An ERP may have lines without numbers.
    place: event.lineId === undefined ? "" : `line ${event.lineNumber ?? ""}`.trimEnd(),
    changes: event.changes ?? [],
    version: event.version,
  });
  made.dataset.event = event.eventId;
  made.classList.add("flash");
  byId("feed").prepend(made);
  while (byId("feed").children.length > KEPT) byId("feed").lastChild.remove();
}

function entry({ who, when, headline, place, changes, version }) {
  const heading = element("p", {}, element("b", { textContent: who ?? "somebody" }));
  heading.append(` ${[headline, place].filter(Boolean).join(" ")} `, moment(when));
  if (version !== null && version !== undefined) {
    heading.append(element("span", { className: "version", textContent: `v${version}` }));
  }
  // A whole row added or deleted is said by the headline.
  const details = changes.filter(({ field }) => field !== "*").map(({ field, oldValue, newValue }) => {
    const line = element("p", { className: "change" }, `${labelOf(field)}: `);
    line.append(element("del", { textContent: shown(oldValue) }), " → ");
    line.append(element("ins", { textContent: shown(newValue) }));
    return line;
  });
  return element("li", {}, heading, ...details);
}
