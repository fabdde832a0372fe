//! The results for people and for programs.

use std::fmt::Write;

use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, Table};
use serde_json::{Value, json};

use super::measure::Measured;
use super::{Results, Row};

/// The format of the JSON and its version.
const SCHEMA: &str = "loupe.bench/1";

pub fn text(results: &Results) -> String {
    let mut text = String::new();
    let floor = &results.floor;
    // Writing to a String cannot fail, here and below.
    let _ = writeln!(
        text,
        "{}, {} cores, load average {} at the start; {}\nmedians of {}; wall seconds of whole processes, warm page cache; \
         MB: largest anonymous memory seen (RssAnon, looked at every millisecond)\n\
         floor: {:.2} G weights/s converted to f32, {:.2} G weights/s multiplied by 7 tokens, both measured in this run\n",
        results.machine["cpu"].as_str().unwrap_or("cpu unknown"),
        results.machine["cores"],
        results.machine["load_average_at_start"].as_str().unwrap_or("unknown"),
        if results.peers.is_empty() { "no peers" } else { &results.peers },
        results.settings.repeats,
        floor.converted / 1e9,
        floor.multiplied / 1e9,
    );
    let header =
        ["run", "check", "peer s", "peer MB", "first s", "loupe s", "loupe MB", "ratio", "required s", "floor"];
    text += &table(&header, results.rows.iter().map(line));
    if !results.lengths.is_empty() {
        let rows = results.lengths.iter().map(|length| {
            let each = length.loupe.seconds / length.tokens as f64 * 1e3;
            let cells = [format!("{}", length.tokens), format!("{:.2}", length.loupe.seconds), format!("{each:.1}")];
            [cells.as_slice(), &[memory(&length.loupe)]].concat()
        });
        text += "\nlayer-out on flex f32, by the prompt's length\n";
        text += &table(&["tokens", "s", "ms a token", "MB"], rows);
    }
    for skipped in &results.skipped {
        let _ = writeln!(text, "not run: {skipped}");
    }
    text
}

fn line(row: &Row) -> Vec<String> {
    let seconds =
        |measured: &Option<Measured>| measured.as_ref().map_or("-".to_string(), |m| format!("{:.2}", m.seconds));
    let ratio = row.peer.as_ref().map(|peer| format!("{:.1}", peer.seconds / row.loupe.seconds));
    let required = row.required().map(|required| format!("{required:.2}"));
    let share =
        row.floor.filter(|floor| *floor > 0.0).map(|floor| format!("{:.0}%", 100.0 * floor / row.loupe.seconds));
    let dash = || "-".to_string();
    vec![
        row.run.to_string(),
        row.case.check.clone(),
        seconds(&row.peer),
        row.peer.as_ref().map_or_else(dash, memory),
        seconds(&row.first),
        format!("{:.3}", row.loupe.seconds),
        memory(&row.loupe),
        ratio.unwrap_or_else(dash),
        required.unwrap_or_else(dash),
        share.unwrap_or_else(dash),
    ]
}

fn memory(measured: &Measured) -> String {
    measured.anonymous.map_or("-".to_string(), |bytes| format!("{:.0}", bytes as f64 / 1e6))
}

fn table(header: &[&str], rows: impl Iterator<Item = Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(NOTHING).set_header(header).add_rows(rows);
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table.lines().map(|line| line.trim_end().to_string() + "\n").collect()
}

pub fn json(results: &Results) -> Value {
    let measured = |m: &Measured| json!({"seconds": m.seconds, "anonymous_bytes": m.anonymous});
    let row = |row: &Row| {
        json!({
            "run": row.run.to_string(),
            "check": row.case.check,
            "tokens": row.case.tokens,
            "peer": row.peer.as_ref().map(measured),
            "first": row.first.as_ref().map(measured),
            "loupe": measured(&row.loupe),
            "required_seconds": row.required(),
            "floor_seconds": row.floor,
        })
    };
    json!({
        "schema": SCHEMA,
        "machine": results.machine,
        "peers": results.peers,
        "repeats": results.settings.repeats,
        "floor": {"converted_per_second": results.floor.converted, "multiplied_per_second": results.floor.multiplied},
        "rows": results.rows.iter().map(row).collect::<Vec<Value>>(),
        "lengths": results.lengths.iter().map(|length| json!({"tokens": length.tokens, "loupe": measured(&length.loupe)})).collect::<Vec<Value>>(),
        "skipped": results.skipped,
    })
}
