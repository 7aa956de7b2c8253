//! Secrets that the testkit plants in what it makes, and looks for in all that commands say and keep.

use std::fs::File;
use std::path::{Path, PathBuf};

use parquet::file::reader::{FileReader as _, SerializedFileReader};

/// What every planted secret begins with.
pub const PLANTED: &str = "PLANTED-";

/// The planted secrets in some bytes, each once.
pub fn leaks(bytes: &[u8]) -> Vec<String> {
    // Most bytes hold none.
    if !bytes.windows(PLANTED.len()).any(|window| window == PLANTED.as_bytes()) {
        return Vec::new();
    }
    let text = String::from_utf8_lossy(bytes);
    let secret = |(at, _): (usize, &str)| -> String {
        let rest = text[at..].chars();
        rest.take_while(|c| c.is_ascii_alphanumeric() || *c == '-').collect()
    };
    let mut found: Vec<String> = text.match_indices(PLANTED).map(secret).collect();
    found.sort();
    found.dedup();
    found
}

/// The planted secrets in the files below a folder, each with its file. Of a Parquet file the pages count
/// as they are when nothing is compressed. What is removed meanwhile is passed over.
pub fn leaks_below(folder: &Path) -> Vec<(String, PathBuf)> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = std::fs::read_dir(&folder) else { continue };
        for path in entries.flatten().map(|entry| entry.path()) {
            if path.is_symlink() {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let secrets = std::fs::read(&path).map(|bytes| leaks(&bytes)).unwrap_or_default();
            let within = if path.extension().is_some_and(|is| is == "parquet") {
                pages(&path).unwrap_or_default()
            } else {
                Vec::new()
            };
            found.extend(secrets.into_iter().chain(within).map(|one| (one, path.clone())));
        }
    }
    found
}

/// The planted secrets in a Parquet file. `None`: it is not whole, which a kill may leave behind.
fn pages(path: &Path) -> Option<Vec<String>> {
    let reader = SerializedFileReader::new(File::open(path).ok()?).ok()?;
    let mut found = Vec::new();
    for group in 0..reader.num_row_groups() {
        let group = reader.get_row_group(group).ok()?;
        for column in 0..group.num_columns() {
            for page in group.get_column_page_reader(column).ok()? {
                found.extend(leaks(page.ok()?.buffer()));
            }
        }
    }
    Some(found)
}
