// The console at /graphql: GraphiQL when it can be had, and a plain one that needs nobody else when it cannot.

import { show } from "/console/graphiql.js";
import { run } from "/console/transport.js";

const QUERY = `# A token is needed: gateway token --user … --username … --tenant …
{
  quotes(limit: 5)
}
`;

const at = (id) => document.getElementById(id);
const token = () => at("token").value.trim();
let stop = () => {};

at("token").value = sessionStorage.getItem("token") ?? "";
at("token").addEventListener("change", () => sessionStorage.setItem("token", token()));
if (!(await show(at("graphiql"), QUERY, token, run))) showPlain();

function showPlain() {
  at("plain").hidden = false;
  at("query").value = QUERY;
  at("request").addEventListener("submit", (event) => {
    event.preventDefault();
    start();
  });
  at("stop").addEventListener("click", () => stop());
  fetch("/schema.graphql")
    .then((response) => response.text())
    .then((text) => (at("schema").querySelector("pre").textContent = text));
}

function start() {
  stop();
  at("result").textContent = "";
  let variables;
  try {
    variables = JSON.parse(at("variables").value || "{}");
  } catch (error) {
    at("state").value = `variables: ${error.message}`;
    return;
  }
  running(true);
  stop = run({ query: at("query").value, variables }, token(), {
    next: (text) => (at("result").textContent = `${pretty(text)}\n${at("result").textContent}`),
    done: () => running(false),
  });
}

function running(now) {
  at("state").value = now ? "running" : "ended";
  at("stop").disabled = !now;
}

// Breaks lines without touching a number: a parser would round it.
function pretty(text) {
  let depth = 0;
  return text.replace(/"(?:\\.|[^"\\])*"|[{}[\],]/g, (part) => {
    if (part === "{" || part === "[") return `${part}\n${"  ".repeat(++depth)}`;
    if (part === "}" || part === "]") return `\n${"  ".repeat(--depth)}${part}`;
    return part === "," ? `,\n${"  ".repeat(depth)}` : part;
  });
}
