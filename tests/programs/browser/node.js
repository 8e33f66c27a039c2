// The page in Node.js: the same scripts over usrsctp, which is what `node-datachannel` (npm) is made of. Arguments: the page's
// address, and the folder that the package was installed in.

import { createCipheriv, createDecipheriv } from "node:crypto";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const [page, folder] = process.argv.slice(2);
const require = createRequire(`${folder}/package.json`);
const { RTCPeerConnection } = await import(pathToFileURL(require.resolve("node-datachannel/polyfill")));

const { subtle } = crypto;
const CHACHA = "ChaCha20-Poly1305";

/** What `crypto.subtle` of this Node.js may lack. A key is its bytes. */
const chacha = {
  importKey: (format, key, ...rest) => rest[0] === CHACHA ? key : subtle.importKey(format, key, ...rest),
  async encrypt({ iv, additionalData, tagLength }, key, data) {
    const cipher = createCipheriv("chacha20-poly1305", key, iv, { authTagLength: tagLength / 8 });
    cipher.setAAD(additionalData, { plaintextLength: data.length });
    return Buffer.concat([cipher.update(data), cipher.final(), cipher.getAuthTag()]);
  },
  async decrypt({ iv, additionalData, tagLength }, key, box) {
    const end = box.length - tagLength / 8;
    const decipher = createDecipheriv("chacha20-poly1305", key, iv, { authTagLength: tagLength / 8 });
    decipher.setAAD(additionalData, { plaintextLength: end });
    decipher.setAuthTag(box.subarray(end));
    return Buffer.concat([decipher.update(box.subarray(0, end)), decipher.final()]);
  },
};
const own = (name) => chacha[name] ?? (typeof subtle[name] === "function" ? subtle[name].bind(subtle) : subtle[name]);
Object.defineProperty(crypto, "subtle", { value: new Proxy({}, { get: (_, name) => own(name) }) });

const { fetch } = globalThis;
Object.assign(globalThis, {
  RTCPeerConnection,
  location: new URL(page),
  fetch: (path, options) => fetch(new URL(path, page), options),
});
await import("./main.js");
process.exit();
