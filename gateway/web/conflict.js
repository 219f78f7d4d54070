// A save that came too late: what I wanted, what stands there now, who wrote it and when, and the two ways on.

import { byId, element, moment } from "./element.js";
import { labelOf, shown } from "./fields.js";

let shownFor = null;

/** Shows the conflicts of one refused save. `onTheirs()` and `onMine()` are the person's choice. */
export function show(row, conflicts, { nameOf, onTheirs, onMine }) {
  shownFor = row;
  const rows = conflicts.map((conflict) => {
    const tr = element("tr", { "data-conflict": conflict.field });
    tr.append(element("th", { scope: "row", textContent: labelOf(conflict.field) }));
    tr.append(element("td", { className: "mine", textContent: shown(conflict.attemptedValue) }));
    tr.append(element("td", { className: "theirs", textContent: shown(conflict.currentValue) }));
    tr.append(element("td", { className: "who", textContent: nameOf(conflict) }));
    tr.append(element("td", {}, conflict.lastChangedAt ? moment(conflict.lastChangedAt) : ""));
    return tr;
  });
  byId("conflict-fields").replaceChildren(...rows);
  choice("take-theirs", onTheirs);
  choice("use-mine", onMine);
  // It is announced by its role; the focus stays with whoever types on, whose next key must choose nothing.
  byId("conflict").hidden = false;
}

/** Puts the question away; with a row, only if it was about that row. */
export function hide(row = shownFor) {
  if (row === shownFor) byId("conflict").hidden = true;
}

function choice(id, chosen) {
  byId(id).onclick = () => {
    hide();
    chosen();
  };
}
