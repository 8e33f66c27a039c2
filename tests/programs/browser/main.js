// Posts to an HTTP service through a host and reports what came of it to the server of this page. The address of the
// page says where to: `?url=…&pin=…&len=…`, and `&late` to answer once all candidates are in the answer.

import { bytes, concat, hex, sha256, text } from "./bytes.js";
import { Signaling } from "./signaling.js";
import { Tunnel } from "./tunnel.js";

const parameters = new URLSearchParams(location.search);
const isLate = parameters.has("late");
/** More than the credit a stream begins with. */
const REQUEST_LEN = 1_000_000;
const report = { steps: {}, candidates: [] };
const step = (name) => (report.steps[name] = Math.round(performance.now()));

/** Answers the host's offer and returns the tunnel over the channel in it. */
async function meet(signaling, connection) {
  let carrier, tunnel;
  const opened = new Promise((resolve) => (connection.ondatachannel = ({ channel }) => {
    const { label, protocol, ordered, maxRetransmits, maxPacketLifeTime } = channel;
    report.channel = { label, protocol, ordered, maxRetransmits, maxPacketLifeTime };
    resolve((tunnel = new Tunnel(channel, carrier)));
  }));
  const gathered = new Promise((resolve) => (connection.onicecandidate = ({ candidate }) => {
    if (!candidate) return resolve();
    if (!candidate.candidate) return;
    report.candidates.push(candidate.candidate);
    if (!isLate) signaling.send({ type: "candidate", carrier, candidate: candidate.candidate });
  }));
  const handle = {
    offer: async (message) => {
      if (carrier) return;
      carrier = report.carrier = message.carrier;
      await connection.setRemoteDescription({ type: "offer", sdp: message.sdp });
      const answer = await connection.createAnswer();
      // Candidates are gathered from here on, so the answer goes before them.
      if (!isLate) signaling.send({ type: "answer", carrier, sdp: answer.sdp });
      await connection.setLocalDescription(answer);
      step("answered");
      gathered.then(() => {
        if (isLate) signaling.send({ type: "answer", carrier, sdp: connection.localDescription.sdp });
        signaling.send({ type: "end-of-candidates", carrier });
      });
    },
    candidate: ({ candidate, ...message }) =>
      message.carrier === carrier && connection.addIceCandidate({ candidate, sdpMLineIndex: 0 }),
    bye: (message) => { throw new Error(`the host gave up: ${message.reason}`); },
  };
  const listen = async () => {
    for (let message; (message = await signaling.receive()); ) await handle[message.type]?.(message);
    // Without signaling the attempt goes on, once both descriptions are there.
    if (!connection.localDescription) throw new Error("signaling ended before the answer was there");
    return opened;
  };
  const listening = listen();
  // Who listens goes on after the channel is there; what is said then still counts.
  tunnel = await Promise.race([opened, listening]);
  listening.catch((error) => tunnel.guard(() => { throw error; }));
  return tunnel;
}

/** Posts bytes to the service and checks the head of its answer. */
async function post(tunnel, len) {
  const body = Uint8Array.from({ length: REQUEST_LEN }, (_, index) => (index * index) >> 7);
  const stream = tunnel.connect(tunnel.hello.services[0].id);
  const head = `POST /${len} HTTP/1.1\r\nHost: service\r\nContent-Length: ${body.length}\r\nConnection: close\r\n\r\n`;
  stream.send(concat(bytes(head), body));
  const answer = await stream.done;
  const headLen = text(answer.subarray(0, 1024)).indexOf("\r\n\r\n") + 4;
  report.reset = stream.isReset;
  report.sent = { len: body.length, sha256: hex(await sha256(body)) };
  const content = answer.subarray(headLen);
  report.received = { len: content.length, sha256: hex(await sha256(content)) };
  report.frames = { received: stream.nextIn, overtaken: stream.overtaken, credits: stream.credits };
}

/** Creates the channel for datagrams, of which nothing is said to the host; a promise of it, open. */
function createDatagrams(connection) {
  const options = { negotiated: true, id: 100, ordered: false, maxRetransmits: 0, protocol: "pinhole.1" };
  const channel = connection.createDataChannel("pinhole-datagrams", options);
  return new Promise((resolve, reject) => {
    channel.onopen = () => resolve((report.datagrams = channel.readyState, channel));
    channel.onerror = () => reject(new Error("no channel for datagrams"));
  });
}

async function run() {
  const signaling = await Signaling.connect(parameters.get("url"), parameters.get("pin"));
  report.session = signaling.session;
  step("proved");
  signaling.send({ type: "network", direct: true, relay: false, udp: "unknown", mapping: "unknown", ipv6: false });
  const connection = new RTCPeerConnection();
  const datagrams = parameters.has("datagrams") && createDatagrams(connection);
  const tunnel = await meet(signaling, connection);
  step("channel");
  await tunnel.ready;
  await tunnel.answered;
  step("connected");
  signaling.close();
  // One that overtook its CONNECT, for all the host knows. It waits there and does nothing.
  if (datagrams) await datagrams.then((channel) => channel.send(Uint8Array.of(7, 0, 0, 99, 0, 0, 0, 0, 1, 2, 3)));
  await post(tunnel, Number(parameters.get("len")));
  step("answer");
  await tunnel.goAway();
  step("ended");
  connection.close();
}

try {
  await run();
} catch (error) {
  report.error = `${error}\n${error.stack}`;
}
await fetch("/report", { method: "POST", body: JSON.stringify(report) });
