// Elements without innerHTML: whatever a contract or an answer holds stays text.

/** An element. `attributes` that are functions are listeners; false, null and undefined leave one out. */
export function el(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (typeof value === "function") made.addEventListener(key, value);
    else if (value === true) made.setAttribute(key, "");
    else if (value !== false && value != null) made.setAttribute(key, value);
  }
  made.append(...children.flat(Infinity).filter((child) => child != null && child !== false));
  return made;
}

/** Prose with `code` in it. */
export const inline = (text) => text.split("`").map((part, i) => (i % 2 ? el("code", {}, part) : part));

/** Paragraphs of prose, and lists of lines that begin with a dash. */
export const prose = (text = "") =>
  text.split(/\n\n+/).filter(Boolean).map((part) => {
    const lines = part.split(/\n(?=- )/);
    const listed = lines.filter((line) => line.startsWith("- "));
    const said = lines.filter((line) => !line.startsWith("- "));
    return [
      said.length > 0 && el("p", {}, inline(said.join(" "))),
      listed.length > 0 && el("ul", {}, listed.map((line) => el("li", {}, inline(line.slice(2))))),
    ];
  });

export const pretty = (value) => JSON.stringify(value, null, 2);
