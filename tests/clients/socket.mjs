// A WebSocket without manners, for everything the protocol forbids.
//
//   node socket.mjs --url ws://…/graphql [--protocol graphql-transport-ws] [--send TEXT …]
//
// Sends the texts in order, the next one as soon as a message came for the last (or at once behind `--hasty`), and
// prints every message and the close code as JSON lines. With `--close CODE` it closes once the last is answered.

import { parseArgs } from "node:util";
import WebSocket from "ws";

const { values: options } = parseArgs({
  options: {
    url: { type: "string" },
    protocol: { type: "string" },
    origin: { type: "string" },
    send: { type: "string", multiple: true, default: [] },
    // One argument of a process may not be 10 MB long: so many spaces are appended to the last text instead.
    pad: { type: "string", default: "0" },
    hasty: { type: "boolean", default: false },
    close: { type: "string" },
  },
});

function print(line) {
  process.stdout.write(`${JSON.stringify(line)}\n`);
}

const texts = [...options.send];
if (texts.length > 0) texts.push(texts.pop() + " ".repeat(Number(options.pad)));
const socket = new WebSocket(options.url, options.protocol ?? [], { origin: options.origin });

function sendNext() {
  if (texts.length > 0) socket.send(texts.shift());
  else if (options.close) socket.close(Number(options.close), "bye");
}

socket.on("open", () => {
  print({ type: "open", protocol: socket.protocol });
  sendNext();
  while (options.hasty && texts.length > 0) sendNext();
});
socket.on("message", (data) => {
  const message = JSON.parse(data);
  if (message.type === "ping") return socket.send('{"type":"pong"}');
  print({ type: "message", message });
  sendNext();
});
socket.on("unexpected-response", (_request, { statusCode }) => {
  print({ type: "refused", status: statusCode });
  process.exit(0);
});
socket.on("error", ({ message }) => print({ type: "error", message }));
socket.on("close", (code, reason) => {
  print({ type: "closed", code, reason: reason.toString() });
  process.exit(0);
});
