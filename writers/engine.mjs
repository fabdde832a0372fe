// Gemma 2 in plain loops over Float32Arrays: what an engine looks like that Loupe judges, and an example of how one
// records. `cargo xtask compare configs/ci/engine.json` runs it.
//
//   node writers/engine.mjs --model FOLDER --ids 2,356,366 --dump dump.safetensors
//
// A matrix is [rows, columns] in one Float32Array, row after row. Weights are read from a Hugging Face folder in F32
// or BF16.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { Dump } from "./loupe.mjs";

const { values: args } = parseArgs({ options: { model: { type: "string" }, ids: { type: "string" }, dump: { type: "string" } } });
const config = JSON.parse(readFileSync(join(args.model, "config.json"), "utf8"));
const weight = reader(join(args.model, "model.safetensors"));
const ids = args.ids.split(",").map(Number);
const T = ids.length;
const { hidden_size: D, num_attention_heads: N, num_key_value_heads: K, head_dim: H, rms_norm_eps: eps } = config;
const dump = new Dump();
dump.tokens(ids);

const embedding = weight("model.embed_tokens.weight");
let x = new Float32Array(T * D);
ids.forEach((id, t) => x.set(embedding.subarray(id * D, (id + 1) * D), t * D));
x = x.map((value) => value * Math.sqrt(D));
dump.add("embed.scaled", [T, D], x);

for (let l = 0; l < config.num_hidden_layers; l++) {
  const of = (name) => weight(`model.layers.${l}.${name}.weight`);
  const record = (name, shape, values) => (dump.add(`layers.${l}.${name}`, shape, values), values);
  const normed = record("input_layernorm", [T, D], norm(x, of("input_layernorm")));
  const q = record("self_attn.q_proj", [T, N, H], multiply(normed, of("self_attn.q_proj"), D));
  const k = record("self_attn.k_proj", [T, K, H], multiply(normed, of("self_attn.k_proj"), D));
  const v = record("self_attn.v_proj", [T, K, H], multiply(normed, of("self_attn.v_proj"), D));
  const q_rope = record("self_attn.q_rope", [T, N, H], rotate(q, N));
  const k_rope = record("self_attn.k_rope", [T, K, H], rotate(k, K));
  // Layers 0, 2, 4, … see the last `sliding_window` tokens alone.
  const context = record("self_attn.context", [T, N, H], attend(q_rope, k_rope, v, l % 2 === 0 ? config.sliding_window : T));
  const attended = record("self_attn.o_proj", [T, D], multiply(context, of("self_attn.o_proj"), N * H));
  x = add(x, norm(attended, of("post_attention_layernorm")));
  const before = norm(x, of("pre_feedforward_layernorm"));
  const gate = record("mlp.gate_proj", [T, config.intermediate_size], multiply(before, of("mlp.gate_proj"), D));
  const up = record("mlp.up_proj", [T, config.intermediate_size], multiply(before, of("mlp.up_proj"), D));
  const gated = record("mlp.gated", [T, config.intermediate_size], gate.map((g, i) => gelu(g) * up[i]));
  const down = record("mlp.down_proj", [T, D], multiply(gated, of("mlp.down_proj"), config.intermediate_size));
  x = record("output", [T, D], add(x, norm(down, of("post_feedforward_layernorm"))));
}

const last = norm(x, weight("model.norm.weight"));
dump.add("norm", [T, D], last);
const logits = multiply(last, embedding, D).map((value) => cap(value, config.final_logit_softcapping));
dump.add("logits", [T, config.vocab_size], logits);
await dump.save(args.dump);

/** x / sqrt(mean(x^2) + eps) * (1 + w), for each row of D. */
function norm(x, w) {
  const out = new Float32Array(x.length);
  for (let start = 0; start < x.length; start += D) {
    let squares = 0;
    for (let d = 0; d < D; d++) squares += x[start + d] ** 2;
    const factor = 1 / Math.sqrt(squares / D + eps);
    for (let d = 0; d < D; d++) out[start + d] = x[start + d] * factor * (1 + w[d]);
  }
  return out;
}

/** x [T, width] times the transpose of w [rows, width]. */
function multiply(x, w, width) {
  const rows = w.length / width;
  const out = new Float32Array(T * rows);
  for (let t = 0; t < T; t++) {
    for (let r = 0; r < rows; r++) {
      let sum = 0;
      for (let i = 0; i < width; i++) sum += x[t * width + i] * w[r * width + i];
      out[t * rows + r] = sum;
    }
  }
  return out;
}

/** RoPE: lane i with lane i + H/2, by the angle t * theta^(-2i/H). */
function rotate(x, heads) {
  const out = new Float32Array(x.length);
  for (let t = 0; t < T; t++) {
    for (let i = 0; i < H / 2; i++) {
      const angle = t * config.rope_theta ** ((-2 * i) / H);
      const [cos, sin] = [Math.cos(angle), Math.sin(angle)];
      for (let n = 0; n < heads; n++) {
        const [a, b] = [(t * heads + n) * H + i, (t * heads + n) * H + i + H / 2];
        out[a] = x[a] * cos - x[b] * sin;
        out[b] = x[b] * cos + x[a] * sin;
      }
    }
  }
  return out;
}

/** softmax(cap(q·k / sqrt(query_pre_attn_scalar))) v, query head n with key head n / (N/K), over the keys in the window. */
function attend(q, k, v, window) {
  const out = new Float32Array(T * N * H);
  const scale = config.query_pre_attn_scalar ** -0.5;
  for (let t = 0; t < T; t++) {
    for (let n = 0; n < N; n++) {
      const key = (s) => (s * K + Math.floor(n / (N / K))) * H;
      const seen = Array.from({ length: T }, (_, s) => s).filter((s) => s <= t && t - s < window);
      const scores = seen.map((s) => {
        let dot = 0;
        for (let h = 0; h < H; h++) dot += q[(t * N + n) * H + h] * k[key(s) + h];
        return cap(dot * scale, config.attn_logit_softcapping);
      });
      const most = Math.max(...scores);
      const weights = scores.map((score) => Math.exp(score - most));
      const total = weights.reduce((sum, weight) => sum + weight);
      seen.forEach((s, at) => {
        for (let h = 0; h < H; h++) out[(t * N + n) * H + h] += (weights[at] / total) * v[key(s) + h];
      });
    }
  }
  return out;
}

function cap(x, most) {
  return most * Math.tanh(x / most);
}

function gelu(x) {
  return 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3)));
}

function add(a, b) {
  return a.map((value, i) => value + b[i]);
}

/** A function from a tensor's name to its values. */
function reader(path) {
  const file = readFileSync(path);
  const length = Number(file.readBigUInt64LE(0));
  const header = JSON.parse(file.toString("utf8", 8, 8 + length));
  return (name) => {
    const { dtype, data_offsets: [start, end] } = header[name];
    const bytes = file.buffer.slice(file.byteOffset + 8 + length + start, file.byteOffset + 8 + length + end);
    if (dtype === "F32") return new Float32Array(bytes);
    if (dtype !== "BF16") throw new Error(`${name} is in ${dtype}, expected F32 or BF16`);
    // The upper half of an f32.
    return new Float32Array(Uint32Array.from(new Uint16Array(bytes), (half) => half << 16).buffer);
  };
}
