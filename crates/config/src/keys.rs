//! Every key of a config, once: what it takes, what it means.

use std::path::PathBuf;

use loupe_spec::{Arithmetic, Dtype, Figure, Policy};
use serde_json::json;

use crate::check_name::CheckName;
use crate::command::{Command, DumpFormat};
use crate::key::{AnyKey, EDITORS, Key, Nested, Sets, Shape, key, with_default};
use crate::read::{
    BOOLEAN, Choice, DEVICE, EVEN, INDEX, INTEGER, List, NOT_NEGATIVE, NUMBER, OneOrList, PATH, POSITIVE, PREFIX,
    ProbePattern, Scalar, TEXT, Takes, UP_TO_1, any_list, list,
};
use crate::{BACKENDS, ComputedIn, Device, Emit, Format, MatmulPrecision, Proj};

// Of every check.

pub(crate) const SCHEMA: Key<Scalar<String>> = key(
    EDITORS,
    TEXT,
    "for editors: the path or address of a schema in `configs/schemas`; Loupe itself does not read it",
);
pub(crate) const CHECK: Key<Choice<CheckName>> = key(
    "check",
    Choice(|| CheckName::ALL.map(|name| (name.name(), name)).to_vec()),
    "what to do; may be left out where the keys are exactly those that the check goes without it by",
);
pub(crate) const MODEL: Key<Scalar<String>> =
    key("model", TEXT, "a folder in Hugging Face layout, a hub id, or `builtin:tiny`");
pub(crate) const REVISION: Key<Scalar<String>> =
    with_default("revision", TEXT, "main", "branch, tag or commit of a hub id");
pub(crate) const OUTPUT: Key<Scalar<PathBuf>> =
    key("output", PREFIX, "where the report goes, without ending; of `export` the folder");

// Of checks that compute.

pub(crate) const PROMPT: Key<Scalar<String>> = key("prompt", TEXT, "text for tokenizer.json, special tokens added");
pub(crate) const TOKEN_IDS: Key<List<Scalar<usize>>> =
    key("token_ids", list(INDEX), "in the place of `prompt`: the ids themselves, `<bos>` included");
pub(crate) const INPUT: &[&dyn AnyKey] = &[&PROMPT, &TOKEN_IDS];
const A_BACKEND: Choice<&str> = Choice(|| BACKENDS.map(|name| (name, name)).to_vec());
pub(crate) const BACKEND: Key<Choice<&str>> = with_default("backend", A_BACKEND, BACKENDS[0], "what computes");
pub(crate) const DEVICE_OF: Key<Scalar<Device>> = key(
    "device",
    DEVICE,
    "which device of the backend: of wgpu `cpu`, `discrete:0`, `integrated:0`, `virtual:0`; of cuda an index",
);
pub(crate) const DTYPE: Key<Choice<Dtype>> = with_default(
    "dtype",
    Choice(|| Dtype::FLOATS.map(|dtype| (dtype.name(), dtype)).to_vec()),
    "f32",
    "what to compute in",
);
pub(crate) const PRECISION: Key<Choice<MatmulPrecision>> = with_default(
    "precision",
    Choice(|| [MatmulPrecision::Strict, MatmulPrecision::Tf32].map(|precision| (precision.name(), precision)).to_vec()),
    "strict",
    "what f32 means in a product: f32, or operands rounded to TF32, which cuda can do",
);
pub(crate) const COMPUTING: &[&dyn AnyKey] = &[&BACKEND, &DEVICE_OF, &DTYPE, &PRECISION];
pub(crate) const MISTAKES: Key<List<Scalar<String>>> = key(
    "mistakes",
    any_list(TEXT),
    "mistakes to make on purpose: `id`, `id@3` in layer 3, `id@layers.3.mlp.act` at one stage; of `export` those that config.json can say",
);

// Of one check each.

pub(crate) const LAYER: Key<Scalar<usize>> = key("layer", INDEX, "which layer, counted from 0");
pub(crate) const PROJ: Key<Choice<Proj>> =
    key("proj", Choice(|| Proj::ALL.map(|proj| (proj.name(), proj)).to_vec()), "which of the layer's tensors");
pub(crate) const TENSOR: Key<Scalar<String>> =
    key("tensor", TEXT, "a tensor's full name, in the place of `layer` and `proj`");
pub(crate) const AGAINST: Key<Scalar<PathBuf>> =
    key("against", PATH, "a safetensors file whose tensor of that name is held against it");
pub(crate) const POS: Key<Scalar<usize>> = key("pos", INDEX, "the position, counted from 0");
pub(crate) const DIM: Key<Scalar<usize>> = key("dim", EVEN, "how many lanes a head has");
pub(crate) const THETA: Key<Scalar<f64>> = key("theta", POSITIVE, "the base of the frequencies");
pub(crate) const LAYERS: Key<List<Scalar<usize>>> = key("layers", list(INDEX), "which layers, counted from 0");
pub(crate) const TOKEN: Key<Scalar<i64>> = key("token", INTEGER, "which token; a negative one counts from the end");
pub(crate) const PROBES: Key<List<ProbePattern>> =
    key("probes", list(ProbePattern), "which probe points: `[\"*rope\", \"layers.*.output\"]`");
pub(crate) const EMIT: Key<Choice<Emit>> = key(
    "emit",
    Choice(|| Emit::ALL.map(|emit| (emit.name(), emit)).to_vec()),
    "write the run for another tool, too, as `<output>.doppler.json`; the stages are those that it has",
);
pub(crate) const ID: Key<Scalar<String>> =
    key("id", TEXT, "a name in a verdict, or a probe point's; left out: the whole catalogue");

// Of what is judged.

pub(crate) const CANDIDATE_PATH: Key<Scalar<PathBuf>> = key("candidate", PATH, "a dump, a log or a report");
pub(crate) const CANDIDATE: Key<Nested> = key(
    "candidate",
    Nested {
        words: "path, or object",
        schema: || {
            let numbers =
                json!({"type": "object", "minProperties": 1, "additionalProperties": typed_numbers().schema()});
            json!({"anyOf": [CANDIDATE_PATH.takes.schema(), numbers]})
        },
    },
    "a dump, a log or a report (`names` takes no other); or numbers: `{\"layers.2.output\": {\"token\": -1, \"first\": [-2.3831, …]}}`",
);
pub(crate) const CANDIDATES: Key<List<Scalar<PathBuf>>> =
    key("candidates", list(PATH), "several dumps, logs or reports, in the place of `candidate`");
pub(crate) const FIRST: Key<List<Scalar<String>>> = key("first", list(NUMBER), "the numbers");
pub(crate) const FROM: Key<Scalar<usize>> = with_default("from", INDEX, "0", "the lane of the first of them");

/// Numbers as a person types them.
pub(crate) fn typed_numbers() -> Shape {
    Shape::default().must(&[&TOKEN, &FIRST]).may(&[&FROM])
}

pub(crate) const REPORT: Key<Scalar<PathBuf>> = key("report", PATH, "a saved report");
pub(crate) const REFERENCE: Key<Nested> = key(
    "reference",
    Nested { words: "object", schema: || reference_keys().schema() },
    "what it is held against: model and tokens in an object, or a saved report that says both; where both are given they must agree",
);

/// `reference` of `compare`.
pub(crate) fn reference_keys() -> Shape {
    Shape::default().may(&[&MODEL, &REVISION]).may(INPUT).may(&[&REPORT]).one_of(AT_MOST_ONE_INPUT)
}

pub(crate) const NAMES: Key<Nested> = key(
    "names",
    Nested {
        words: "object of strings",
        schema: || json!({"type": "object", "additionalProperties": {"type": "string", "minLength": 1}}),
    },
    "from your tensors' names, each of which has to be there, to probe points, or to transformers' `hidden_states` and `attentions`; `{l}` and `*` allowed: `{\"l_out-{l}\": \"layers.{l}.output\", \"states\": \"hidden_states\"}`",
);

pub(crate) const CANDIDATE_DTYPE: Key<Choice<ComputedIn>> = key(
    "candidate_dtype",
    Choice(|| {
        let dtypes = Dtype::FLOATS.map(ComputedIn::Dtype);
        let all = dtypes.into_iter().chain(Arithmetic::ALL.map(ComputedIn::Arithmetic));
        all.map(|computed| (computed.name(), computed)).collect()
    }),
    "what it was computed in, where the values do not say: a dtype, or an arithmetic that a verdict names",
);
pub(crate) const POSITIONS: Key<List<Scalar<usize>>> = key(
    "positions",
    list(INDEX),
    "which positions of the prompt the candidate's rows are, ascending, if not all; left out, the values decide",
);
pub(crate) const WITHOUT: Key<List<Scalar<String>>> =
    key("without", any_list(TEXT), "ids of mistakes that are not to be named");
pub(crate) const NAMED_POLICY: Choice<Policy> = Choice(|| Policy::NAMED.map(|policy| (policy.name(), policy)).to_vec());
/// A limit for each figure, in their order.
pub(crate) static LIMITS: [Key<Scalar<f64>>; Figure::ALL.len()] = {
    const fn limit(figure: Figure) -> Key<Scalar<f64>> {
        match figure.is_likeness() {
            true => key(figure.name(), UP_TO_1, "the least that is allowed"),
            false => key(figure.name(), NOT_NEGATIVE, "the most that is allowed"),
        }
    }
    let [a, b, c, d, e, f, g, h, i, j, k] = Figure::ALL;
    [limit(a), limit(b), limit(c), limit(d), limit(e), limit(f), limit(g), limit(h), limit(i), limit(j), limit(k)]
};

/// A tolerance of numbers of a user's own.
pub(crate) fn own_policy() -> Shape {
    Shape::default().may(&LIMITS.each_ref().map(|key| key as &dyn AnyKey))
}

/// A tolerance of numbers of a user's own, or what is not to be named.
pub(crate) fn own_policy_or_without() -> Shape {
    own_policy().may(&[&WITHOUT])
}

/// A name, such an object, or a list of these.
fn policies(object: Shape) -> serde_json::Value {
    let mut object = object.schema();
    object["minProperties"] = json!(1);
    let one = json!({"anyOf": [NAMED_POLICY.schema(), object]});
    json!({"anyOf": [one, {"type": "array", "minItems": 1, "items": one}]})
}

pub(crate) const POLICY: Key<Nested> = key(
    "policy",
    Nested {
        words: "`torch`, `polygraphy`, `llama-nmse`, `doppler`, or object; or a list of these",
        schema: || policies(own_policy_or_without()),
    },
    "what others' tolerances say of the same numbers, beside the verdict; your own as `{\"rtol\": 1e-3, \"atol\": 1e-5, \"cosine\": 0.999}`. `{\"without\": [\"silu\"]}`, of `compare` alone: what is not to be named, where your engine differs on purpose",
);
pub(crate) const POLICY_AGAIN: Key<Nested> = key(
    POLICY.name,
    Nested { words: POLICY.takes.words, schema: || policies(own_policy()) },
    "what others' tolerances say of the numbers in `verdict`; your own as `{\"rtol\": 1e-3, \"atol\": 1e-5, \"cosine\": 0.999}`",
);
pub(crate) const VERDICT: Key<Scalar<PathBuf>> =
    key("verdict", PATH, "a verdict that was saved as JSON, to be held against other tolerances without a rerun");
pub(crate) const FORMAT: Key<OneOrList<Choice<Format>>> = with_default(
    "format",
    OneOrList(list(Choice(|| {
        [Format::Text, Format::Json, Format::Html].map(|format| (format.name(), format)).to_vec()
    }))),
    "text",
    "how the verdict is said; `html` writes a page to look at, beside `output` or as `out/verdict.html`",
);
pub(crate) const STIMULUS: Key<Scalar<bool>> =
    with_default("stimulus", BOOLEAN, "false", "write inputs that show what this one hides, below `output`");
/// What the judge is told of an engine's dump.
pub(crate) const JUDGED_WITH: &[&dyn AnyKey] = &[&NAMES, &CANDIDATE_DTYPE, &POSITIONS];

// Of a matrix.

pub(crate) const REPORTS: Key<List<Scalar<PathBuf>>> =
    key("reports", list(PATH), "reports made elsewhere that join in");
pub(crate) const REQUIRE: Key<List<Choice<&str>>> =
    key("require", list(A_BACKEND), "backends whose absence fails the run; so does `LOUPE_REQUIRE=wgpu,cuda`");
pub(crate) const TIME_LIMIT: Key<Scalar<f64>> =
    with_default("time_limit_s", POSITIVE, "300", "how many seconds each process may take");
pub(crate) const MATRIX_FORMAT: Key<OneOrList<Choice<Format>>> = with_default(
    "format",
    OneOrList(list(Choice(|| {
        use Format::*;
        [Text, Json, Junit, Html, Markdown].map(|format| (format.name(), format)).to_vec()
    }))),
    "text",
    "how the verdict is said, and beside `output` written: `json`, `junit` for CI services, `html` a page to look at, `markdown` a summary such as `$GITHUB_STEP_SUMMARY` takes",
);
/// Where a comparison writes its page that names no `output`.
pub(crate) const DEFAULT_PAGE: &str = "out/verdict";
/// Where a matrix writes that names no `output`.
pub const DEFAULT_OUTPUT: &str = "out/compare";
pub(crate) const MATRIX_OUTPUT: Key<Scalar<PathBuf>> =
    with_default("output", PREFIX, DEFAULT_OUTPUT, "where reports and verdict go");
pub(crate) const MATRIX_REFERENCE: Key<Nested> = key(
    "reference",
    Nested { words: "object with `report`", schema: || Shape::default().must(&[&REPORT]).schema() },
    "a saved report over whose model and tokens engines and reports are judged, in the place of `model` and the prompt",
);
pub(crate) const COMMAND: Key<Command> = key(
    "command",
    Command,
    "an engine of your own: a program and its arguments, with `{model}`, `{output}`, `{prompt}` and `{token_ids}` filled in",
);
pub(crate) const DUMP_FORMAT: Key<Choice<DumpFormat>> = with_default(
    "format",
    Choice(|| DumpFormat::ALL.map(|format| (format.name(), format)).to_vec()),
    "auto",
    "where its numbers are. `auto`: in what it leaves at `{output}`, in any form that a candidate may have, or where it leaves nothing, in what it prints; `printed`: in what it prints",
);
pub(crate) const NAME: Key<Scalar<String>> =
    key("name", TEXT, "what the engine is called in the tables; left out: the program's file name");

/// Of the prompt, one form or none.
pub(crate) const AT_MOST_ONE_INPUT: Sets = &[&[], &["prompt"], &["token_ids"]];
/// Of the prompt, one form.
pub(crate) const ONE_INPUT: Sets = &[&["prompt"], &["token_ids"]];
