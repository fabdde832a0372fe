// Writes the values of an engine to a file that Loupe judges: safetensors, from typed arrays or WebGPU buffers, in a
// browser, Node, Deno or Bun. Copy this file; it needs nothing else.
//
//   import { Dump } from "./loupe.mjs";
//   const dump = new Dump();
//   dump.tokens([2, 651, 2881]);                                // what the engine ran, <bos> included
//   dump.add("layers.0.self_attn.q_proj", [3, 8, 256], q);      // a Float32Array of 3 * 8 * 256 values
//   await dump.addBuffer(device, "layers.0.output", [3, 2304], buffer); // a GPUBuffer of f32
//   await dump.save("dump.safetensors");                        // Node: a file; browser: a download
//
// Names are Loupe's (docs/probes.md) or the engine's own (docs/candidates.md says which are known).

// Types by the names that safetensors has for them, with their bytes. A 16-bit float is passed as the Uint16Array of
// its bits, and its type is named.
const BYTES = { F64: 8, F32: 4, F16: 2, BF16: 2, I64: 8, I32: 4, U32: 4, U8: 1 };
const TYPES = {
  Float64Array: "F64",
  Float32Array: "F32",
  Float16Array: "F16",
  BigInt64Array: "I64",
  Int32Array: "I32",
  Uint32Array: "U32",
  Uint8Array: "U8",
};

// Parts of a file begin at multiples of 8, which is what readers that map it into memory need.
const ALIGNMENT = 8;

export class Dump {
  #tensors = new Map();

  /** The ids that the engine ran, in order: an array of numbers or a typed array. */
  tokens(ids) {
    const whole = Array.from(ids, Number);
    const wrong = whole.find((id) => !Number.isInteger(id) || id < 0);
    if (wrong !== undefined) throw new RangeError(`Loupe: ${wrong} is no token id; give the ids of one prompt`);
    this.add("token_ids", [whole.length], Int32Array.from(whole));
  }

  /**
   * A tensor: `values` in row-major order, as many as the lengths of `shape` multiply to. They are copied, so that the
   * engine may go on to overwrite its buffer. `type` ("F16", "BF16") is needed for a Uint16Array alone.
   */
  add(name, shape, values, type = TYPES[values?.constructor?.name]) {
    if (!Object.hasOwn(BYTES, type ?? "") || !ArrayBuffer.isView(values)) {
      const found = `${values?.constructor?.name ?? typeof values}${type ? ` of type "${type}"` : ""}`;
      const arrays = Object.keys(TYPES).join(", ");
      throw new TypeError(`Loupe: "${name}" is a ${found}, expected one of ${arrays}, or a Uint16Array and "F16" or "BF16"`);
    }
    if (typeof name !== "string" || name === "" || name === "__metadata__" || name === "__proto__") {
      throw new TypeError(`Loupe: "${name}" is no name for a tensor`);
    }
    if (BYTES[type] !== values.BYTES_PER_ELEMENT) {
      throw new TypeError(`Loupe: "${name}" has ${values.BYTES_PER_ELEMENT} bytes an element, and ${type} has ${BYTES[type]}`);
    }
    const whole = Array.isArray(shape) && shape.every((length) => Number.isInteger(length) && length >= 0);
    if (!whole || shape.reduce((product, length) => product * length, 1) !== values.length) {
      throw new RangeError(`Loupe: "${name}" has ${values.length} values, and its shape is [${shape}]`);
    }
    if (this.#tensors.has(name)) {
      throw new Error(`Loupe: "${name}" is there already; a dump holds one forward pass`);
    }
    const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength).slice();
    this.#tensors.set(name, { type, shape: [...shape], bytes });
  }

  /**
   * A tensor in a WebGPU buffer (usage COPY_SRC), read back through a buffer of its own. `offset` is in bytes. What
   * the engine submitted before this call is done when the values are read.
   */
  async addBuffer(device, name, shape, buffer, { type = "F32", offset = 0 } = {}) {
    if (!Object.hasOwn(BYTES, type)) {
      throw new TypeError(`Loupe: "${name}" is of type "${type}", expected one of ${Object.keys(BYTES).join(", ")}`);
    }
    if (!Array.isArray(shape) || !shape.every((length) => Number.isInteger(length) && length >= 0)) {
      throw new RangeError(`Loupe: the shape of "${name}" is [${shape}], expected a list of lengths`);
    }
    const length = shape.reduce((product, length) => product * length, BYTES[type]);
    const padded = Math.ceil(length / 4) * 4; // WebGPU copies whole words
    const COPY_DST_MAP_READ = 0x0008 | 0x0001;
    const staging = device.createBuffer({ size: padded, usage: COPY_DST_MAP_READ });
    const encoder = device.createCommandEncoder();
    encoder.copyBufferToBuffer(buffer, offset, staging, 0, padded);
    device.queue.submit([encoder.finish()]);
    await staging.mapAsync(0x0001);
    const bytes = new Uint8Array(staging.getMappedRange()).slice(0, length);
    staging.destroy();
    const View = { 8: Float64Array, 4: Float32Array, 2: Uint16Array, 1: Uint8Array }[BYTES[type]];
    this.add(name, shape, new View(bytes.buffer), type);
  }

  /** The file, as a Uint8Array. */
  bytes() {
    if (new Uint8Array(new Uint16Array([1]).buffer)[0] !== 1) {
      throw new Error("Loupe: safetensors is little-endian, and this machine is not");
    }
    const header = { __metadata__: { writer: "loupe.mjs" } };
    let end = 0;
    // The widest first: then each begins where its type may begin.
    const tensors = [...this.#tensors].sort(([, a], [, b]) => BYTES[b.type] - BYTES[a.type]);
    for (const [name, { type, shape, bytes }] of tensors) {
      header[name] = { dtype: type, shape, data_offsets: [end, (end += bytes.length)] };
    }
    let text = new TextEncoder().encode(JSON.stringify(header));
    const padding = (ALIGNMENT - (text.length % ALIGNMENT)) % ALIGNMENT;
    const file = new Uint8Array(8 + text.length + padding + end).fill(0x20, 8, 8 + text.length + padding);
    new DataView(file.buffer).setBigUint64(0, BigInt(text.length + padding), true);
    file.set(text, 8);
    let at = 8 + text.length + padding;
    for (const [, { bytes }] of tensors) {
      file.set(bytes, at);
      at += bytes.length;
    }
    return file;
  }

  /**
   * Writes the file where there is a file system, and offers it as a download in a page. A worker of a browser has
   * neither: post `bytes()` to its page.
   */
  async save(path = "dump.safetensors") {
    const file = this.bytes();
    if (globalThis.document === undefined) {
      if (globalThis.WorkerGlobalScope !== undefined && globalThis.Deno === undefined) {
        throw new Error("Loupe: a worker cannot save a file; post dump.bytes() to the page and save it there");
      }
      const { writeFile } = await import("node:fs/promises");
      await writeFile(path, file);
      return;
    }
    const url = URL.createObjectURL(new Blob([file], { type: "application/octet-stream" }));
    const link = Object.assign(document.createElement("a"), { href: url, download: path.split("/").pop() });
    link.click();
    // The browser has begun to read by then.
    setTimeout(() => URL.revokeObjectURL(url), 60_000);
  }
}
