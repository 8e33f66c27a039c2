// Byte arrays: joined, hashed, and as numbers and texts.

export const bytes = (text) => new TextEncoder().encode(text);
export const text = (array) => new TextDecoder().decode(array);
export const hex = (array) => [...array].map((byte) => byte.toString(16).padStart(2, "0")).join("");
export const fromHex = (digits) => Uint8Array.from(digits.match(/../g), (pair) => parseInt(pair, 16));
export const toBase64 = (array) => btoa(String.fromCharCode(...array));
export const fromBase64 = (text) => Uint8Array.from(atob(text), (character) => character.charCodeAt());
export const sha256 = async (...parts) => new Uint8Array(await crypto.subtle.digest("SHA-256", concat(...parts)));

export function concat(...parts) {
  const all = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  parts.reduce((at, part) => (all.set(part, at), at + part.length), 0);
  return all;
}

/** HKDF-SHA256, both steps. */
export async function hkdf(secret, salt, info, length) {
  const key = await crypto.subtle.importKey("raw", secret, "HKDF", false, ["deriveBits"]);
  const algorithm = { name: "HKDF", hash: "SHA-256", salt, info: bytes(info) };
  return new Uint8Array(await crypto.subtle.deriveBits(algorithm, key, length * 8));
}

/** Unsigned numbers on the wire; none here is above 2^53. */
export const toBigEndian = (number, length) =>
  Uint8Array.from({ length }, (_, index) => Math.floor(number / 256 ** (length - 1 - index)));
export const fromBigEndian = (array) => array.reduce((number, byte) => number * 256 + byte, 0);
