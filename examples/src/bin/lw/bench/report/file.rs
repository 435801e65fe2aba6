//! The file for a report: whether it can be written is found out before the run, not after it.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Seek, Write};
use std::path::{Path, PathBuf};

use crate::exit::{Exit, Failure};

/// A file that is open for writing. What was in it stays until there is something new.
#[derive(Debug)]
pub(in super::super) struct ReportFile {
    file: File,
    path: PathBuf,
    /// It was made for this run, and is removed again if there is nothing to write.
    is_vain: bool,
}

impl ReportFile {
    pub(in super::super) fn open(path: &Path) -> Result<Self, Failure> {
        let fresh = File::options().write(true).create_new(true).open(path);
        let (file, is_vain) = match fresh {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                (File::options().write(true).open(path), false)
            }
            fresh => (fresh, true),
        };
        let file = file.map_err(|error| failure(path, &error))?;
        Ok(Self { file, path: path.to_owned(), is_vain })
    }

    pub(in super::super) fn write(mut self, text: &str) -> Result<(), Failure> {
        self.is_vain = false;
        self.replace(text).map_err(|error| failure(&self.path, &error))
    }

    fn replace(&mut self, text: &str) -> io::Result<()> {
        // What is no regular file, such as a pipe, has nothing to be replaced.
        if self.file.metadata()?.is_file() {
            self.file.set_len(0)?;
            self.file.rewind()?;
        }
        self.file.write_all(text.as_bytes())
    }
}

impl Drop for ReportFile {
    fn drop(&mut self) {
        if self.is_vain {
            // It is empty, and no worse than that if it stays.
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn failure(path: &Path, error: &io::Error) -> Failure {
    Failure::new(Exit::System, format_args!("cannot write {}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_replaces_what_was_there_and_nothing_leaves_no_file() {
        let path = std::env::temp_dir().join(format!("lw-bench-report-{}.html", std::process::id()));
        let content = || fs::read_to_string(&path).ok();
        drop(ReportFile::open(&path).unwrap());
        assert_eq!(content(), None);
        ReportFile::open(&path).unwrap().write("a long report").unwrap();
        drop(ReportFile::open(&path).unwrap());
        assert_eq!(content().as_deref(), Some("a long report"));
        ReportFile::open(&path).unwrap().write("short").unwrap();
        assert_eq!(content().as_deref(), Some("short"));
        fs::remove_file(&path).unwrap();
        assert!(ReportFile::open(&path.join("no directory")).is_err());
    }
}
