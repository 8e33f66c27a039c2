// The tunnel of docs/protocol.md, sections 1 and 2, from the client's side: one carrier, streams to service 0. It has
// no second carrier and so keeps no frame to send it again; everything else is there that a transfer needs.

import { bytes, concat, fromBigEndian, text, toBigEndian } from "./bytes.js";

const [CONNECT, DATA, CLOSE, ACCEPT, ABORT, CREDIT] = [1, 2, 3, 4, 5, 6];
const [HELLO, PING, PONG, GOAWAY, RESUME] = [16, 17, 18, 19, 20];
const FRAME_COST = 32;
/** The reason of an ABORT that has its place in the order of its stream. */
const RESET = 5;
/** What a stream of ours may have arrived and not taken, in units. It does not grow. */
const WINDOW = 65536;

function frame(type, generation, stream, sequence, payload = new Uint8Array()) {
  return concat(Uint8Array.of(type, generation), toBigEndian(stream, 2), toBigEndian(sequence, 4), payload);
}

export class Tunnel {
  /** Takes over a channel that the host opened for the carrier of that number. `ready` says when streams may go. */
  constructor(channel, carrier) {
    Object.assign(this, { channel, carrier, streams: new Map(), early: [], hello: null, saidHello: false });
    // Numbers of streams are the opener's to choose; one that none had yet has no generation before 0.
    this.nextStream = 1;
    this.ready = new Promise((resolve, reject) => Object.assign(this, { resolve, reject }));
    this.closed = new Promise((resolve) => (channel.onclose = resolve));
    this.answered = new Promise((resolve) => (this.handlePong = resolve));
    // A carrier above 1 begins with RESUME, on the first one there is nothing to resume.
    this.isResumed = carrier === 1;
    channel.binaryType = "arraybuffer";
    channel.onmessage = (event) => this.guard(() => this.handleMessage(new Uint8Array(event.data)));
  }

  /** Whatever goes wrong ends every stream. */
  guard(work) {
    try {
      work();
    } catch (error) {
      this.reject(error);
      this.streams.forEach((stream) => stream.fail(error));
    }
  }

  sendHello() {
    this.saidHello = true;
    const limits = { initial_credit: WINDOW, max_payload: 16384, max_streams: 16 };
    const hello = { versions: [1], agent: "browser/1", role: "client", ...limits, services: [], features: [] };
    this.sendSession(HELLO, bytes(JSON.stringify(hello)));
  }

  sendSession(type, payload) {
    this.channel.send(frame(type, 0, 0, 0, payload));
  }

  handleMessage(message) {
    // Chromium may lose what is sent as soon as a channel is said to be open. One that something came from is.
    if (!this.saidHello) this.sendHello();
    const [type, generation] = message;
    const [id, sequence] = [fromBigEndian(message.subarray(2, 4)), fromBigEndian(message.subarray(4, 8))];
    const payload = message.subarray(8);
    if (type !== HELLO && !this.hello) {
      this.early.push(message);
    } else if (type === HELLO) {
      this.handleHello(JSON.parse(text(payload)));
    } else if (type === PING) {
      this.sendSession(PONG, payload);
    } else if (type === PONG) {
      this.handlePong();
    } else if (type === GOAWAY) {
      throw new Error(`the host goes away: ${payload[0]} ${text(payload.subarray(1))}`);
    } else if (type === RESUME) {
      this.handleResume(payload);
    } else if (type <= CREDIT) {
      const stream = this.streams.get(id);
      if (stream?.generation === generation) stream.handleFrame(type, sequence, payload);
    } else if (type < 128) {
      throw new Error(`frame type ${type} is none of the protocol`);
    }
  }

  handleHello(hello) {
    if (this.hello) return;
    if (!hello.versions.includes(1) || hello.role !== "host") throw new Error("not a host of this protocol");
    this.hello = hello;
    // The first part of one, without entries.
    if (!this.isResumed) this.sendSession(RESUME, concat(toBigEndian(this.carrier, 4), Uint8Array.of(0, 0, 0, 1)));
    this.sendSession(PING, crypto.getRandomValues(new Uint8Array(8)));
    if (this.isResumed) this.resolve();
    this.early.splice(0).forEach((message) => this.handleMessage(message));
  }

  handleResume(list) {
    if (fromBigEndian(list.subarray(0, 4)) !== this.carrier || this.isResumed) return;
    if (list.length !== 8) throw new Error("the host resumes streams there never were");
    this.isResumed = true;
    this.resolve();
  }

  /** Opens a stream to a service of the host. */
  connect(service) {
    const stream = new Stream(this, this.nextStream++, 0);
    this.streams.set(stream.id, stream);
    stream.sendSequenced(CONNECT, concat(Uint8Array.of(0), toBigEndian(service, 2)));
    return stream;
  }

  /** Says that the session is over, and waits for the host to end it. */
  async goAway() {
    this.sendSession(GOAWAY, Uint8Array.of(1, ...bytes("done")));
    await this.closed;
  }
}

class Stream {
  constructor(tunnel, id, generation) {
    Object.assign(this, { tunnel, id, generation });
    // Sending: frames wait for credit, then for their acknowledgement.
    Object.assign(this, { nextOut: 0, acknowledged: 0, used: 0, limitOut: tunnel.hello.initial_credit, waiting: [] });
    // Receiving: frames wait for those before them.
    Object.assign(this, { nextIn: 0, arrived: 0, taken: 0, limitIn: WINDOW, ahead: new Map(), chunks: [] });
    Object.assign(this, { isAccepted: false, isEnded: false, isReset: false, acknowledgement: null, credits: 0, overtaken: 0 });
    this.done = new Promise((resolve, reject) => Object.assign(this, { finish: resolve, fail: reject }));
  }

  sendSequenced(type, payload) {
    this.tunnel.channel.send(frame(type, this.generation, this.id, this.nextOut, payload));
    this.nextOut += 1;
  }

  /** Sends these bytes and the end of our direction, as credit allows. */
  send(data) {
    const { max_payload } = this.tunnel.hello;
    for (let at = 0; at < data.length; at += max_payload) this.waiting.push(data.subarray(at, at + max_payload));
    this.pump();
  }

  pump() {
    while (this.waiting.length > 0 && this.used + FRAME_COST + this.waiting[0].length <= this.limitOut) {
      const payload = this.waiting.shift();
      this.used += FRAME_COST + payload.length;
      this.sendSequenced(DATA, payload);
      if (this.waiting.length === 0) this.sendSequenced(CLOSE);
    }
  }

  handleFrame(type, sequence, payload) {
    if (type === ABORT && (payload[0] !== RESET || sequence < this.nextIn)) throw new Error(`aborted: ${payload[0]} ${text(payload.subarray(1))}`);
    if (type === CREDIT) return this.handleCredit(payload);
    if (sequence < this.nextIn || this.ahead.has(sequence)) throw new Error(`sequence ${sequence} came twice`);
    // Nothing is taken any more, whatever is still missing of what comes.
    if (type === ABORT) Object.assign(this, { isReset: true, waiting: [] });
    if (type === DATA) this.arrived += FRAME_COST + payload.length;
    if (this.arrived > this.limitIn) throw new Error("the host sent more than it was granted");
    if (sequence !== this.nextIn) this.overtaken += 1;
    this.ahead.set(sequence, { type, payload });
    for (let next; (next = this.ahead.get(this.nextIn)); this.nextIn += 1) {
      this.ahead.delete(this.nextIn);
      this.take(next);
    }
    if (this.isEnded || this.taken + WINDOW - this.limitIn >= WINDOW / 4) this.sendCredit();
    else this.acknowledgement ??= setTimeout(() => this.sendCredit(), 500);
    this.settle();
  }

  take({ type, payload }) {
    if ((type === ACCEPT) === this.isAccepted) throw new Error("a direction begins with one ACCEPT");
    if (this.isEnded && type !== ABORT) throw new Error("a frame behind CLOSE");
    if (type === ACCEPT) this.isAccepted = true;
    if (type === CLOSE || type === ABORT) this.isEnded = true;
    if (type !== DATA) return;
    this.chunks.push(payload);
    this.taken += FRAME_COST + payload.length;
  }

  sendCredit() {
    clearTimeout(this.acknowledgement);
    this.acknowledgement = null;
    this.limitIn = this.taken + WINDOW;
    this.credits += 1;
    const payload = concat(toBigEndian(this.limitIn, 8), toBigEndian(this.nextIn, 4));
    this.tunnel.channel.send(frame(CREDIT, this.generation, this.id, 0, payload));
  }

  handleCredit(payload) {
    this.limitOut = Math.max(this.limitOut, fromBigEndian(payload.subarray(0, 8)));
    this.acknowledged = Math.max(this.acknowledged, fromBigEndian(payload.subarray(8)));
    this.pump();
    this.settle();
  }

  /** The stream is over when the host's end came and the host has all of ours, or wants none of it. */
  settle() {
    const isAcknowledged = this.isReset || this.waiting.length === 0 && this.acknowledged === this.nextOut;
    if (this.isEnded && isAcknowledged) this.finish(concat(...this.chunks));
  }
}
