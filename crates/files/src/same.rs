//! Whether a file that is to be written is one that was named to be read.

use std::path::{Path, PathBuf};

/// Whether writing `target` would replace one of `files`: under the same name, or under the name that one of them is a
/// link to. (Other names of one file stay what they are: a file is replaced by renaming another to its name.)
pub fn is_one_of<'a>(target: &Path, files: impl IntoIterator<Item = &'a PathBuf>) -> Option<&'a PathBuf> {
    let target = by_folder(target);
    files.into_iter().find(|file| by_folder(file) == target || file.canonicalize().is_ok_and(|file| file == target))
}

/// Whether the file lies in `folder`, at whatever depth.
pub fn is_inside(file: &Path, folder: &Path) -> bool {
    folder.canonicalize().is_ok_and(|folder| by_folder(file).starts_with(folder))
}

/// The folder that `path` is in: of a name alone the current one.
pub fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| *folder != Path::new("")).unwrap_or(Path::new("."))
}

/// The name in its folder, wherever that really is: the file itself may be a link, or not be there yet.
fn by_folder(path: &Path) -> PathBuf {
    let Some(name) = path.file_name() else { return path.to_path_buf() };
    let folder = folder_of(path);
    folder.canonicalize().unwrap_or_else(|_| folder.to_path_buf()).join(name)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::fs;

    use super::*;

    #[test]
    fn a_file_is_known_by_any_way_to_it() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir(at("in")).unwrap();
        fs::write(at("in/a.json"), b"").unwrap();
        let read = [at("in/a.json"), at("in/missing.json")];
        assert_eq!(is_one_of(&at("in/../in/a.json"), &read), Some(&read[0]));
        assert_eq!(is_one_of(&at("in/missing.json"), &read), Some(&read[1]));
        assert_eq!(is_one_of(&at("in/b.json"), &read), None);
        assert!(is_inside(&read[0], folder.path()) && is_inside(&at("in/../in/b"), &at("in")));
        assert!(!is_inside(&at("a.json"), &at("in")) && !is_inside(&at("b/a.json"), &at("b")));
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink(at("in"), at("link")).unwrap();
            std::os::unix::fs::symlink(at("in/a.json"), at("to-a.json")).unwrap();
            assert_eq!(is_one_of(&at("link/a.json"), &read), Some(&read[0]));
            // A link is replaced, what it points to stays; but what was read through a link is the file behind it.
            assert_eq!(is_one_of(&at("to-a.json"), &read), None);
            assert_eq!(is_one_of(&at("in/a.json"), &[at("to-a.json")]), Some(&at("to-a.json")));
        }
    }
}
