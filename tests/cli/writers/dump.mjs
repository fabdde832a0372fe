// dump.mjs HOW OUT NAME TYPE SHAPE FILE ...: writes with writers/loupe.mjs what lies in files of raw values, SHAPE as 7x60.
// HOW: "arrays" adds typed arrays and saves to a file; "buffers" reads them back from a device as WebGPU describes one, and
// saves as a browser does.
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";

const [writer, how, out, ...tensors] = process.argv.slice(2);
const { Dump } = await import(writer);
const dump = new Dump();

// What of WebGPU the writer may use, with what the specification forbids: it copies whole words, between buffers made
// for it, and shows a buffer only while it is mapped.
const device = {
  createBuffer({ size, usage }) {
    assert.equal(size % 4, 0);
    assert.equal(usage, 9, "MAP_READ and COPY_DST, which may go together with nothing else");
    let mapped;
    return {
      memory: new Uint8Array(size),
      mapAsync: async (mode) => void (mapped = (assert.equal(mode, 1), true)),
      getMappedRange() {
        assert.ok(mapped);
        return this.memory.buffer;
      },
      destroy() {
        this.memory.fill(0xff);
      },
    };
  },
  createCommandEncoder: () => ({
    copies: [],
    copyBufferToBuffer(...copy) {
      assert.equal(copy[1] % 4, 0);
      this.copies.push(copy);
    },
    finish() {
      return this.copies;
    },
  }),
  queue: {
    submit: ([copies]) => copies.forEach(([from, at, to, into, size]) => to.memory.set(from.memory.subarray(at, at + size), into)),
  },
};

for (let i = 0; i < tensors.length; i += 4) {
  const [name, type, shape, file] = [tensors[i], tensors[i + 1], tensors[i + 2].split("x").map(Number), tensors[i + 3]];
  const bytes = Uint8Array.from(readFileSync(file));
  const View = { F64: Float64Array, F32: Float32Array, I32: Int32Array, BF16: Uint16Array, F16: Uint16Array }[type];
  const values = new View(bytes.buffer);
  if (name === "token_ids") {
    dump.tokens(Array.from(values));
  } else if (how === "arrays") {
    dump.add(name, shape, values, values instanceof Uint16Array ? type : undefined);
    values.fill(0); // the engine goes on to use its buffer
  } else {
    // In the middle of a buffer, as engines have them.
    const memory = new Uint8Array(16 + Math.ceil(bytes.length / 4) * 4);
    memory.set(bytes, 16);
    await dump.addBuffer(device, name, shape, { memory }, { type, offset: 16 });
  }
}

if (how === "buffers") {
  let saved;
  const blobs = new Map();
  URL.createObjectURL = (blob) => (blobs.set("blob:1", blob), "blob:1");
  globalThis.setTimeout = (then) => then();
  URL.revokeObjectURL = (url) => blobs.delete(url);
  globalThis.document = {
    createElement: (tag) => (assert.equal(tag, "a"), { click() { saved = [this.download, blobs.get(this.href)]; } }),
  };
  await dump.save(`folder/${"dump.safetensors"}`);
  assert.equal(saved[0], "dump.safetensors");
  assert.equal(blobs.size, 0);
  writeFileSync(out, new Uint8Array(await saved[1].arrayBuffer()));
} else {
  await dump.save(out);
}

// What cannot be written is an error that says why.
const refused = (then, part) => assert.throws(then, (error) => error.message.includes(part));
refused(() => dump.add("norm2", [2, 3], new Float32Array(5)), '"norm2" has 5 values, and its shape is [2,3]');
refused(() => dump.add("norm2", 5, new Float32Array(5)), '"norm2" has 5 values, and its shape is [5]');
refused(() => dump.add("norm2", [5], [1, 2, 3, 4, 5]), '"norm2" is a Array, expected one of Float64Array');
refused(() => dump.add("norm2", [5], new Uint16Array(5)), 'or a Uint16Array and "F16" or "BF16"');
refused(() => dump.add("__proto__", [5], new Float32Array(5)), '"__proto__" is no name for a tensor');
refused(() => new Dump().tokens([2, 2.5]), "2.5 is no token id");
refused(() => new Dump().tokens([[1, 2], [3]]), "NaN is no token id");
await assert.rejects(dump.addBuffer(device, "norm2", [2, -1], {}), /expected a list of lengths/);
refused(() => dump.add("norm2", [5], new Float32Array(5), "F16"), "4 bytes an element, and F16 has 2");
refused(() => dump.add("norm2", [5], undefined), '"norm2" is a undefined');
dump.add("norm2", [5], new Float32Array(5));
refused(() => dump.add("norm2", [5], new Float32Array(5)), '"norm2" is there already');
