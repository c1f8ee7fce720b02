// Clients of ts-mls, driven by JSON lines: {"op", "who", …} on standard input, {"ok": …} or {"error": …} on standard
// output, one answer for each request and in order. Byte strings are hexadecimal. tests/mls/interop/ts_mls.py drives it.
import { createHash } from "node:crypto";
import { createInterface } from "node:readline";

import { Aes128Gcm, CipherSuite, HkdfSha256 } from "@hpke/core";
import { XWing } from "@hpke/hybridkem-x-wing";
import * as mls from "ts-mls";
import { encode } from "ts-mls/codec/tlsEncoder.js";
import { decodeVarLenData, varLenDataEncoder } from "ts-mls/codec/variableLength.js";
import { createGroupInfoWithRatchetTree } from "ts-mls/createCommit.js";
import { ratchetTreeEncoder } from "ts-mls/ratchetTree.js";
import { makeGenericHpke } from "ts-mls/crypto/implementation/hpke.js";

const hex = (bytes) => Buffer.from(bytes).toString("hex");
const bytes = (text) => new Uint8Array(Buffer.from(text, "hex"));

// ── cipher suites ───────────────────────────────────────────────────────────────────────────────────────────────────

/** DeriveKeyPair of the one-stage KEMs of draft-ietf-hpke-pq: LabeledDerive with SHAKE256. */
function draftSeed(ikm, kemId = 0x647a, size = 32) {
  const label = Buffer.from("DeriveKeyPair");
  const u16 = (value) => Buffer.from([value >> 8, value & 0xff]);
  const parts = [ikm, Buffer.from("HPKE-v1KEM"), u16(kemId), u16(label.length), label, u16(size)];
  return createHash("shake256", { outputLength: size }).update(Buffer.concat(parts)).digest();
}

/** The partner's X-Wing, but with key pairs derived as the draft says; its own way is SHAKE256(ikm, 32). */
class DraftXWing extends XWing {
  async deriveKeyPair(ikm) {
    return this.generateKeyPairDerand(new Uint8Array(draftSeed(Buffer.from(ikm))));
  }
}

/** Suite 0xF001: 0x0001 with another KEM. ts-mls keeps the numbers that it does not know as decimal names. */
async function draftSuite() {
  const base = await mls.getCiphersuiteImpl(mls.getCiphersuiteFromName("MLS_128_DHKEMX25519_AES128GCM_SHA256_Ed25519"));
  const suite = new CipherSuite({ kem: new DraftXWing(), kdf: new HkdfSha256(), aead: new Aes128Gcm() });
  const aead = {
    encrypt: (key, nonce, aad, plaintext) => base.hpke.encryptAead(key, nonce, aad, plaintext),
    decrypt: (key, nonce, aad, ciphertext) => base.hpke.decryptAead(key, nonce, aad, ciphertext),
  };
  return { ...base, hpke: await makeGenericHpke({ kem: "X-Wing" }, aead, suite), name: String(0xf001) };
}

const SUITES = {
  0x0001: () => mls.getCiphersuiteImpl(mls.getCiphersuiteFromName("MLS_128_DHKEMX25519_AES128GCM_SHA256_Ed25519")),
  0x0003: () =>
    mls.getCiphersuiteImpl(mls.getCiphersuiteFromName("MLS_128_DHKEMX25519_CHACHA20POLY1305_SHA256_Ed25519")),
  83: () => mls.getCiphersuiteImpl(mls.getCiphersuiteFromName("MLS_256_XWING_AES256GCM_SHA512_Ed25519")),
  0xf001: draftSuite,
};
const made = new Map();
const suiteOf = (number) => made.get(number) ?? made.set(number, SUITES[number]()).get(number);

function nameOf(number) {
  return Object.keys(mls.ciphersuites).find((name) => mls.ciphersuites[name] === number);
}

// ── clients ─────────────────────────────────────────────────────────────────────────────────────────────────────────

/** name → {suite, publicPackage, privatePackage, state, pending, psks} */
const clients = new Map();

const DAY = 86_400;

async function makeClient({ who, suite, identity, forever }) {
  const now = Math.floor(Date.now() / 1000);
  const impl = await suiteOf(suite);
  const credential = { credentialType: "basic", identity: bytes(identity) };
  const capabilities = mls.defaultCapabilities();
  capabilities.ciphersuites.push(impl.name);
  const week = { notBefore: BigInt(now - DAY), notAfter: BigInt(now + 7 * DAY) };
  const lifetime = forever ? mls.defaultLifetime : week;
  const packages = await mls.generateKeyPackage(credential, capabilities, lifetime, [], impl);
  clients.set(who, { suite: impl, ...packages, state: undefined, pending: undefined, psks: {} });
}

function message(wireformat, field, value) {
  return hex(mls.encodeMlsMessage({ version: "mls10", wireformat, [field]: value }));
}

function decoded(text) {
  const data = bytes(text);
  const result = mls.decodeMlsMessage(data, 0);
  if (result === undefined || result[1] !== data.length) throw new Error("not an MLSMessage");
  return result[0];
}

function leafOf(state, identity) {
  const node = state.ratchetTree.findIndex(
    (each) => each?.nodeType === "leaf" && hex(each.leaf.credential.identity) === identity,
  );
  if (node < 0) throw new Error(`no member ${identity}`);
  return node / 2;
}

const pskIndex = (client) => mls.makePskIndex(client.state, client.psks);

function proposalOf(client, wanted) {
  if (wanted.add !== undefined) return { proposalType: "add", add: { keyPackage: decoded(wanted.add).keyPackage } };
  if (wanted.remove !== undefined)
    return { proposalType: "remove", remove: { removed: leafOf(client.state, wanted.remove) } };
  if (wanted.extension !== undefined) {
    const [extensionType, data] = wanted.extension;
    const extensions = [{ extensionType, extensionData: bytes(data) }];
    return { proposalType: "group_context_extensions", groupContextExtensions: { extensions } };
  }
  if (wanted.reinit !== undefined) {
    const [group, suite] = wanted.reinit;
    const reinit = { groupId: bytes(group), version: "mls10", cipherSuite: nameOf(suite), extensions: [] };
    return { proposalType: "reinit", reinit };
  }
  const nonce = client.suite.rng.randomBytes(client.suite.kdf.size);
  return {
    proposalType: "psk",
    psk: { preSharedKeyId: { psktype: "external", pskId: bytes(wanted.psk), pskNonce: nonce } },
  };
}

const operations = {
  async create(client, { group }) {
    const { publicPackage, privatePackage, suite } = client;
    client.state = await mls.createGroup(bytes(group), publicPackage, privatePackage, [], suite);
  },

  key_package: (client) => message("mls_key_package", "keyPackage", client.publicPackage),

  async join(client, { welcome }) {
    const { publicPackage, privatePackage, suite } = client;
    const read = decoded(welcome).welcome;
    client.state = await mls.joinGroup(read, publicPackage, privatePackage, pskIndex(client), suite);
  },

  // A successor is made or joined by a new client that knows the state of an old one.
  async succeed(client, { old, key_packages, group, branch }) {
    const { publicPackage, privatePackage, suite } = client;
    const { state } = clients.get(old);
    const packages = key_packages.map((each) => decoded(each).keyPackage);
    const id = bytes(group);
    const made = branch
      ? await mls.branchGroup(state, publicPackage, privatePackage, packages, id, suite)
      : await mls.reinitCreateNewGroup(state, publicPackage, privatePackage, packages, id, suite.name, []);
    client.state = made.newState;
    const tree = encode(ratchetTreeEncoder)(client.state.ratchetTree);
    return { welcome: message("mls_welcome", "welcome", made.welcome), tree: hex(tree) };
  },

  async join_successor(client, { welcome, old, branch }) {
    const { publicPackage, privatePackage, suite } = client;
    const { state } = clients.get(old);
    const read = decoded(welcome).welcome;
    client.state = branch
      ? await mls.joinGroupFromBranch(state, read, publicPackage, privatePackage, undefined, suite)
      : await mls.joinGroupFromReinit(state, read, publicPackage, privatePackage, undefined);
  },

  // ts-mls takes the data of the extension external_pub for the key itself, where RFC 9420 §12.4.3.2 has a vector in it.
  // With `strict` the driver makes up for it, without it ts-mls is as it comes.
  async join_by_external_commit(client, { group_info, resync, strict }) {
    const { publicPackage, privatePackage, suite } = client;
    const info = decoded(group_info).groupInfo;
    const data = info.extensions.find((each) => each.extensionType === "external_pub")?.extensionData;
    const read = (key) => suite.hpke.importPublicKey(key === data ? decodeVarLenData(key, 0)[0] : key);
    const impl = strict ? { ...suite, hpke: { ...suite.hpke, importPublicKey: read } } : suite;
    const joined = await mls.joinGroupExternal(info, publicPackage, privatePackage, resync, impl);
    client.state = joined.newState;
    return message("mls_public_message", "publicMessage", joined.publicMessage);
  },

  async group_info(client, { strict }) {
    const { state, suite } = client;
    if (!strict) {
      const info = await mls.createGroupInfoWithExternalPubAndRatchetTree(state, [], suite);
      return message("mls_group_info", "groupInfo", info);
    }
    const pair = await suite.hpke.deriveKeyPair(state.keySchedule.externalSecret);
    const key = await suite.hpke.exportPublicKey(pair.publicKey);
    const extension = { extensionType: "external_pub", extensionData: encode(varLenDataEncoder)(key) };
    const { groupContext, confirmationTag, ratchetTree } = state;
    const info = await createGroupInfoWithRatchetTree(
      groupContext,
      confirmationTag,
      state,
      ratchetTree,
      [extension],
      suite,
    );
    return message("mls_group_info", "groupInfo", info);
  },

  async commit(client, { proposals, wire_public }) {
    const context = { state: client.state, cipherSuite: client.suite, pskIndex: pskIndex(client) };
    const result = await mls.createCommit(context, {
      wireAsPublicMessage: wire_public,
      extraProposals: proposals.map((wanted) => proposalOf(client, wanted)),
      ratchetTreeExtension: true,
    });
    client.pending = result.newState;
    const welcomes = result.welcome === undefined ? [] : [message("mls_welcome", "welcome", result.welcome)];
    return { commit: hex(mls.encodeMlsMessage(result.commit)), welcomes };
  },

  merge(client) {
    client.state = client.pending;
    client.pending = undefined;
  },

  async propose(client, { proposal, wire_public }) {
    const wanted = proposalOf(client, proposal);
    const result = await mls.createProposal(client.state, wire_public, wanted, client.suite);
    client.state = result.newState;
    return hex(mls.encodeMlsMessage(result.message));
  },

  async process(client, request) {
    const read = decoded(request.message);
    // Not processMessage, which hands no PSKs on to processPrivateMessage.
    const result =
      read.wireformat === "mls_public_message"
        ? await mls.processPublicMessage(client.state, read.publicMessage, pskIndex(client), client.suite)
        : await mls.processPrivateMessage(client.state, read.privateMessage, pskIndex(client), client.suite);
    client.state = result.newState;
    client.pending = undefined;
    return result.kind === "applicationMessage" ? hex(result.message) : null;
  },

  async encrypt(client, { data }) {
    const result = await mls.createApplicationMessage(client.state, bytes(data), client.suite);
    client.state = result.newState;
    return message("mls_private_message", "privateMessage", result.privateMessage);
  },

  async export_secret(client, { label, context, length }) {
    const { exporterSecret } = client.state.keySchedule;
    return hex(await mls.mlsExporter(exporterSecret, label, bytes(context), length, client.suite));
  },

  psk(client, { id, secret }) {
    client.psks[mls.bytesToBase64(bytes(id))] = bytes(secret);
  },

  authenticator: (client) => hex(client.state.keySchedule.epochAuthenticator),
  active: (client) => client.state.groupActiveState.kind === "active",
  epoch: (client) => Number(client.state.groupContext.epoch),
};

// ── the KEM alone ───────────────────────────────────────────────────────────────────────────────────────────────────

const primitives = {
  async derive_key_pair({ suite, ikm }) {
    const { hpke } = await suiteOf(suite);
    const pair = await hpke.deriveKeyPair(bytes(ikm));
    const [seed, key] = [await hpke.exportPrivateKey(pair.privateKey), await hpke.exportPublicKey(pair.publicKey)];
    return { private: hex(seed), public: hex(key) };
  },

  async seal({ suite, key, info, data }) {
    const { hpke } = await suiteOf(suite);
    const sealed = await hpke.seal(await hpke.importPublicKey(bytes(key)), bytes(data), bytes(info));
    return { enc: hex(sealed.enc), ciphertext: hex(sealed.ct) };
  },

  async open({ suite, key, info, enc, ciphertext }) {
    const { hpke } = await suiteOf(suite);
    return hex(await hpke.open(await hpke.importPrivateKey(bytes(key)), bytes(enc), bytes(ciphertext), bytes(info)));
  },
};

async function answer(request) {
  if (request.op in primitives) return primitives[request.op](request);
  if (request.op === "make") return makeClient(request);
  return operations[request.op](clients.get(request.who), request);
}

for await (const line of createInterface({ input: process.stdin })) {
  let reply;
  try {
    reply = { ok: (await answer(JSON.parse(line))) ?? null };
  } catch (error) {
    reply = { error: `${error?.name}: ${error?.message}` };
  }
  process.stdout.write(`${JSON.stringify(reply)}\n`);
}
