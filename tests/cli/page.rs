//! The page of a verdict: it says what the JSON says, and shows what is not ours as text.

use std::process::Command;

use serde_json::Value;

use crate::{Run, Sandbox, is_here, repository};

/// The page of a run, the JSON beside it, and what its script draws from.
struct Page {
    html: String,
    json: Value,
    drawn: Value,
}

impl Page {
    /// Of the files `<prefix>.html` and `<prefix>.json`.
    fn read(sandbox: &Sandbox, prefix: &str) -> Page {
        let read = |ending: &str| std::fs::read_to_string(sandbox.path(&format!("{prefix}.{ending}"))).unwrap();
        let html = read("html");
        let (_, data) = html.split_once("<script type=\"application/json\" id=\"data\">").unwrap();
        let drawn = serde_json::from_str(data.split_once("</script>").unwrap().0).unwrap();
        Page { json: serde_json::from_str(&read("json")).unwrap(), drawn, html }
    }

    /// What the button of stage number `at` shows: a part of the limit, and the error from the token ids on.
    fn cell(&self, at: usize) -> (String, String) {
        let button = between(&self.html, &format!("data-stage=\"{at}\""), "</button>");
        (between(&button, "<span>", "</span>"), between(&button, "<i>", "</i>"))
    }
}

/// Judges a run of the built-in model with `mistakes` in it, for a page at out/v.
fn judged(sandbox: &Sandbox, mistakes: &str, keys: &str) -> Run {
    let trace = format!(
        r#"{{"check": "trace", "model": "builtin:tiny", "prompt": "The color of the sky is", "mistakes": [{mistakes}], "output": "out/t"}}"#
    );
    sandbox.config(&trace).ok();
    sandbox.config(&format!(r#"{{"check": "compare", "model": "builtin:tiny", "candidate": "out/t"{keys}}}"#))
}

/// Whether `shown` is `number` to half of its last digit.
#[track_caller]
fn same(shown: &str, number: &Value) {
    // JSON has no infinity.
    let Some(number) = number.as_f64() else { return assert_eq!(shown, "∞") };
    let (digits, exponent) = shown.split_once('e').unwrap_or((shown, "0"));
    let decimals = digits.split_once('.').map_or(0, |(_, decimals)| decimals.len()) as i32;
    let half = 0.5 * 10f64.powi(exponent.parse::<i32>().unwrap() - decimals);
    let shown: f64 = shown.parse().unwrap();
    assert!((shown - number).abs() <= half * (1.0 + 1e-9), "{shown} for {number}");
}

/// What stands in `text` between `start` and `end`.
#[track_caller]
fn between(text: &str, start: &str, end: &str) -> String {
    text.split_once(start).unwrap().1.split_once(end).unwrap().0.to_string()
}

#[test]
fn the_numbers_of_the_page_are_those_of_the_json() {
    let sandbox = Sandbox::new();
    let run = judged(&sandbox, "\"gelu_erf\", \"scale_missing\"", r#", "format": ["text", "html"], "output": "out/v""#);
    assert_eq!(run.code, 1, "{}", run.stderr);
    assert!(run.stdout.ends_with("written: out/v.json and out/v.html\n"), "{}", run.stdout);
    let page = Page::read(&sandbox, "out/v");
    let verdict = &page.json["verdicts"][0];
    let (stages, drawn) = (verdict["stages"].as_array().unwrap(), page.drawn["runs"][0].as_array().unwrap());
    assert_eq!((stages.len(), drawn.len()), (97, 97));
    let (mut wrong, mut lines) = (0, Vec::new());
    for (at, (stage, drawing)) in stages.iter().zip(drawn).enumerate() {
        assert_eq!(stage["probe"], drawing["name"]);
        assert_eq!(stage["class"], drawing["class"]);
        let line = |label: &str| {
            let lines = drawing["lines"].as_array().unwrap();
            lines.iter().find(|line| line[0] == label).unwrap()[1].as_str().unwrap().to_string()
        };
        same(&line("error, of the tensor's norm"), &stage["local_error"]);
        same(&line("limit of that"), &stage["budget"]);
        same(&line("times the limit"), &stage["budget_used"]);
        same(&line("error from the token ids on"), &stage["end_to_end_error"]);
        same(&line("largest difference"), &stage["metrics"]["max_abs"]);
        let picture = &stage["picture"];
        assert_eq!(picture["cells"], drawing["cells"]);
        let counts = |of: &Value| of.as_array().unwrap().iter().map(|count| count.as_u64().unwrap()).sum::<u64>();
        assert_eq!(picture["residual"], drawing["residual"]);
        assert_eq!(picture["noise"], drawing["noise"]);
        // Five runs of right code for each value.
        assert_eq!(5 * counts(&picture["residual"]), counts(&picture["noise"]));
        for (worst, shown) in
            picture["worst"].as_array().into_iter().flatten().zip(drawing["worst"].as_array().into_iter().flatten())
        {
            for at in 0..2 {
                same(shown[1 + at].as_str().unwrap(), &worst["values"][at]);
            }
        }
        for (regression, shown) in picture["regressions"]
            .as_array()
            .into_iter()
            .flatten()
            .zip(drawing["regressions"].as_array().into_iter().flatten())
        {
            assert_eq!(regression["of"], shown[0]);
            let said = format!("your error is {:.3} times", regression["slope"].as_f64().unwrap());
            assert!(shown[1].as_str().unwrap().starts_with(&said), "{shown}");
            lines.push((stage["probe"].as_str().unwrap(), shown[0].as_str().unwrap()));
            for (point, shown) in regression["points"].as_array().unwrap().iter().zip(shown[2].as_array().unwrap()) {
                for at in 0..2 {
                    let (point, shown) = (point[at].as_f64().unwrap(), shown[at].as_f64().unwrap());
                    assert!((point - shown).abs() <= 0.0051 * point.abs(), "{shown} for {point}");
                }
                // The mistake was made: what it changes is the whole residual, but for rounding.
                let [x, y] = [0, 1].map(|at| point[at].as_f64().unwrap());
                assert!((x - y).abs() < 10.0, "{point} is within the noise of the line");
            }
        }
        let (local, whole) = page.cell(at);
        match stage["class"].as_str().unwrap() {
            "exact" => assert_eq!(local, "="),
            class => {
                wrong += usize::from(class == "wrong");
                same(&local, &stage["budget_used"]);
            }
        }
        same(&whole, &stage["end_to_end_error"]);
    }
    assert_eq!(lines, [("layers.0.self_attn.scores", "scale_missing"), ("layers.0.mlp.act", "gelu_erf")]);
    assert_eq!(wrong, 8, "each of two mistakes in each of four layers");
    for part in
        ["gelu_erf: GELU in its erf form", "scale_missing", "first stage that differs: layers.0.self_attn.scores"]
    {
        assert!(page.html.contains(part), "{part}");
    }
    assert!(!page.html.contains("not recorded</span></span>"), "all was recorded");
}

#[test]
fn a_page_alone_says_the_answer_and_has_a_place() {
    let sandbox = Sandbox::new();
    let run = judged(&sandbox, "", r#", "format": "html""#);
    let said = "out/t: numeric: no difference is larger than rounding in f32; ";
    assert!(run.code == 0 && run.stdout.starts_with(said), "{}{}", run.stdout, run.stderr);
    assert!(run.stdout.ends_with("\n\nwritten: out/verdict.json and out/verdict.html\n"), "{}", run.stdout);
    assert!(Page::read(&sandbox, "out/verdict").html.contains("<span class=\"word\">numeric</span>"));
}

/// Beyond its limit and right: red would say another thing than the verdict does.
#[test]
fn a_cast_elsewhere_is_drawn_as_no_mistake() {
    let sandbox = Sandbox::new();
    assert_eq!(judged(&sandbox, "\"rope_low_precision\"", r#", "format": "html""#).code, 0);
    let html = Page::read(&sandbox, "out/verdict").html;
    // Queries and keys in each of four layers.
    assert_eq!(html.matches("<button type=\"button\" class=\"cast ").count(), 8);
    assert_eq!(html.matches(": a cast elsewhere, ").count(), 2 * 8, "as title and label");
    assert!(!html.contains("class=\"l4 ") && !html.contains("class=\"l7 "));
}

#[test]
fn what_was_not_recorded_is_drawn_so() {
    let sandbox = Sandbox::new();
    sandbox.shipped("trace-tiny.json").ok();
    let (_, file) = loupe_report::read(&sandbox.path("out/trace-tiny")).unwrap();
    let kept = ["token_ids", "layers.0.output", "layers.2.output", "logits"];
    let tensors: Vec<_> = kept.iter().map(|name| (name.to_string(), file.get(name).unwrap())).collect();
    sandbox.dump(tensors.iter().map(|(name, tensor)| (name, tensor)));
    sandbox
        .config(r#"{"check": "compare", "model": "builtin:tiny", "candidate": "dump.safetensors", "format": "html", "output": "v"}"#)
        .ok();
    let page = Page::read(&sandbox, "v");
    // 97 stages, of which 3 were recorded; each of the others is a cell of its own.
    assert_eq!(page.html.matches("not recorded</span></span>").count(), 94);
    assert_eq!(page.html.matches("<button type=\"button\"").count(), 3);
    let outputs = &page.json["verdicts"][0]["coverage"]["not_recorded"];
    let output = outputs.as_array().unwrap().iter().find(|one| one["stage"] == "layers.{l}.output").unwrap();
    assert_eq!(output["layers"], serde_json::json!([1, 3]));
}

/// Whoever names tensors and files can write what he likes.
#[test]
fn what_is_not_ours_is_shown_as_text() {
    let sandbox = Sandbox::new();
    sandbox.shipped("trace-tiny.json").ok();
    let (_, file) = loupe_report::read(&sandbox.path("out/trace-tiny")).unwrap();
    let evil = "</script><script>alert('\"x\"')</script><img src=x onerror=alert(1)>";
    let mut tensors: Vec<_> =
        ["token_ids", "logits"].iter().map(|name| (name.to_string(), file.get(name).unwrap())).collect();
    tensors.push((evil.to_string(), tensors[1].1.clone()));
    sandbox.dump(tensors.iter().map(|(name, tensor)| (name, tensor)));
    let named = "<b>'dump'&amp;.safetensors";
    std::fs::rename(sandbox.path("dump.safetensors"), sandbox.path(named)).unwrap();
    sandbox
        .config(&format!(r#"{{"check": "compare", "model": "builtin:tiny", "candidate": "{named}", "format": "html", "output": "v"}}"#))
        .ok();
    let html = Page::read(&sandbox, "v").html;
    assert!(html.contains("&#60;img src=x onerror=alert(1)&#62;"), "the name is shown");
    assert!(html.contains("&#60;b&#62;&#39;dump&#39;&#38;amp;.safetensors"), "the path is shown");
    assert_eq!(html.matches("<script").count(), 2, "the data's and the page's own");
    assert!(!html.contains("<img") && !html.contains("<b>"));
}

#[test]
fn a_page_replaces_nothing_that_is_read() {
    let sandbox = Sandbox::new();
    sandbox.shipped("trace-tiny.json").ok();
    std::fs::rename(sandbox.path("out/trace-tiny.safetensors"), sandbox.path("v.html")).unwrap();
    let keys = r#""check": "compare", "model": "builtin:tiny", "candidate": "v.html", "output": "v", "format": "html""#;
    let run = sandbox.config(&format!("{{{keys}}}"));
    assert!(run.code == 2 && run.stderr.contains("would overwrite v.html"), "{}", run.stderr);
}

/// As many layers as 2B has, and tensors with more lanes than a page has columns: its page is as large as that of 2B.
const DEEP: &str = r#"{"model_type":"gemma2","vocab_size":412,"hidden_size":96,"intermediate_size":128,
    "num_hidden_layers":26,"num_attention_heads":8,"num_key_value_heads":4,"head_dim":16}"#;

/// A page over one run of `DEEP` with a mistake in it, at deep.html.
fn deep(sandbox: &Sandbox) {
    sandbox.checkpoint(DEEP, 1);
    let words = "The color of the sky is ".repeat(4);
    let trace = format!(
        r#"{{"check": "trace", "model": "model", "prompt": "{words}", "mistakes": ["silu@17"], "output": "t"}}"#
    );
    sandbox.config(&trace).ok();
    let keys = r#""check": "compare", "model": "model", "candidate": "t", "format": "html", "output": "deep""#;
    assert_eq!(sandbox.config(&format!("{{{keys}}}")).code, 1);
}

#[test]
fn the_page_of_as_many_layers_as_2b_has_stays_below_two_megabytes() {
    let sandbox = Sandbox::new();
    deep(&sandbox);
    let page = Page::read(&sandbox, "deep");
    assert_eq!(page.drawn["runs"][0].as_array().unwrap().len(), page.json["verdicts"][0]["coverage"]["of"]);
    assert!(page.html.len() < 2_000_000, "{} bytes", page.html.len());
}

/// `look.mjs` opens each page in Chromium in light, in dark and 400 pixels wide, clicks every control, and finds what is logged,
/// loaded, unreadable or too wide.
#[test]
fn pages_hold_in_a_browser() {
    if !is_here("node", "LOUPE_REQUIRE_NODE") || !is_here("chromium", "LOUPE_REQUIRE_CHROMIUM") {
        return;
    }
    let sandbox = Sandbox::new();
    deep(&sandbox);
    // Two candidates side by side: before a fix and after it.
    judged(&sandbox, "\"gelu_erf\", \"scale_missing\"", "");
    let before =
        r#""check": "trace", "model": "builtin:tiny", "prompt": "The color of the sky is", "output": "out/fixed""#;
    sandbox.config(&format!("{{{before}}}")).ok();
    let both = r#""check": "compare", "model": "builtin:tiny", "candidates": ["out/t", "out/fixed"], "format": "html", "output": "both", "policy": ["torch", {"cosine": 0.99}]"#;
    assert_eq!(sandbox.config(&format!("{{{both}}}")).code, 1);
    matrix(&sandbox);
    let script = repository().join("tests/cli/look.mjs").canonicalize().unwrap();
    let mut node = Command::new("node");
    node.arg(script).current_dir(sandbox.path("")).args([".", "deep.html", "both.html", "out/m.html"]);
    let done = node.output().unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    assert!(done.status.success(), "{said}");
    let looked: Value = serde_json::from_slice(&done.stdout).unwrap();
    let stages: Vec<_> = looked.as_array().unwrap().iter().map(|look| look["stages"].as_u64().unwrap()).collect();
    let deep = 26 * 23 + 5;
    // Of the matrix the table's cells, too: 97 stages of 4 layers are 28 rows, and the rope check has 7 values.
    let matrix = 2 * (28 + 7) + 2 * (97 + 7);
    assert_eq!(stages, [deep, deep, deep, 2 * 97, 2 * 97, 2 * 97, matrix, matrix, matrix], "{said}");
    // For whoever wants to see them.
    let kept = repository().join("target/pages");
    std::fs::create_dir_all(&kept).unwrap();
    for look in ["light", "dark", "narrow"].into_iter().flat_map(|look| [look.to_string(), format!("{look}-after")]) {
        for page in ["deep", "both", "m"] {
            let name = format!("{page}-{look}.png");
            std::fs::copy(sandbox.path(&name), kept.join(&name)).unwrap();
        }
    }
}

/// A matrix of two right runs and one that cannot be, with its page and summary at out/m.
fn matrix(sandbox: &Sandbox) -> Run {
    let checks = r#"[{"check": "rope", "pos": 6, "dim": 16, "theta": 10000.0}, "trace"]"#;
    let runs =
        r#"[{"backend": "ndarray"}, {"backend": "flex", "dtype": "bf16"}, {"backend": "flex", "precision": "tf32"}]"#;
    let formats = r#"["json", "html", "markdown"]"#;
    sandbox.config(&format!(
        r#"{{"model": "builtin:tiny", "prompt": "The color of the sky is", "checks": {checks}, "runs": {runs}, "format": {formats}, "output": "out/m"}}"#
    ))
}

#[test]
fn the_page_of_a_matrix_has_every_run_and_the_worst_layer_of_each_stage() {
    let sandbox = Sandbox::new();
    let run = matrix(&sandbox);
    let answer = "could not run: flex-f32-tf32 failed in rope; 2 runs agree within rounding";
    let expected = format!("written: out/m.json\nwritten: out/m.html\nwritten: out/m.md\n{answer}\n");
    assert_eq!((run.code, run.stdout), (2, expected), "{}", run.stderr);
    let page = Page::read(&sandbox, "out/m");
    let verdicts = page.json["verdicts"].as_array().unwrap();
    assert_eq!(page.drawn["runs"].as_array().unwrap().len(), verdicts.len());
    let mut cells = 0;
    let buttons =
        page.html.split("<button type=\"button\"").skip(1).map(|part| part.split_once("</button>").unwrap().0);
    for button in buttons.filter(|button| button.contains("data-run=")) {
        let number = |key: &str| between(button, &format!("{key}=\""), "\"").parse::<usize>().unwrap();
        let stages = verdicts[number("data-run")]["stages"].as_array().unwrap();
        let stage = &stages[number("data-stage")];
        let pattern = |stage: &Value| {
            let name = stage["probe"].as_str().unwrap();
            name.split('.')
                .map(|part| if part.parse::<usize>().is_ok() { "{l}" } else { part })
                .collect::<Vec<_>>()
                .join(".")
        };
        let used = |stage: &Value| stage["budget_used"].as_f64().unwrap();
        let alike = stages.iter().filter(|other| pattern(other) == pattern(stage));
        let gravity =
            |stage: &Value| ["exact", "numeric", "wrong", "fault"].iter().position(|class| stage["class"] == *class);
        let gravest = alike.max_by(|a, b| (gravity(a), used(a)).partial_cmp(&(gravity(b), used(b))).unwrap()).unwrap();
        assert_eq!((gravity(gravest), used(gravest)), (gravity(stage), used(stage)), "{}", stage["probe"]);
        match stage["class"].as_str().unwrap() {
            "exact" => assert_eq!(between(button, "<span>", "</span>"), "="),
            _ => same(&between(button, "<span>", "</span>"), &stage["budget_used"]),
        }
        cells += 1;
    }
    assert_eq!(cells, 2 * (28 + 7));
    assert!(
        page.html.contains(&format!("<h1>{answer}</h1>")) && page.html.contains("is for backend cuda with dtype f32")
    );
    let summary = std::fs::read_to_string(sandbox.path("out/m.md")).unwrap();
    assert!(
        summary
            .starts_with("**could not run\\: flex-f32-tf32 failed in rope; 2 runs agree within rounding**\n\n| run "),
        "{summary}"
    );
    assert!(summary.contains("<summary>every stage</summary>\n\n    "), "{summary}");
}
