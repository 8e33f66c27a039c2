// Signaling as docs/protocol.md, section 3, describes it, from the client's side: the pin is proved, then every
// message is sealed.

import { bytes, concat, fromBase64, hex, hkdf, sha256, text, toBase64, toBigEndian } from "./bytes.js";
import { start } from "./spake2.js";

/** Returns a function that waits for the next text of a socket; `null` is its end. */
function reader(socket) {
  const texts = [];
  let wake = () => {};
  const push = (next) => (texts.push(next), wake());
  socket.onmessage = ({ data }) => push(data);
  socket.onclose = () => push(null);
  return async () => {
    while (texts.length === 0) await new Promise((resolve) => (wake = resolve));
    return texts.shift();
  };
}

export class Signaling {
  /** Proves the pin to the host at `url` and has the host prove it. */
  static async connect(url, pin) {
    const socket = new WebSocket(url, "pinhole-signal.1");
    const next = reader(socket);
    const expect = async (type) => {
      const answer = await next();
      const message = JSON.parse(answer);
      if (message?.type !== type) throw new Error(`not a ${type}: ${answer}`);
      return { ...message, answer };
    };
    await new Promise((resolve, reject) => {
      socket.onopen = resolve;
      socket.onerror = () => reject(new Error("no WebSocket"));
    });

    const pake = await start(pin, "pinhole client", "pinhole host");
    const hello = JSON.stringify({ type: "hello", versions: [1], pake: toBase64(pake.message) });
    socket.send(hello);
    const theirs = await expect("hello");
    if (theirs.version !== 1) throw new Error(`version ${theirs.version} was not offered`);
    const secret = await pake.finish(fromBase64(theirs.pake));

    const hellos = [hello, theirs.answer].map(bytes);
    const transcript = await sha256(...hellos.flatMap((array) => [toBigEndian(array.length, 8), array]));
    const derive = (label, length = 32) => hkdf(secret, transcript, label, length);
    const confirm = async (role) => {
      const algorithm = { name: "HMAC", hash: "SHA-256" };
      const key = await crypto.subtle.importKey("raw", await derive(role), algorithm, false, ["sign"]);
      return toBase64(new Uint8Array(await crypto.subtle.sign("HMAC", key, concat(bytes(role), transcript))));
    };
    socket.send(JSON.stringify({ type: "confirm", mac: await confirm("client confirm") }));
    if ((await expect("confirm")).mac !== (await confirm("host confirm"))) throw new Error("the host does not know the pin");

    const key = async (label, usage) =>
      crypto.subtle.importKey("raw-secret", await derive(label), "ChaCha20-Poly1305", false, [usage]);
    const [sealer, opener] = [await key("client to host", "encrypt"), await key("host to client", "decrypt")];
    const fields = { socket, next, sealer, opener, sealed: 0, opened: 0, sending: Promise.resolve() };
    return Object.assign(new Signaling(), { session: hex(await derive("session", 16)), ...fields });
  }

  /** Seals and sends a message. Messages leave in the order of the calls. */
  send(message) {
    const n = this.sealed++;
    const box = crypto.subtle.encrypt(parameters(n), this.sealer, bytes(JSON.stringify(message)));
    this.sending = this.sending.then(async () => {
      this.socket.send(JSON.stringify({ type: "sealed", n, box: toBase64(new Uint8Array(await box)) }));
    });
  }

  /** Waits for the host's next message; `null` is the end. */
  async receive() {
    const next = await this.next();
    if (next === null) return null;
    const { type, n, box } = JSON.parse(next);
    if (type !== "sealed" || n !== this.opened++) throw new Error(`not the next message: ${next}`);
    return JSON.parse(text(await crypto.subtle.decrypt(parameters(n), this.opener, fromBase64(box))));
  }

  close() {
    this.socket.close(1000, "connected");
  }
}

function parameters(n) {
  const iv = concat(new Uint8Array(4), toBigEndian(n, 8));
  return { name: "ChaCha20-Poly1305", iv, additionalData: bytes("text"), tagLength: 128 };
}
