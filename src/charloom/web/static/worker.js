// The shared worker, through which all windows of a browser hear the server's event streams.
import { Streams } from "./streams.js";

const ports = new Map();
const streams = new Streams((window, name, data) => ports.get(window).postMessage([name, data]));

addEventListener("connect", ({ ports: [port] }) => {
  const window = ports.size;
  ports.set(window, port);
  port.addEventListener("message", ({ data }) => streams.wish(window, data));
  port.start();
});
