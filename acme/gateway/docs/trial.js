// Who asks, and asking: the token in memory, and the form that sends a request and shows the answer.
import { el, pretty } from "./dom.js";
import { resolve } from "./schema.js";

const me = { token: "", who: "", refresh: "", session: "", until: Infinity };
const ways = {}; // the operations that log in and refresh, if the document has them
const $ = (id) => document.getElementById(id);

const jsonBody = (operation) => operation.requestBody?.content?.["application/json"];

async function post(path, body) {
  const answer = await ask("POST", path, { "Content-Type": "application/json" }, JSON.stringify(body));
  const said = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Error(said.detail ?? `${answer.status} ${answer.statusText}`);
  return said;
}

const ask = (method, path, headers, body) =>
  fetch(path, { method, headers, body, credentials: "omit", cache: "no-store", referrerPolicy: "no-referrer" });

function became(tokens, who) {
  me.token = tokens.access_token ?? "";
  me.refresh = tokens.refresh_token ?? "";
  me.session = tokens.session_id ?? "";
  me.until = tokens.expires_in ? Date.now() + tokens.expires_in * 1000 : Infinity;
  me.who = who;
  $("authorize").textContent = me.token ? who : "Authorize";
  $("authorize").classList.toggle("known", Boolean(me.token));
  $("logout").hidden = !me.token;
}

/** The access token; another one when it is about to expire. */
async function token() {
  if (me.refresh && ways.refresh && me.until - Date.now() < 30_000) {
    try {
      became(await post(ways.refresh, { refresh_token: me.refresh }), me.who);
    } catch {
      became({}, "");
    }
  }
  return me.token;
}

/** Finds out how this platform logs people in, and makes the dialog work. */
export function authorization(operations) {
  for (const { verb, path, operation } of operations) {
    const takes = Object.keys(jsonBody(operation)?.schema?.properties ?? {}).join();
    const gives = Object.values(operation.responses).map((r) => resolve(r.content?.["application/json"]?.schema));
    if (verb !== "POST" || operation.security?.length || !gives.some((g) => g.properties?.access_token)) continue;
    if (takes === "email,password") ways.login = path;
    if (takes === "refresh_token") ways.refresh = path;
  }
  const dialog = $("login");
  $("by-password").hidden = !ways.login;
  $("logout").hidden = true;
  $("authorize").addEventListener("click", () => dialog.showModal());
  $("close").addEventListener("click", () => dialog.close());
  $("logout").addEventListener("click", async () => {
    if (me.session) await ask("DELETE", `${ways.login}/${me.session}`, { Authorization: `Bearer ${me.token}` });
    became({}, "");
    dialog.close();
  });
  const submitted = (form, act) => form.addEventListener("submit", async (event) => {
    event.preventDefault();
    $("login-fault").textContent = "";
    try {
      await act(Object.fromEntries(new FormData(form)));
      form.reset();
      dialog.close();
    } catch (error) {
      $("login-fault").textContent = error.message;
    }
  });
  submitted($("by-password"), async (given) => became(await post(ways.login, given), given.email));
  submitted($("by-token"), async (given) => became({ access_token: given.token.trim() }, "Token in use"));
}

function control(parameter) {
  const { type } = resolve(parameter.schema);
  const hint = parameter.example ?? "";
  const common = { name: parameter.name, "data-in": parameter.in, required: parameter.in === "path" };
  if (type === "boolean") {
    return el("select", common, ["", "true", "false"].map((value) => el("option", { value }, value || "—")));
  }
  if (type === "array") return el("textarea", { ...common, rows: 2, placeholder: `One a line: ${hint}`, "data-list": true });
  return el("input", { ...common, placeholder: String(hint), autocomplete: "off", spellcheck: "false",
    inputmode: type === "integer" ? "numeric" : null });
}

const labelled = (parameter) =>
  el("label", {}, el("span", {}, parameter.name, " ", el("small", {}, parameter.in)), control(parameter));

/** The request that a form describes. */
function request(form, verb, path, operation, bearer) {
  const query = new URLSearchParams();
  const headers = {};
  for (const input of form.querySelectorAll("[data-in]")) {
    const values = "list" in input.dataset ? input.value.split("\n").filter(Boolean) : [input.value];
    for (const value of values.filter((each) => each !== "")) {
      if (input.dataset.in === "path") path = path.replace(`{${input.name}}`, encodeURIComponent(value));
      else if (input.dataset.in === "query") query.append(input.name, value);
      else headers[input.name] = value;
    }
  }
  let body;
  if (operation.requestBody) {
    const written = form.querySelector("[name=\"request body\"]");
    body = written.files ? written.files[0] : written.value;
    headers["Content-Type"] = written.files ? body?.type || "application/octet-stream" : "application/json";
  }
  if (bearer) headers.Authorization = `Bearer ${bearer}`;
  return { verb, path: query.size ? `${path}?${query}` : path, headers, body };
}

const quoted = (text) => `'${text.replaceAll("'", `'\\''`)}'`;

/** The same request for a terminal, without the token itself. */
function command({ verb, path, headers, body }) {
  const lines = [`curl -X ${verb} ${quoted(location.origin + path)}`];
  for (const [name, value] of Object.entries(headers)) {
    lines.push(name === "Authorization" ? `-H "Authorization: Bearer $TOKEN"` : `-H ${quoted(`${name}: ${value}`)}`);
  }
  if (typeof body === "string") lines.push(`-d ${quoted(body)}`);
  return lines.join(" \\\n  ");
}

const FIRST = ["content-type", "etag", "location", "retry-after", "ratelimit", "ratelimit-policy", "x-request-id"];
const rank = ([name]) => (FIRST.indexOf(name) + 1 || 99);

function answered(sent, answer, text, milliseconds) {
  const kind = answer.headers.get("content-type") ?? "";
  let body = text;
  let faults = [];
  if (kind.includes("json")) {
    const said = JSON.parse(text);
    body = pretty(said);
    faults = answer.ok ? [] : said.errors ?? [];
  }
  return [
    el("p", { class: `status s${String(answer.status)[0]}` }, el("strong", {}, `${answer.status} ${answer.statusText}`),
      ` in ${Math.round(milliseconds)} ms`),
    faults.length > 0 && el("ul", { class: "faults" }, faults.map((fault) =>
      el("li", {}, el("code", {}, fault.pointer || "body"), ` ${fault.detail} `, el("small", {}, fault.code)))),
    answer.status === 401 && el("p", {}, el("button", { type: "button", click: () => $("login").showModal() },
      me.token ? "Authorize again" : "Authorize first")),
    body && el("pre", { class: "body", tabindex: 0 }, body),
    el("details", { open: true }, el("summary", {}, "Headers"),
      el("table", {}, [...answer.headers].sort((a, b) => rank(a) - rank(b)).map(([name, value]) =>
        el("tr", {}, el("th", { scope: "row" }, name), el("td", {}, value))))),
    el("details", {}, el("summary", {}, "As a command"), el("pre", {}, command(sent))),
  ].filter(Boolean);
}

/** The form that tries an operation. */
export function trial(verb, path, operation, parameters) {
  const own = parameters.filter((parameter) => !parameter.shared);
  const shared = parameters.filter((parameter) => parameter.shared);
  const json = jsonBody(operation);
  const example = json?.example === undefined ? "{}" : pretty(json.example);
  const result = el("div", { class: "answer", role: "status" });
  const send = el("button", { class: "main" }, "Send");
  const form = el("form", {
    class: "trial",
    submit: async (event) => {
      event.preventDefault();
      send.disabled = true;
      try {
        const sent = request(form, verb, path, operation, operation.security?.length ? await token() : "");
        const began = performance.now();
        const answer = await ask(sent.verb, sent.path, sent.headers, sent.body);
        result.replaceChildren(...answered(sent, answer, await answer.text(), performance.now() - began));
      } catch (error) {
        result.replaceChildren(el("p", { class: "status s5" }, `Not sent, or not answered: ${error.message}`));
      }
      send.disabled = false;
    },
  },
  el("h4", {}, "Try it"),
  own.map(labelled),
  operation.requestBody && el("label", {}, el("span", {}, "body"), json
    ? el("textarea", { name: "request body", rows: Math.min(example.split("\n").length + 1, 16), spellcheck: "false" }, example)
    : el("input", { name: "request body", type: "file" })),
  shared.length > 0 && el("details", {}, el("summary", {}, "More headers"), shared.map(labelled)),
  el("p", { class: "row" }, send, operation.security?.length > 0 && el("small", {}, "Sent with the token of Authorize.")),
  result);
  return form;
}
