// Operations over HTTP, subscriptions over graphql-transport-ws.

/** Runs an operation; calls `next` for each result, `done` at its end. Returns a function that stops it. */
export function run(operation, token, { next, done }) {
  return isSubscription(operation) ? listen(operation, token, next, done) : ask(operation, token, next, done);
}

/** Whether the operation that would run is a subscription; comments and strings are no operations. */
export function isSubscription({ query, operationName }) {
  const plain = query.replace(/"""[\s\S]*?"""|"(?:\\.|[^"\\\n])*"|#[^\n]*/g, " ");
  const kinds = [...plain.matchAll(/\b(query|mutation|subscription)\b\s*(\w*)[^{}]*\{/g)];
  const chosen = kinds.find(([, , name]) => name === operationName) ?? kinds[0];
  return chosen?.[1] === "subscription";
}

function ask(operation, token, next, done) {
  const aborter = new AbortController();
  const headers = { "content-type": "application/json", accept: "application/graphql-response+json, application/json" };
  if (token) headers.authorization = `Bearer ${token}`;
  fetch("/graphql", { method: "POST", headers, body: JSON.stringify(operation), signal: aborter.signal })
    // As text: a number of the database has more digits than a number of JavaScript.
    .then((response) => response.text())
    .then(next, (error) => next(JSON.stringify({ errors: [{ message: error.message }] })))
    .finally(done);
  return () => aborter.abort();
}

function listen(operation, token, next, done) {
  const socket = new WebSocket(location.href.replace(/^http/, "ws"), "graphql-transport-ws");
  const send = (message) => socket.send(JSON.stringify(message));
  socket.onopen = () => send({ type: "connection_init", payload: { authToken: `Bearer ${token}` } });
  socket.onmessage = ({ data }) => {
    const { type, payload } = JSON.parse(data);
    if (type === "connection_ack") send({ id: "1", type: "subscribe", payload: operation });
    else if (type === "ping") send({ type: "pong" });
    else if (type === "next") next(payloadText(data));
    else if (type === "error") next(JSON.stringify({ errors: payload }));
    if (type === "error" || type === "complete") socket.close(1000);
  };
  socket.onclose = ({ code, reason }) => {
    if (code !== 1000) next(JSON.stringify({ errors: [{ message: `closed with ${code} ${reason}` }] }));
    done();
  };
  return () => socket.close(1000);
}

// The gateway writes the payload last.
function payloadText(data) {
  return data.slice(data.indexOf('"payload":') + '"payload":'.length, -1);
}
