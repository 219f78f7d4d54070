// The one way this page makes elements: text is always text, never markup.

/** An element with properties, `aria-*`, `data-*` and other hyphenated or plain attributes, and children. */
export function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name in made && name !== "form") made[name] = value;
    else made.setAttribute(name, value);
  }
  made.append(...children.filter((child) => child !== null));
  return made;
}

/** The element of index.html with this id. */
export function byId(id) {
  return document.getElementById(id);
}

/** A moment as a short local time; with the date when it was not today. */
export function moment(timestamp) {
  const at = new Date(timestamp);
  const today = at.toDateString() === new Date().toDateString();
  const text = today ? at.toLocaleTimeString() : at.toLocaleString();
  return element("time", { dateTime: timestamp, textContent: text });
}
