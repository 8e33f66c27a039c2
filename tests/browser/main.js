// Fetches one HTTP resource through a host and reports what it got to the server of this page. The address of the
// page says where to: `?url=…&pin=…&len=…`, and `&descriptions` to put candidates into the answer, too.

import { Signaling } from "./signaling.js";
import { bytes, concat, sha256 } from "./spake2.js";
import { Tunnel } from "./tunnel.js";

const parameters = new URLSearchParams(location.search);
/** More than the credit a stream begins with. */
const REQUEST_LEN = 1_000_000;
const report = { steps: {}, candidates: [] };
const step = (name) => (report.steps[name] = Math.round(performance.now()));
const hex = (array) => [...array].map((byte) => byte.toString(16).padStart(2, "0")).join("");

/** Answers the host's offer and returns the tunnel over the channel in it. */
async function meet(signaling, connection) {
  let carrier, tunnel;
  const opened = new Promise((resolve) => (connection.ondatachannel = ({ channel }) => {
    const { label, protocol, ordered, maxRetransmits, maxPacketLifeTime } = channel;
    report.channel = { label, protocol, ordered, maxRetransmits, maxPacketLifeTime };
    resolve((tunnel = new Tunnel(channel, carrier)));
  }));
  connection.onicecandidate = ({ candidate }) => {
    if (candidate?.candidate) report.candidates.push(candidate.candidate);
    if (candidate?.candidate) signaling.send({ type: "candidate", carrier, candidate: candidate.candidate });
    else if (!candidate) signaling.send({ type: "end-of-candidates", carrier });
  };
  const handle = {
    offer: async (message) => {
      carrier = report.carrier = message.carrier;
      await connection.setRemoteDescription({ type: "offer", sdp: message.sdp });
      const answer = await connection.createAnswer();
      // Candidates are gathered from here on, so the answer goes before them.
      if (!parameters.has("descriptions")) signaling.send({ type: "answer", carrier, sdp: answer.sdp });
      await connection.setLocalDescription(answer);
      if (parameters.has("descriptions")) {
        await new Promise((resolve) => (connection.onicegatheringstatechange = () => {
          if (connection.iceGatheringState === "complete") resolve();
        }));
        signaling.send({ type: "answer", carrier, sdp: connection.localDescription.sdp });
      }
      step("answered");
    },
    candidate: (message) =>
      message.carrier === carrier && connection.addIceCandidate({ candidate: message.candidate, sdpMLineIndex: 0 }),
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
async function fetchThrough(tunnel, len) {
  const body = Uint8Array.from({ length: REQUEST_LEN }, (_, index) => (index * index) >> 7);
  const stream = tunnel.connect(tunnel.hello.services[0].id);
  const head = `POST /${len} HTTP/1.1\r\nHost: service\r\nContent-Length: ${body.length}\r\nConnection: close\r\n\r\n`;
  stream.send(concat(bytes(head), body));
  const answer = await stream.done;
  const text = new TextDecoder("latin1").decode(answer.subarray(0, 1024));
  const headLen = text.indexOf("\r\n\r\n") + 4;
  report.head = text.slice(0, headLen);
  report.sent = { len: body.length, sha256: hex(await sha256(body)) };
  const content = answer.subarray(headLen);
  report.received = { len: content.length, sha256: hex(await sha256(content)) };
  report.frames = { received: stream.nextIn, overtaken: stream.overtaken, credits: stream.credits };
}

async function run() {
  const signaling = await Signaling.connect(parameters.get("url"), parameters.get("pin"));
  report.session = signaling.session;
  step("proved");
  const connection = new RTCPeerConnection();
  const tunnel = await meet(signaling, connection);
  step("channel");
  await tunnel.ready;
  await tunnel.answered;
  step("connected");
  signaling.close();
  await fetchThrough(tunnel, Number(parameters.get("len")));
  step("fetched");
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
