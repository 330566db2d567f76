// JSON Schema (2020-12) in words.
import { el, inline } from "./dom.js";

const FAR = 2 ** 31; // bounds beyond are those of the type, which nobody needs to read

let components = {};
export function use(document) {
  components = document.components ?? {};
}

/** What a reference leads to, with the keywords beside it. */
export function resolve(node) {
  if (!node?.$ref) return node ?? {};
  const [, , kind, name] = node.$ref.split("/");
  const { $ref, ...beside } = node;
  return { ...resolve(components[kind]?.[name]), ...beside, named: name };
}

/** The type of a value in a few words. */
export function typed(schema) {
  const { type, items, additionalProperties: entries, named, format, contentEncoding, ...rest } = resolve(schema);
  if (rest.enum) return "one of " + rest.enum.join(", ");
  if (type === "array") return "list of " + typed(items);
  if (type === "object" && entries && typeof entries === "object") return "map to " + typed(entries);
  if (type === "object") return named ?? "object";
  return [type ?? "any JSON", format ?? contentEncoding].filter(Boolean).join(", ");
}

function between(low, high, unit) {
  if (low == null && high == null) return null;
  if (high == null) return `at least ${low} ${unit}`;
  return low == null ? `at most ${high} ${unit}` : `${low} to ${high} ${unit}`;
}

/** The rules of a value, each in a few words. */
export function rules(schema) {
  const s = resolve(schema);
  const near = (bound) => (bound != null && Math.abs(bound) < FAR - 1 ? bound : null);
  const said = [
    between(s.minLength, s.maxLength, "characters"),
    between(s.minItems ?? s.minProperties, s.maxItems ?? s.maxProperties, "entries"),
    between(near(s.minimum ?? s.exclusiveMinimum), near(s.maximum), "")?.trim(),
    s.default !== undefined && `default ${JSON.stringify(s.default)}`,
  ].filter(Boolean);
  const pattern = (s.pattern ?? resolve(s.items).pattern ?? "").replace("^$|", "");
  const prefix = /^\^([a-z]+)_\[0-7\]/.exec(pattern)?.[1];
  if (prefix) said.push(`an id that begins with ${prefix}_`);
  else if (pattern.includes("\\u2028")) said.push("one line");
  else if (pattern && !pattern.includes("\\u0000")) said.push(el("code", { title: "pattern" }, pattern));
  const keys = s.propertyNames?.pattern;
  if (keys) said.push(["keys ", el("code", { title: "pattern" }, keys)]);
  return said;
}

/** One entry of a list of fields or parameters. */
export function entry(name, schema, { required, place, description, inner } = {}) {
  return [
    el("dt", {}, el("code", {}, name), el("span", { class: "type" }, typed(schema)),
      place && el("span", { class: "place" }, place), required && el("span", { class: "required" }, "required")),
    el("dd", {}, description && el("p", {}, inline(description)),
      rules(schema).map((rule) => el("span", { class: "rule" }, rule)), inner),
  ];
}

/** The fields of an object. Objects in it open on demand, so that one which holds itself ends. */
export function fields(schema) {
  const { properties = {}, required = [], additionalProperties: open } = resolve(schema);
  const names = Object.keys(properties);
  if (!names.length) return el("p", { class: "quiet" }, open === false ? "No fields." : "Any JSON object.");
  return el("dl", {}, names.map((name) => {
    const field = resolve(properties[name]);
    const inside = [field, resolve(field.items), resolve(field.additionalProperties)].find((each) => each?.properties);
    const inner = inside && el("details", {
      toggle: (event) => event.target.childElementCount > 1 || event.target.append(fields(inside)),
    }, el("summary", {}, `Fields of ${inside.named ?? name}`));
    return entry(name, properties[name], {
      required: required.includes(name), description: field.description, inner,
    });
  }));
}
