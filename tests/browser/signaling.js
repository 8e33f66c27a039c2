// Signaling as docs/protocol.md, section 3, describes it, from the client's side: the pin is proved, then every
// message is sealed.

import { bytes, concat, hkdf, sha256, start } from "./spake2.js";

const toBase64 = (array) => btoa(String.fromCharCode(...array));
const fromBase64 = (text) => Uint8Array.from(atob(text), (character) => character.charCodeAt());

function bigEndian64(number) {
  const array = new Uint8Array(8);
  new DataView(array.buffer).setBigUint64(0, BigInt(number));
  return array;
}

/** Returns a function that waits for the next text of a socket; `null` is its end. */
function reader(socket) {
  const texts = [];
  let wake = () => {};
  const push = (text) => (texts.push(text), wake());
  socket.onmessage = (event) => push(event.data);
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
      const text = await next();
      const message = JSON.parse(text);
      if (message?.type !== type) throw new Error(`not a ${type}: ${text}`);
      return { text, message };
    };
    await new Promise((resolve, reject) => {
      socket.onopen = resolve;
      socket.onerror = () => reject(new Error("no WebSocket"));
    });

    const pake = await start(pin, "pinhole client", "pinhole host");
    const hello = JSON.stringify({ type: "hello", versions: [1], pake: toBase64(pake.message) });
    socket.send(hello);
    const answer = await expect("hello");
    if (answer.message.version !== 1) throw new Error(`version ${answer.message.version} was not offered`);
    const secret = await pake.finish(fromBase64(answer.message.pake));

    const texts = [hello, answer.text].map(bytes);
    const transcript = await sha256(...texts.flatMap((text) => [bigEndian64(text.length), text]));
    const derive = (label, length = 32) => hkdf(secret, transcript, label, length);
    const confirm = async (role) => {
      const algorithm = { name: "HMAC", hash: "SHA-256" };
      const key = await crypto.subtle.importKey("raw", await derive(role), algorithm, false, ["sign"]);
      return toBase64(new Uint8Array(await crypto.subtle.sign("HMAC", key, concat(bytes(role), transcript))));
    };
    socket.send(JSON.stringify({ type: "confirm", mac: await confirm("client confirm") }));
    const proof = await expect("confirm");
    if (proof.message.mac !== (await confirm("host confirm"))) throw new Error("the host does not know the pin");

    const sealingKey = async (label) => {
      const usages = ["encrypt", "decrypt"];
      return crypto.subtle.importKey("raw-secret", await derive(label), "ChaCha20-Poly1305", false, usages);
    };
    const signaling = new Signaling();
    signaling.session = [...(await derive("session", 16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
    Object.assign(signaling, { socket, next, sealed: 0, opened: 0, sending: Promise.resolve() });
    signaling.sealer = await sealingKey("client to host");
    signaling.opener = await sealingKey("host to client");
    return signaling;
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
    const text = await this.next();
    if (text === null) return null;
    const message = JSON.parse(text);
    if (message.type !== "sealed" || message.n !== this.opened++) throw new Error(`not the next message: ${text}`);
    const plain = await crypto.subtle.decrypt(parameters(message.n), this.opener, fromBase64(message.box));
    return JSON.parse(new TextDecoder().decode(plain));
  }

  close() {
    this.socket.close(1000, "connected");
  }
}

function parameters(n) {
  const iv = concat(new Uint8Array(4), bigEndian64(n));
  return { name: "ChaCha20-Poly1305", iv, additionalData: bytes("text"), tagLength: 128 };
}
