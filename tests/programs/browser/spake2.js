// The PAKE of docs/protocol.md, section 3: SPAKE2 on Ed25519, side A. Arithmetic by BigInt, as the formulas are
// written: neither constant in time nor fast, which a test can afford and a product cannot.

import { bytes, concat, fromHex, hkdf, sha256 } from "./bytes.js";

const P = 2n ** 255n - 19n;
const ORDER = 2n ** 252n + 27742317777372353535851937790883648493n;
const mod = (number, by = P) => ((number % by) + by) % by;

function power(base, exponent) {
  let result = 1n;
  for (base = mod(base); exponent > 0n; exponent >>= 1n, base = (base * base) % P) {
    if (exponent & 1n) result = (result * base) % P;
  }
  return result;
}

const inverse = (number) => power(number, P - 2n);
const D = mod(-121665n * inverse(121666n));
const ROOT_OF_MINUS_ONE = power(2n, (P - 1n) / 4n);

// Points are [X, Y, Z, T] with x = X/Z, y = Y/Z, xy = T/Z. The formula for sums is complete: it doubles, too.
const ZERO = [0n, 1n, 1n, 0n];

function add([x1, y1, z1, t1], [x2, y2, z2, t2]) {
  const a = mod((y1 - x1) * (y2 - x2));
  const b = mod((y1 + x1) * (y2 + x2));
  const c = mod(2n * D * t1 * t2);
  const d = mod(2n * z1 * z2);
  const [e, f, g, h] = [b - a, d - c, d + c, b + a];
  return [mod(e * f), mod(g * h), mod(f * g), mod(e * h)];
}

function multiply(point, scalar) {
  let result = ZERO;
  for (; scalar > 0n; scalar >>= 1n, point = add(point, point)) {
    if (scalar & 1n) result = add(result, point);
  }
  return result;
}

const fromLittleEndian = (array) => [...array].reduceRight((number, byte) => (number << 8n) | BigInt(byte), 0n);

/** RFC 8032: y in 255 bits, little-endian, and the lowest bit of x above them. */
function encode([x, y, z]) {
  const toOne = inverse(z);
  const number = mod(y * toOne) | ((mod(x * toOne) & 1n) << 255n);
  return Uint8Array.from({ length: 32 }, (_, index) => Number((number >> BigInt(8 * index)) & 255n));
}

function decode(array) {
  const number = fromLittleEndian(array);
  const [y, sign] = [number & (2n ** 255n - 1n), number >> 255n];
  const square = mod((y * y - 1n) * inverse(D * y * y + 1n));
  let x = power(square, (P + 3n) / 8n);
  if (mod(x * x) !== square) x = mod(x * ROOT_OF_MINUS_ONE);
  if (mod(x * x) !== square) throw new Error("no point of the curve");
  if ((x & 1n) !== sign) x = mod(-x);
  return [x, y, 1n, mod(x * y)];
}

const BASE = decode(fromHex("58" + "66".repeat(31)));
const M = decode(fromHex("15cfd18e385952982b6a8f8c7854963b58e34388c8e6dae891db756481a02312"));
const N = decode(fromHex("f04f2e7eb734b2a8f8b472eaf9c3c632576ac64aea650b496a8a20ff00e583c3"));

/** Starts the exchange: `message` goes to the host, `finish` takes the host's and returns the secret of both. */
export async function start(pin, client, host) {
  const password = bytes(pin);
  const wide = await hkdf(password, new Uint8Array(), "SPAKE2 pw", 48);
  const scalar = mod(fromLittleEndian(wide.toReversed()), ORDER);
  const secret = mod(fromLittleEndian(crypto.getRandomValues(new Uint8Array(64))), ORDER);
  const ours = encode(add(multiply(BASE, secret), multiply(M, scalar)));

  const finish = async (message) => {
    if (message.length !== 33 || message[0] !== "B".charCodeAt()) throw new Error("not the message of a side B");
    const theirs = message.slice(1);
    const unblinded = add(decode(theirs), multiply(N, ORDER - scalar));
    const shared = encode(multiply(unblinded, secret));
    const names = [await sha256(password), await sha256(bytes(client)), await sha256(bytes(host))];
    return sha256(...names, ours, theirs, shared);
  };
  return { message: concat(bytes("A"), ours), finish };
}
