// The shared worker: one for all windows of a browser, which hear through it what the server streams.
import { Streams } from "./streams.js";

const ports = new Map();
const streams = new Streams((window, name, data) => ports.get(window).postMessage([name, data]));

addEventListener("connect", ({ ports: [port] }) => {
  const window = ports.size;
  ports.set(window, port);
  port.addEventListener("message", ({ data }) => streams.wish(window, data));
  port.start();
});
