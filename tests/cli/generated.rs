//! What is made from the code is as the code would make it now, and every file that Loupe takes or writes is as its schema says.

use std::path::Path;
use std::sync::LazyLock;

use boon::{Compiler, SchemaIndex, Schemas};
use loupe_config::Document;
use serde_json::Value;

use crate::{Run, Sandbox, repository};

#[test]
fn everything_generated_is_fresh() {
    let sandbox = Sandbox::new();
    sandbox.config(loupe_generate::CATALOGUE_CHECK).ok();
    let catalogue = std::fs::read(sandbox.path(loupe_generate::CATALOGUE)).unwrap();
    let files = loupe_generate::files(&repository(), serde_json::from_slice(&catalogue).unwrap()).unwrap();
    assert!(files.len() > 8);
    for (path, text) in files {
        let found = std::fs::read_to_string(repository().join(&path)).unwrap_or_default();
        assert!(found == text, "{} is not what the code says; cargo xtask generate writes it", path.display());
    }
}

/// The schemas of config, matrix, report and verdict, as they are committed.
static SCHEMAS: LazyLock<(Schemas, [SchemaIndex; 4])> = LazyLock::new(|| {
    let (mut schemas, mut compiler) = (Schemas::new(), Compiler::new());
    let all = ["config", "matrix", "report", "verdict"].map(|name| {
        let path = repository().join("configs/schemas").join(name).with_extension("json");
        let schema = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        let address = format!("urn:loupe:{name}");
        compiler.add_resource(&address, schema).unwrap();
        compiler.compile(&address, &mut schemas).unwrap()
    });
    (schemas, all)
});

#[track_caller]
fn is_as(schema: SchemaIndex, document: &Value, what: &str) {
    let error = SCHEMAS.0.validate(document, schema).err().map(|error| format!("{error:#}"));
    assert_eq!(error, None, "{what} is not as its schema says");
}

/// Holds a config that ran, and the report or verdict that it wrote, against their schemas.
#[track_caller]
pub fn conforms(sandbox: &Sandbox, config: &Path, run: &Run) {
    let Some(document) = loupe_config::read(config).ok().filter(|_| run.code != 2) else { return };
    let [configs, matrices, reports, verdicts] = SCHEMAS.1;
    let (schema, document) = match document {
        Document::Request(request) => (configs, request.document),
        Document::Matrix(matrix) => (matrices, matrix.document),
    };
    is_as(schema, &document, &document.to_string());
    let Some(output) = document["output"].as_str() else { return };
    for path in [format!("{output}.json"), format!("{output}/verdict.json")] {
        let Some(written) = std::fs::read(sandbox.path(&path)).ok() else { continue };
        let written: Value = serde_json::from_slice(&written).unwrap();
        match written["schema"].as_str() {
            Some(loupe_report::SCHEMA) => is_as(reports, &written, &path),
            Some("loupe.verdict/1") => is_as(verdicts, &written, &path),
            _ => {}
        }
    }
}

#[test]
fn every_config_of_the_repository_is_as_its_schema_says() {
    let mut count = 0;
    let mut folders =
        vec![repository().join("configs"), repository().join("tests/fixtures"), repository().join("docs")];
    while let Some(folder) = folders.pop() {
        for entry in folder.read_dir().unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "json") {
                let read = loupe_config::read(&path);
                count += usize::from(read.is_ok());
                conforms(&Sandbox::new(), &path, &Run { code: 0, stdout: String::new(), stderr: String::new() });
            }
        }
    }
    assert!(count > 20, "{count}");
}
