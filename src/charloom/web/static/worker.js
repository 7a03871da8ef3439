// The shared worker that receives the server's event streams for all windows of a browser.
import { Streams } from "./streams.js";

const ports = new Map();
const streams = new Streams((window, name, data) => ports.get(window).postMessage([name, data]));

addEventListener("connect", ({ ports: [port] }) => {
  const window = ports.size;
  ports.set(window, port);
  port.addEventListener("message", ({ data }) => streams.subscribe(window, data));
  port.start();
});
