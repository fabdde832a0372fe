//! Opening what a config names.

use std::fs::{self, File, FileType};
use std::io::{self, Read};
use std::path::Path;

/// Opens a file.
///
/// # Errors
/// What the system says, and whatever is no file: opening a named pipe would wait for somebody to write to it.
pub fn open(path: &Path) -> io::Result<File> {
    let kind = fs::metadata(path)?.file_type();
    if kind.is_file() {
        File::open(path)
    } else {
        Err(io::Error::other(format!("it is {}, expected a file", what(kind))))
    }
}

/// Reads a file of at most `most` bytes.
///
/// # Errors
/// As [`open`], and a file that is larger.
pub fn read(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let file = open(path)?;
    let length = file.metadata()?.len();
    if length > most {
        return Err(io::Error::other(format!("it has {length} bytes, and at most {most} are read of such a file")));
    }
    // It may grow meanwhile.
    let mut bytes = Vec::new();
    file.take(most).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn what(kind: FileType) -> &'static str {
    #[cfg(unix)]
    {
        use std::os::unix::fs::FileTypeExt;
        if kind.is_fifo() {
            return "a pipe";
        }
        if kind.is_char_device() || kind.is_block_device() {
            return "a device";
        }
        if kind.is_socket() {
            return "a socket";
        }
    }
    if kind.is_dir() { "a folder" } else { "no file" }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn only_files_are_opened_and_only_so_much_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a");
        fs::write(&file, b"four").unwrap();
        assert_eq!(read(&file, 4).unwrap(), b"four");
        let of = |path: &Path, most| read(path, most).unwrap_err().to_string();
        assert!(of(&file, 3).contains("has 4 bytes"));
        assert_eq!(of(folder.path(), 3), "it is a folder, expected a file");
        assert!(read(&folder.path().join("b"), 3).is_err_and(|error| error.kind() == io::ErrorKind::NotFound));
        #[cfg(unix)]
        assert_eq!(of(Path::new("/dev/zero"), 3), "it is a device, expected a file");
    }
}
