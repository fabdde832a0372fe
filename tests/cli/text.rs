//! Numbers out of logs and terminals, and a person's own.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use serde_json::Value;

use crate::{Run, Sandbox};

const PROMPT: &str = "The color of the sky is";

/// Judges the text `log`, or what `candidate` says, against the built-in model.
fn judge(sandbox: &Sandbox, candidate: &str) -> (Run, Value) {
    let head = r#""check": "compare", "model": "builtin:tiny", "format": "json""#;
    let run = sandbox.config(&format!(r#"{{{head}, "prompt": "{PROMPT}", "candidate": {candidate}}}"#));
    let verdict: Value = serde_json::from_str(&run.stdout).unwrap_or_default();
    (run, verdict["verdicts"][0].clone())
}

fn log(sandbox: &Sandbox, text: &str) -> (Run, Value) {
    std::fs::write(sandbox.path("run.log"), text).unwrap();
    judge(sandbox, "\"run.log\"")
}

/// The ids that a verdict names, and those that it says fit alike.
fn named(verdict: &Value) -> BTreeSet<String> {
    let ids = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let mistakes = ids(&verdict["mistakes"]);
    let own = mistakes.iter().map(|mistake| mistake["id"].clone());
    let alike = mistakes.iter().flat_map(|mistake| ids(&mistake["alternatives"]));
    own.chain(alike).filter_map(|id| id.as_str().map(str::to_string)).collect()
}

/// A trace of the built-in model with `mistakes` planted, in the sandbox's "run".
fn trace(sandbox: &Sandbox, mistakes: &str) -> impl Fn(&str) -> loupe_spec::HostTensor + use<> {
    trace_in(sandbox, "f32", mistakes)
}

/// The same in `dtype`.
fn trace_in(sandbox: &Sandbox, dtype: &str, mistakes: &str) -> impl Fn(&str) -> loupe_spec::HostTensor + use<> {
    let keys = format!(r#""prompt": "{PROMPT}", "dtype": "{dtype}", "mistakes": {mistakes}, "output": "run""#);
    let config = format!(r#"{{"check": "trace", "model": "builtin:tiny", {keys}}}"#);
    sandbox.config(&config).ok();
    let (_, file) = loupe_report::read(&sandbox.path("run")).unwrap();
    move |name| file.get(name).unwrap()
}

#[test]
fn eight_numbers_are_a_candidate() {
    let sandbox = Sandbox::new();
    let typed = |mistakes: &str| {
        let tensor = trace(&sandbox, mistakes)("layers.2.output");
        let first: Vec<String> = tensor.token(6).iter().take(8).map(|value| format!("{value:.4}")).collect();
        judge(&sandbox, &format!(r#"{{"layers.2.output": {{"token": -1, "first": [{}]}}}}"#, first.join(", ")))
    };
    let (run, right) = typed("[]");
    assert_eq!((run.code, right["verdict"].as_str()), (0, Some("numeric")), "{} {right:#}", run.stderr);
    let coverage = &right["coverage"];
    let seen = ["tokens", "of_tokens", "probes", "values", "of_values"].map(|key| coverage[key].as_u64().unwrap());
    assert_eq!(seen, [1, 7, 1, 8, 420]);
    // The same in a file, or printed: after an engine's own settings, too.
    for text in [
        r#"{"layers.2.output": {"token": -1, "first": [-2.3831, -2.3173, -2.2790, -6.6859]}}"#,
        "{\n  \"hidden_size\": 60\n}\nloaded\nlayers.2.output token -1: -2.3831 -2.3173 -2.2790 -6.6859\n",
    ] {
        let (run, right) = log(&sandbox, text);
        assert_eq!((run.code, right["coverage"]["values"].as_u64()), (0, Some(4)), "{} {right:#}", run.stderr);
    }
    let (run, wrong) = typed(r#"["gelu_erf"]"#);
    assert!(run.code == 1 && named(&wrong).contains("gelu_erf"), "{} {wrong:#}", run.stderr);
}

/// The output of each layer of the built-in model, with a mistake planted where one is named.
fn outputs(sandbox: &Sandbox, mistake: &str) -> Vec<loupe_spec::HostTensor> {
    let planted = if mistake.is_empty() { "[]".to_string() } else { format!("[\"{mistake}\"]") };
    let trace = trace(sandbox, &planted);
    (0..4).map(|layer| trace(&format!("layers.{layer}.output"))).collect()
}

/// The first eight lanes of a token's row, as scripts print them, each after a blank.
fn first_eight(tensor: &loupe_spec::HostTensor, token: usize) -> String {
    tensor.token(token).iter().take(8).map(|value| format!(" {value:.4}")).collect()
}

/// Lines as engines and libraries print them, of what a mistake of the engine makes too.
#[test]
fn lines_of_many_programs_are_read() {
    let sandbox = Sandbox::new();
    for mistake in ["", "gelu_erf"] {
        let outputs = outputs(&sandbox, mistake);
        let numbers = |layer: usize, token: usize| first_eight(&outputs[layer], token);
        // As numpy prints it: the first and the last rows and lanes.
        let array = |layer: usize| -> String {
            let row = |token: usize| {
                let values = outputs[layer].token(token);
                let some = |values: &[f64]| values.iter().map(|v| format!("{v:.7}")).collect::<Vec<_>>().join(" ");
                format!("[{} ... {}]", some(&values[..3]), some(&values[57..]))
            };
            let rows: Vec<String> = [0, 1, 2].into_iter().map(row).chain(["...".to_string()]).chain([row(6)]).collect();
            format!("layers.{layer}.output\n[{}]", rows.join("\n "))
        };
        let lines: [&dyn Fn(usize) -> String; 5] = [
            &|layer| format!("L{layer} t6{}", numbers(layer, 6)),
            &|layer| format!("layer {layer} pos 6: sum=17.6513{}", numbers(layer, 6)),
            &|layer| format!("layer {layer} out (last tok) shape=(60,):{}", numbers(layer, 6)),
            &|layer| format!("[dbg] layer {layer} out tok=6:{}", numbers(layer, 6)),
            &array,
        ];
        // What a mistake changes is found in each alike.
        for line in lines.iter().skip(if mistake.is_empty() { 0 } else { 4 }) {
            let text: Vec<String> = (0..4).map(line).collect();
            let (run, verdict) = log(&sandbox, &text.join("\n"));
            let (code, probes) = (i32::from(!mistake.is_empty()), verdict["coverage"]["probes"].as_u64());
            assert_eq!((run.code, probes), (code, Some(4)), "{} {verdict:#}", text[0]);
            assert!(mistake.is_empty() || named(&verdict).contains(mistake), "{} {verdict:#}", text[0]);
        }
    }
}

/// A log need not say what a person knows: which token it is of, from where it counts, that it warmed up first.
#[test]
fn tokens_that_are_not_said_or_counted_from_one_are_found() {
    let sandbox = Sandbox::new();
    for mistake in ["", "gelu_erf"] {
        let outputs = outputs(&sandbox, mistake);
        let numbers = |layer: usize, token: usize| first_eight(&outputs[layer], token);
        let all = |line: &dyn Fn(usize) -> String| (0..4).map(line).collect::<Vec<_>>().join("\n");
        let plain = all(&|layer| format!("layer {layer} token 6:{}", numbers(layer, 6)));
        let texts = [
            (all(&|layer| format!("layer {layer}:{}", numbers(layer, 4))), "no line says a token: read as token 4"),
            (all(&|layer| format!("layer {layer} token 7:{}", numbers(layer, 6))), "its token 1 is read as token 0"),
            (
                all(&|layer| format!("layer {layer} token 5 of 7:{}", numbers(layer, 4))),
                "its token 1 is read as token 0",
            ),
            (
                all(&|layer| format!("layer {layer} token 6: 0.0000 0.0000 0.0000")) + "\n" + &plain,
                "that are not all 0 are judged",
            ),
            (
                plain.clone() + "\n" + &all(&|layer| format!("layer {layer} token 6:{}", numbers(layer, 2))),
                "\\\"layer_0\\\", token 6 and 3 more rows: printed several times",
            ),
        ];
        for (text, note) in texts.into_iter().take(if mistake.is_empty() { 5 } else { 2 }) {
            let (run, verdict) = log(&sandbox, &text);
            assert_eq!(run.code, i32::from(!mistake.is_empty()), "{text} {verdict:#}");
            assert!(mistake.is_empty() || named(&verdict).contains(mistake), "{text} {verdict:#}");
            assert!(run.stdout.contains(note), "{text} {verdict:#}");
            assert_eq!(verdict["coverage"]["tokens"], 1, "{text}");
        }
    }
}

/// Of a name that nobody has the config says what it is; of a line without a token it is said that it was not read.
#[test]
fn what_a_log_calls_by_its_own_name_can_be_mapped() {
    let sandbox = Sandbox::new();
    let output = trace(&sandbox, "[]")("layers.2.output");
    let numbers = first_eight(&output, 6);
    let text = format!("my stream-2, token 6:{numbers}\nlayer 3: 1.5 2.5 3.5\nlayer 1: 1.5 2.5 3.5\n");
    std::fs::write(sandbox.path("run.log"), text).unwrap();
    let head =
        r#""check": "compare", "model": "builtin:tiny", "prompt": "The color of the sky is", "candidate": "run.log""#;
    let run = sandbox.config(&format!("{{{head}}}"));
    assert!(run.code == 2 && run.stderr.contains("\"my stream-2\""), "{}", run.stderr);
    let run = sandbox.config(&format!(r#"{{{head}, "names": {{"my stream-{{l}}": "layers.{{l}}.output"}}}}"#));
    assert!(run.code == 0 && run.stdout.contains("looked at: 1 of 97 stages"), "{}{}", run.stdout, run.stderr);
    let said = "note: \"layer 3: 1.5 2.5 3.5\" and 1 more line: not read; it holds numbers of no token that is said";
    assert!(run.stdout.contains(said), "{}", run.stdout);
}

/// What the checks print is what people paste.
#[test]
fn the_text_of_a_check_is_a_candidate() {
    let sandbox = Sandbox::new();
    let printed = |mistakes: &str| {
        let keys = format!(r#""model": "builtin:tiny", "prompt": "{PROMPT}", "layers": [0, 1, 2, 3], "token": -1"#);
        let run = sandbox.config(&format!(r#"{{"check": "layer-out", {keys}, "mistakes": {mistakes}}}"#));
        log(&sandbox, &run.ok())
    };
    let (run, right) = printed("[]");
    assert_eq!((run.code, right["detail"].as_str()), (0, Some("4_decimals")), "{} {right:#}", run.stderr);
    assert_eq!(right["coverage"]["probes"], 5, "{right:#}");
    let (run, wrong) = printed(r#"["post_norm_missing"]"#);
    assert_eq!(run.code, 1, "{}", run.stderr);
    assert!(named(&wrong).contains("post_norm_missing"), "{wrong:#}");
    // Of one layer's attention, before and after the rotation; and of the embedding.
    for (check, mistake, stages) in
        [(r#""check": "attn", "layer": 1"#, "rope_interleaved", 9), (r#""check": "embed""#, "embed_scale_missing", 3)]
    {
        let printed = |mistakes: &str| {
            let keys = format!(r#""model": "builtin:tiny", "prompt": "{PROMPT}", "mistakes": {mistakes}"#);
            let text = sandbox.config(&format!("{{{check}, {keys}}}")).ok();
            log(&sandbox, &text)
        };
        let (run, right) = printed("[]");
        assert_eq!((run.code, right["coverage"]["probes"].as_u64()), (0, Some(stages)), "{} {right:#}", run.stderr);
        let (run, wrong) = printed(&format!("[\"{mistake}\"]"));
        assert!(run.code == 1 && named(&wrong).contains(mistake), "{mistake}: {} {wrong:#}", run.stderr);
    }
}

/// DOPPLER's stages and what Loupe calls them.
const STAGES: [(&str, &str); 19] = [
    ("embed_out", "embed.scaled"),
    ("post_input_norm", "layers.{l}.input_layernorm"),
    ("q_proj", "layers.{l}.self_attn.q_proj"),
    ("k_proj", "layers.{l}.self_attn.k_proj"),
    ("v_proj", "layers.{l}.self_attn.v_proj"),
    ("q_rope", "layers.{l}.self_attn.q_rope"),
    ("k_rope", "layers.{l}.self_attn.k_rope"),
    ("attn_core_out", "layers.{l}.self_attn.context"),
    ("o_proj", "layers.{l}.self_attn.o_proj"),
    ("post_attn", "layers.{l}.residual_attn"),
    ("ffn_normed", "layers.{l}.pre_feedforward_layernorm"),
    ("ffn_gate", "layers.{l}.mlp.gate_proj"),
    ("ffn_up", "layers.{l}.mlp.up_proj"),
    ("ffn_act", "layers.{l}.mlp.gated"),
    ("ffn_out", "layers.{l}.mlp.down_proj"),
    ("layer_out", "layers.{l}.output"),
    ("final_norm", "norm"),
    ("logits", "logits.raw"),
    ("logits_final", "logits"),
];

/// A log of probes: of each stage these tokens, of each token twelve lanes with four decimals.
fn probes(tensor: impl Fn(&str) -> loupe_spec::HostTensor, tokens: &[usize]) -> String {
    let mut log = String::from("[0.1ms] loading 26 tensors\n");
    for (stage, ours) in STAGES {
        for layer in if ours.contains("{l}") { 0..4 } else { 0..1 } {
            let tensor = tensor(&ours.replace("{l}", &layer.to_string()));
            let width: usize = tensor.shape[1..].iter().product();
            for token in tokens {
                let values: Vec<String> = (0..12)
                    .map(|at| at * (width / 12))
                    .map(|lane| format!("{lane}={:.4}", tensor.values.get(token * width + lane)))
                    .collect();
                let tag = if ours.contains("{l}") { format!("L{layer}:") } else { String::new() };
                let _ = writeln!(
                    log,
                    "[12.5ms][TRACE:attn] {tag}PROBE dim12 stage={stage} token={token} stats=[min=,max=] values=[{}]",
                    values.join(", ")
                );
                log.push_str("[12.6ms] dispatched 3 kernels\n");
            }
        }
    }
    log
}

#[test]
fn a_log_of_probes_is_judged() {
    let sandbox = Sandbox::new();
    let (run, right) = log(&sandbox, &probes(trace(&sandbox, "[]"), &[3, 6]));
    assert_eq!((run.code, right["detail"].as_str()), (0, Some("4_decimals")), "{} {right:#}", run.stderr);
    assert!(right["notes"].to_string().contains("names: DOPPLER stages"), "{right:#}");
    assert_eq!(right["coverage"]["tokens"], 2, "{right:#}");
    // What so few values cannot tell is said.
    assert!(!right["unseen"].as_array().unwrap().is_empty());
    for mistake in
        ["norm_without_one", "scale_head_dim", "gelu_erf", "rope_interleaved", "gqa_tiled", "embed_scale_missing"]
    {
        let (run, wrong) = log(&sandbox, &probes(trace(&sandbox, &format!("[\"{mistake}\"]")), &[3, 6]));
        assert_eq!(run.code, 1, "{mistake}: {} {wrong:#}", run.stderr);
        assert!(named(&wrong).contains(mistake), "{mistake}: {:#} {:#}", wrong["mistakes"], wrong["detail"]);
    }
}

/// Four decimals of numbers that have two or three digits: the log of an engine that computes in a half is judged as such.
#[test]
fn a_half_is_read_off_what_it_prints() {
    let sandbox = Sandbox::new();
    for dtype in ["bf16", "f16"] {
        let (run, right) = log(&sandbox, &probes(trace_in(&sandbox, dtype, "[]"), &[3, 6]));
        let said = (right["verdict"].as_str(), right["candidate"]["dtype"].as_str());
        assert_eq!((run.code, said), (0, (Some("numeric"), Some(dtype))), "{} {right:#}", run.stderr);
        let (run, wrong) = log(&sandbox, &probes(trace_in(&sandbox, dtype, r#"["rope_interleaved"]"#), &[3, 6]));
        assert_eq!((run.code, named(&wrong)), (1, BTreeSet::from(["rope_interleaved".to_string()])), "{wrong:#}");
    }
}

/// Four decimals of a mean and the like, of each token's row: no value at all is there.
#[test]
fn statistics_of_rows_are_judged() {
    let sandbox = Sandbox::new();
    let logged = |mistakes: &str| {
        let tensor = trace(&sandbox, mistakes);
        let mut text = String::new();
        for (stage, ours) in STAGES {
            for layer in if ours.contains("{l}") { 0..4 } else { 0..1 } {
                let tensor = tensor(&ours.replace("{l}", &layer.to_string()));
                for token in 0..7 {
                    let row = tensor.token(token);
                    let count = row.len() as f64;
                    let mean = row.iter().sum::<f64>() / count;
                    let std = (row.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / count).sqrt();
                    let most = row.iter().fold(0.0, |most: f64, x| most.max(x.abs()));
                    let tag = if ours.contains("{l}") { format!("L{layer}:") } else { String::new() };
                    let stats = format!("mean={mean:.4}, std={std:.4}, maxAbs={most:.4}, valid={count}, nan=0");
                    let _ = writeln!(text, "[1.0ms][TRACE:x] {tag}PROBE stage={stage} token={token} stats=[{stats}]");
                }
            }
        }
        log(&sandbox, &text)
    };
    let (run, right) = logged("[]");
    assert_eq!((run.code, right["verdict"].as_str()), (0, Some("numeric")), "{} {right:#}", run.stderr);
    let coverage = &right["coverage"];
    assert_eq!((coverage["values"].as_u64(), coverage["statistics"].as_u64()), (Some(0), Some(64 * 7 * 3)));
    assert_eq!(coverage["tokens"], 7);
    for mistake in ["norm_without_one", "scale_head_dim", "gelu_erf", "rope_interleaved", "window_off_by_one"] {
        let (run, wrong) = logged(&format!("[\"{mistake}\"]"));
        assert_eq!(run.code, 1, "{mistake}: {} {wrong:#}", run.stderr);
        assert!(named(&wrong).contains(mistake), "{mistake}: {:#} {:#}", wrong["mistakes"], wrong["detail"]);
    }
}

/// The first token sees itself alone, unrotated: nothing of attention is passed because it is right there.
#[test]
fn the_first_token_is_blind_to_attention_and_says_so() {
    let sandbox = Sandbox::new();
    for mistake in ["rope_theta", "window_nowhere", "attn_softcap_missing"] {
        let (run, verdict) = log(&sandbox, &probes(trace(&sandbox, &format!("[\"{mistake}\"]")), &[0]));
        let unseen = verdict["unseen"].as_array().unwrap();
        let declared = unseen.iter().any(|unseen| unseen["id"] == mistake && unseen.get("sites").is_none());
        assert!(run.code == 0 && declared, "{mistake}: {} {verdict:#}", run.stderr);
    }
}

#[test]
fn numbers_that_are_nowhere_are_told_where_they_could_be() {
    let sandbox = Sandbox::new();
    let refused = |candidate: &str, said: &str| {
        let (run, _) = judge(&sandbox, candidate);
        assert_eq!((run.code, run.stdout.as_str()), (2, ""), "{}", run.stderr);
        let words = run.stderr.replace('│', " ").split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(words.contains(said), "\"{said}\" is not in\n{}", run.stderr);
    };
    refused(r#"{"layers.9.output": {"token": 0, "first": [1, 2]}}"#, "nothing to compare");
    refused(r#"{"layers.0.otput": {"token": 0, "first": [1, 2]}}"#, "\"layers.0.otput\": \"layers.0.output\"");
    refused(r#"{"norm": {"token": 7, "first": [1, 2]}}"#, "token 7 is out of range: the prompt has 7 tokens");
    refused(r#"{"norm": {"token": 0, "from": 60, "first": [1]}}"#, "lane 60 is out of range: a row has 60 values");
    refused(r#"{"norm": {"token": 0}}"#, "needs \"first\"");
    refused("{}", "\"candidate\" holds no numbers");
    // Two rows of one tensor are of two tokens, and nobody knows which.
    std::fs::write(sandbox.path("run.log"), "loading\nlayer 3: 1.5 2.0 3.0\nlayer 3: 2.5 2.0 3.0\n").unwrap();
    let said = "\"layer 3: 1.5 2.0 3.0\" holds numbers of no token that is said";
    refused("\"run.log\"", said);
}

/// One number is near what one of hundreds of mistakes makes, whatever it is, and on what three of them make together.
#[test]
fn one_number_names_nothing() {
    let sandbox = Sandbox::new();
    for value in ["1.25", "-0.7125"] {
        for stage in ["norm", "layers.2.output", "logits"] {
            let (run, verdict) = judge(&sandbox, &format!(r#"{{"{stage}": {{"token": 1, "first": [{value}]}}}}"#));
            // Weights in four bits could have made it too.
            assert!([1, 4].contains(&run.code), "{stage} {value}: {}", run.stderr);
            assert_eq!(named(&verdict), BTreeSet::new(), "{stage} {value}: {verdict:#}");
            assert_eq!(verdict["fitted"], serde_json::json!([]), "{stage} {value}: {verdict:#}");
        }
    }
}
