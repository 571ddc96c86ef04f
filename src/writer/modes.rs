//! Modes of files and folders that a copy has closed to a web server that runs as another user.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::fsx;
use crate::site_files::v1_files;
use crate::spec::v1::V1Id;
use crate::writer::write::Writer;

impl Writer<'_> {
    /// Whether a file has this length. Its mode is mended then, as copies lose it (`umask 077; tar -x`).
    pub(super) fn has_length(&self, path: &Path, length: u64) -> anyhow::Result<bool> {
        let meta = fsx::meta(path)?.filter(|meta| meta.is_file && meta.len == length);
        let Some(meta) = meta else {
            return Ok(false);
        };
        self.site.disk.open_for_all(path, &meta)?;
        Ok(true)
    }

    /// Mends the modes of the files of a v1 image that the site keeps, most of which are not planned.
    pub(super) fn open_v1_image(&self, id: V1Id) -> anyhow::Result<()> {
        for path in v1_files(id).map(|path| self.site.files.path(&path)) {
            if let Some(meta) = fsx::meta(&path)? {
                self.site.disk.open_for_all(&path, &meta)?;
            }
        }
        Ok(())
    }

    /// Mends the modes of the folders above a file. Those in `known` are right.
    pub(super) fn open_folders(
        &self,
        relative: &str,
        known: &mut BTreeSet<PathBuf>,
    ) -> anyhow::Result<()> {
        for folder in fsx::folders_above(relative, known) {
            let path = self.site.files.root().join(folder);
            if let Some(meta) = fsx::meta(&path)? {
                self.site.disk.open_for_all(&path, &meta)?;
            }
        }
        Ok(())
    }
}
