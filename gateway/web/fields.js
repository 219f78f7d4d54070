// Which fields a quote and its lines show, what they are called, and how their values are typed and sent.

const text = (name, label, long = false) => ({ name, label, kind: "text", long });
const decimal = (name, label) => ({ name, label, kind: "decimal" });
const date = (name, label) => ({ name, label, kind: "date" });

export const HEADER_FIELDS = [
  {
    name: "status",
    label: "Status",
    kind: "choice",
    choices: ["DRAFT", "ISSUED", "ACCEPTED", "REJECTED", "EXPIRED", "CONVERTED_TO_ORDER"],
  },
  date("expirationDate", "Expiration date"),
  text("contactName", "Contact name"),
  text("contactEmail", "Contact e-mail"),
  text("notes", "Notes", true),
  text("termsAndConditions", "Terms and conditions", true),
];

/** Computed by the database from the lines: shown, never typed. */
export const TOTALS = [
  decimal("subtotal", "Subtotal"),
  decimal("taxAmount", "Tax"),
  decimal("shippingAmount", "Shipping"),
  decimal("discountAmount", "Discount"),
  decimal("totalAmount", "Total"),
];

export const LINE_FIELDS = [
  text("description", "Description"),
  decimal("quantity", "Quantity"),
  // One release of the ERP calls the quantity so; only the column that exists is shown.
  decimal("quantityQuoted", "Quantity"),
  decimal("unitPrice", "Unit price"),
  decimal("discountPercentage", "Discount %"),
  { name: "leadTimeDays", label: "Lead days", kind: "integer" },
  date("promisedDeliveryDate", "Promised"),
];

const LABELS = new Map([...HEADER_FIELDS, ...TOTALS, ...LINE_FIELDS].map(({ name, label }) => [name, label]));

/** A field's name as a person reads it; conflicts name columns, events name properties. */
export function labelOf(name) {
  const camel = propertyOf(name);
  const words = camel.replace(/[A-Z]/g, (capital) => ` ${capital.toLowerCase()}`);
  return LABELS.get(camel) ?? words.charAt(0).toUpperCase() + words.slice(1);
}

/** unit_price → unitPrice. */
export function propertyOf(column) {
  return column.replace(/_([a-z])/g, (_match, letter) => letter.toUpperCase());
}

/** A text as an input has it, which knows one kind of line break. */
export function asTyped(text) {
  return text.replace(/\r\n?/g, "\n");
}

/** A value as text. */
export function textOf(value) {
  if (value === null || value === undefined) return "";
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}

// More of a value than this hides what stands around it.
const SHOWN = 1_000;

/** A value in a sentence. */
export function shown(value) {
  const text = textOf(value);
  if (text === "") return "(empty)";
  return text.length <= SHOWN ? text : `${text.slice(0, SHOWN)} …`;
}

/** Whether two texts of a field say the same: 12.5 and 12.5000 do, without a detour through floating point; nothing and 0 do not. */
export function same(field, one, other) {
  if (field.kind !== "decimal") return asTyped(one) === asTyped(other);
  return (one.trim() === "") === (other.trim() === "") && canonical(one) === canonical(other);
}

function canonical(decimalText) {
  const [, sign, whole, fraction = ""] = /^\s*(-?)0*(\d*)(?:\.(\d*?)0*)?\s*$/.exec(decimalText) ?? [];
  return whole === undefined ? decimalText : `${sign}${whole}.${fraction}`;
}

/** What is sent for a typed text. Decimals go as text, so that no digit is lost on the way. */
export function valueOf(field, typed) {
  if (field.kind === "text") return typed;
  if (typed.trim() === "") return null;
  return field.kind === "integer" && /^-?\d{1,9}$/.test(typed.trim()) ? Number(typed) : typed.trim();
}
