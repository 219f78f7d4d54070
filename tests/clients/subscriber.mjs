// A subscriber as users have it: the npm package graphql-ws, unchanged, told only where to resume.
//
//   node subscriber.mjs --url ws://…/graphql --token JWT --quote ID [--quote ID …] [--kind quote,line,presence] [--after CURSOR]
//
// Prints one JSON object a line: connected, event, error, closed, complete. A line {"token": JWT} on stdin is used
// from the next connection on, {"terminate": true} cuts the connection, {"quit": true} ends the process.

import { createInterface } from "node:readline";
import { parseArgs } from "node:util";
import { createClient } from "graphql-ws";
import WebSocket from "ws";

const EVENT = "eventId timestamp tenantId quoteId userId userName eventType changeType version cursor changes { field oldValue newValue }";
const QUERIES = {
  quote: `subscription ($quoteId: ID!, $after: String) { quoteChanged(quoteId: $quoteId, after: $after) { ${EVENT} } }`,
  line: `subscription ($quoteId: ID!, $after: String) {
    quoteLineChanged(quoteId: $quoteId, after: $after) { ${EVENT} lineId lineNumber }
  }`,
  presence: `subscription ($quoteId: ID!) {
    presenceUpdated(quoteId: $quoteId) {
      quoteId activeUsers { userId userName userEmail status currentLine currentField cursorPosition lastSeen }
    }
  }`,
};
const RETRY_MS = 100;

const { values: options } = parseArgs({
  options: {
    url: { type: "string" },
    token: { type: "string" },
    quote: { type: "string", multiple: true },
    kind: { type: "string", default: "quote,line" },
    after: { type: "string" },
  },
});
let { token } = options;

function print(line) {
  process.stdout.write(`${JSON.stringify(line)}\n`);
}

const jittered = (milliseconds) => milliseconds * (0.5 + Math.random());
const pause = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));

const client = createClient({
  url: options.url,
  webSocketImpl: WebSocket,
  connectionParams: () => ({ authToken: `Bearer ${token}` }),
  keepAlive: 10_000,
  retryAttempts: Infinity,
  retryWait: (retries) => pause(jittered(Math.min(RETRY_MS * 2 ** retries, 2_000))),
  // A gateway that is being restarted refuses the connection: no close code, and no reason to give up.
  shouldRetry: () => true,
  on: {
    connected: () => print({ type: "connected" }),
    closed: ({ code, reason }) => print({ type: "closed", code, reason }),
  },
});

function subscribe(kind, quoteId, after) {
  // The client sends this object again after a reconnection, so the newest cursor in it is where it resumes.
  const variables = { quoteId, after };
  const again = () => setTimeout(() => subscribe(kind, quoteId, variables.after), jittered(RETRY_MS));
  client.subscribe(
    { query: QUERIES[kind], variables },
    {
      next: ({ data, errors }) => {
        if (errors) return print({ type: "error", kind, quoteId, errors });
        const [event] = Object.values(data);
        variables.after = event.cursor;
        print({ type: "event", kind, quoteId, event });
      },
      error: (error) => {
        const errors = Array.isArray(error) ? error : [{ message: String(error?.reason ?? error), code: error?.code }];
        print({ type: "error", kind, quoteId, errors });
        if (errors[0].extensions?.code === "LAGGED") again();
      },
      complete: () => print({ type: "complete", kind, quoteId }),
    },
  );
}

for (const quoteId of options.quote) for (const kind of options.kind.split(",")) subscribe(kind, quoteId, options.after);

createInterface({ input: process.stdin }).on("line", (line) => {
  const command = JSON.parse(line);
  if (command.token) ({ token } = command);
  if (command.terminate) client.terminate();
  if (command.quit) process.exit(0);
});
