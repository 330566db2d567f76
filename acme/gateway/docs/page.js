// The reference: what /v1/openapi.json says, to read, search and try.
import { el, inline, pretty, prose } from "./dom.js";
import { entry, fields, resolve, use } from "./schema.js";
import { authorization, trial } from "./trial.js";

const $ = (id) => document.getElementById(id);

/** "ProjectMembers" as a person writes it. */
const words = (name) => name.replace(/(?<=[a-z])[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`);

const parametersOf = (operation) =>
  (operation.parameters ?? []).map((given) => ({ ...resolve(given), shared: Boolean(given.$ref) }));

/** The marks of a method: what the contract says of it beside its shapes. */
function marks(operation) {
  const [needs] = operation.security ?? [];
  const said = [
    needs ? ["permission", needs.bearer.join(", "), "The caller's token has to cover it."]
      : ["public", "", "Anybody may call it, without a token."],
    operation["x-role"] && ["role", operation["x-role"], "The least built-in role that includes the permission."],
    operation["x-step-up"] && ["step-up", "", "The password has to be proved within the last ten minutes."],
    operation["x-idempotent"] && ["idempotent", "", "Calling twice has the effect of calling once."],
    operation["x-secret-reply"] && ["secret reply", "", "The answer holds a secret: it is shown once and never stored."],
    ["rate class", operation["x-rate-class"], "Which limit a request is charged to."],
  ].filter(Boolean);
  return el("ul", { class: "marks" }, said.map(([name, value, title]) =>
    el("li", { title }, name, value && [" ", el("code", {}, value)])));
}

function answers(operation) {
  return Object.entries(operation.responses).map(([status, given]) => {
    const response = resolve(given);
    const [kind, content] = Object.entries(response.content ?? {})[0] ?? [];
    const open = status < 300;
    const [first, ...rest] = (response.description ?? "").split(/(?<=\.)\s+/);
    return el("details", { open }, el("summary", {}, el("span", { class: `status s${status[0]}` }, status), " ",
      inline(first.replace(/\.$/, ""))),
    prose(rest.join(" ")), content?.example !== undefined && el("pre", { tabindex: 0 }, pretty(content.example)),
    content && !open && el("p", { class: "quiet" }, kind),
    open && kind === "application/json" && el("details", {}, el("summary", {}, "Fields"), fields(content.schema)),
    response.headers && el("p", { class: "quiet" }, "Headers: ", Object.keys(response.headers).join(", ")));
  });
}

function body(verb, path, operation) {
  const parameters = parametersOf(operation);
  const own = parameters.filter((parameter) => !parameter.shared);
  const json = operation.requestBody?.content?.["application/json"];
  return el("div", { class: "columns" },
    el("div", {},
      prose(operation.description), marks(operation),
      own.length > 0 && [el("h4", {}, "Parameters"), el("dl", {}, own.map((parameter) =>
        entry(parameter.name, parameter.schema, { ...parameter, place: parameter.in })))],
      operation.requestBody && [el("h4", {}, "Body"), json ? fields(json.schema) : el("p", {}, "Bytes as they are.")],
      el("h4", {}, "Answers"), answers(operation)),
    trial(verb, path, operation, parameters));
}

/** One method: a line that opens. What is inside is made when it opens. */
function method({ verb, path, operation }) {
  const locked = operation.security?.length > 0;
  const article = el("details", {
    id: operation.operationId,
    class: "method",
    toggle: () => {
      if (!article.open) return;
      if (article.childElementCount === 1) article.append(body(verb, path, operation));
      if (location.hash.slice(1) !== article.id) history.replaceState(null, "", `#${article.id}`);
      current();
    },
  }, el("summary", {}, el("span", { class: `verb ${verb.toLowerCase()}` }, verb), el("code", { class: "path" }, path),
    el("span", { class: "what" }, inline(operation.summary ?? "")),
    !locked && el("span", { class: "open", title: "Anybody may call it, without a token" }, "public")));
  return article;
}

function current() {
  for (const link of $("index").querySelectorAll("a")) {
    if (link.hash === location.hash) link.setAttribute("aria-current", "true");
    else link.removeAttribute("aria-current");
  }
}

/** Opens what the address names. */
function follow() {
  const named = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (named?.tagName === "DETAILS") {
    named.open = true;
    named.hidden = false;
    named.closest("section").hidden = false;
    named.scrollIntoView({ block: "start" });
    named.firstElementChild.focus({ preventScroll: true });
  }
  current();
}

function searched(operations) {
  const wanted = $("search").value.toLowerCase().split(/\s+/).filter(Boolean);
  let found = 0;
  for (const one of operations) {
    const fits = wanted.every((word) => one.text.includes(word));
    one.article.hidden = one.link.hidden = !fits;
    found += fits;
  }
  for (const block of document.querySelectorAll("main section, nav section")) {
    block.hidden = !block.querySelector(":scope > details:not([hidden]), :scope > ul > li:not([hidden])");
  }
  $("found").textContent = wanted.length ? `${found} of ${operations.length}` : "";
  $("intro").hidden = wanted.length > 0;
}

function show(spec) {
  use(spec);
  document.title = `${spec.info.title}: API reference`;
  $("title").textContent = spec.info.title;
  $("version").textContent = spec.info.version;
  const operations = Object.entries(spec.paths).flatMap(([path, item]) =>
    Object.entries(item).map(([verb, operation]) => ({ verb: verb.toUpperCase(), path, operation })));
  const main = [el("div", { id: "intro" }, prose(spec.info.description),
    el("p", {}, "The document itself, OpenAPI ", spec.openapi, ": ", el("a", { href: "/v1/openapi.json" }, "/v1/openapi.json"), "."))];
  const index = [];
  for (const tag of spec.tags ?? []) {
    const tagged = operations.filter(({ operation }) => operation.tags.includes(tag.name));
    for (const one of tagged) {
      const { operation } = one;
      one.article = method(one);
      one.link = el("li", {}, el("a", { href: `#${operation.operationId}`, title: operation.summary },
        el("span", { class: `verb ${one.verb.toLowerCase()}` }, one.verb), " ", operation.operationId.split("_").pop()));
      one.text = [operation.operationId, one.verb, one.path, operation.description, ...(operation.security ?? [])
        .flatMap((needs) => needs.bearer), operation["x-step-up"] ? "step-up" : ""].join(" ").toLowerCase();
    }
    main.push(el("section", { "aria-label": words(tag.name) }, el("h2", {}, words(tag.name)), prose(tag.description),
      tagged.map((one) => one.article)));
    index.push(el("section", {}, el("h2", {}, words(tag.name)), el("ul", {}, tagged.map((one) => one.link))));
  }
  $("methods").replaceChildren(...main);
  $("index").replaceChildren(...index);
  authorization(operations);
  const shown = operations.filter((one) => one.article);
  $("search").addEventListener("input", () => searched(shown));
  addEventListener("hashchange", follow);
  addEventListener("keydown", (event) => {
    if (event.key === "/" && !/^(INPUT|TEXTAREA|SELECT)$/.test(event.target.tagName)) {
      event.preventDefault();
      $("search").focus();
    }
  });
  follow();
  document.documentElement.dataset.ready = String(shown.length);
}

try {
  const answer = await fetch("/v1/openapi.json", { credentials: "omit" });
  if (!answer.ok) throw new Error(`${answer.status} ${answer.statusText}`);
  show(await answer.json());
} catch (error) {
  $("methods").replaceChildren(el("p", { role: "alert" }, `The API cannot be shown: ${error.message}`));
  throw error;
}
