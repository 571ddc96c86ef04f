//! Where an export goes: a tar or a folder. Content is checked on the way: its last bytes are not written before its
//! digest is known to be right, so that nobody takes a damaged archive for a whole one.

use std::collections::BTreeSet;
use std::io::{self, Read as _, Write};
use std::path::Path;

use crate::content::{Content, Packing};
use crate::error::invalid_input;
use crate::fsx;
use crate::layer;
use crate::spec::digest::{Digest, Hasher};

/// The bytes of a buffer.
const BUFFER: usize = 256 << 10;
/// The bytes of a block of a tar.
const BLOCK: usize = 512;

/// A function that writes bytes.
pub type Fill<'a> = dyn FnMut(&mut (dyn Write + Send)) -> anyhow::Result<()> + 'a;

/// Receives the files of an export, each path once.
pub trait Out {
    fn folder(&mut self, path: &str) -> anyhow::Result<()>;
    fn bytes(&mut self, path: &str, bytes: &[u8]) -> anyhow::Result<()>;
    /// Fails if the content does not have the digest.
    fn content(&mut self, path: &str, content: &Content, digest: &Digest) -> anyhow::Result<()>;
    /// A file of `len` bytes that are made while it is written. Fails if there are more or fewer.
    fn made(&mut self, path: &str, len: u64, fill: &mut Fill<'_>) -> anyhow::Result<()>;
    /// Completes the export.
    fn finish(&mut self) -> anyhow::Result<()>;
}

/// Hands the bytes of content on, the last of them only once its digest is known to be right.
pub(super) fn check(
    content: &Content,
    digest: &Digest,
    take: &mut dyn FnMut(&[u8]) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let (mut reader, mut hasher) = (content.open()?, Hasher::default());
    let (mut buffer, mut left) = (vec![0; BUFFER], content.len());
    loop {
        let wanted = usize::try_from(left).map_or(BUFFER, |left| left.min(BUFFER));
        let read = reader.read_exact(&mut buffer[..wanted]);
        read.map_err(|error| content.failed(error))?;
        hasher.update(&buffer[..wanted]);
        left -= wanted as u64;
        if left == 0 {
            expect(content, hasher.finish().0, digest)?;
            return take(&buffer[..wanted]);
        }
        take(&buffer[..wanted])?;
    }
}

/// Fails if content does not have its digest.
pub(super) fn expect(content: &Content, found: Digest, digest: &Digest) -> anyhow::Result<()> {
    if found == *digest {
        return Ok(());
    }
    Err(invalid_input(format!(
        "{} has the digest {found}, not {digest}",
        content.origin()
    )))
}

/// Writes a layer as gzip. It is compressed twice, since its length comes first.
pub(super) fn repacked(out: &mut dyn Out, path: &str, content: &Content) -> anyhow::Result<()> {
    let len = layer::recompress(content, Packing::Gzip, &mut io::sink())?;
    out.made(path, len, &mut |sink| {
        layer::recompress(content, Packing::Gzip, sink).map(|_| ())
    })
}

/// A tar that is the same wherever it is made: USTAR, without times and owners, files 0644 and folders 0755.
pub struct Tar<'a> {
    out: &'a mut (dyn Write + Send),
    /// What it has.
    paths: BTreeSet<String>,
}

impl<'a> Tar<'a> {
    pub fn new(out: &'a mut (dyn Write + Send)) -> Self {
        let paths = BTreeSet::new();
        Self { out, paths }
    }

    fn header(&mut self, path: &str, len: u64, is_folder: bool) -> anyhow::Result<()> {
        let is_new = self.paths.insert(path.to_owned());
        anyhow::ensure!(is_new, "`{path}` is in the archive already");
        let mut header = tar::Header::new_ustar();
        header.set_path(path)?;
        header.set_mode(if is_folder { 0o755 } else { 0o644 });
        header.set_entry_type(if is_folder {
            tar::EntryType::Directory
        } else {
            tar::EntryType::Regular
        });
        for set in [
            tar::Header::set_uid,
            tar::Header::set_gid,
            tar::Header::set_mtime,
        ] {
            set(&mut header, 0);
        }
        header.set_size(len);
        header.set_cksum();
        write(self.out, header.as_bytes())
    }

    fn pad(&mut self, len: u64) -> anyhow::Result<()> {
        let rest = usize::try_from(len.next_multiple_of(BLOCK as u64) - len)?;
        write(self.out, &[0; BLOCK][..rest])
    }
}

impl Out for Tar<'_> {
    fn folder(&mut self, path: &str) -> anyhow::Result<()> {
        self.header(&format!("{path}/"), 0, true)
    }

    fn bytes(&mut self, path: &str, bytes: &[u8]) -> anyhow::Result<()> {
        let len = bytes.len() as u64;
        self.header(path, len, false)?;
        write(self.out, bytes)?;
        self.pad(len)
    }

    fn content(&mut self, path: &str, content: &Content, digest: &Digest) -> anyhow::Result<()> {
        self.header(path, content.len(), false)?;
        check(content, digest, &mut |bytes| write(self.out, bytes))?;
        self.pad(content.len())
    }

    fn made(&mut self, path: &str, len: u64, fill: &mut Fill<'_>) -> anyhow::Result<()> {
        self.header(path, len, false)?;
        let mut counted = Counted {
            out: self.out,
            left: len,
        };
        fill(&mut counted)?;
        anyhow::ensure!(counted.left == 0, "`{path}` became shorter than planned");
        self.pad(len)
    }

    /// Two blocks of zeros are the end.
    fn finish(&mut self) -> anyhow::Result<()> {
        write(self.out, &[0; 2 * BLOCK])
    }
}

/// Refuses bytes beyond the planned ones.
struct Counted<'a> {
    out: &'a mut (dyn Write + Send),
    left: u64,
}

impl Write for Counted<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let left = self.left.checked_sub(bytes.len() as u64);
        self.left = left.ok_or_else(|| io::Error::other("it is longer than planned"))?;
        self.out.write_all(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Keeps the error of the system as its cause, so that a broken pipe is known as one.
fn write(out: &mut (dyn Write + Send), bytes: &[u8]) -> anyhow::Result<()> {
    out.write_all(bytes).map_err(fsx::cannot_write)
}

/// A folder that does not exist yet. It is made beside its place and gets its name once it is whole.
pub struct Folder {
    made: fsx::NewFolder,
}

impl Folder {
    /// # Errors
    /// If the folder exists, unless it is empty.
    pub fn new(place: &Path) -> anyhow::Result<Self> {
        Ok(Self {
            made: fsx::NewFolder::create(place)?,
        })
    }

    fn create(&self, path: &str) -> anyhow::Result<fsx::NewFile> {
        fsx::NewFile::create(&self.made.path().join(path))
    }
}

impl Out for Folder {
    fn folder(&mut self, path: &str) -> anyhow::Result<()> {
        fsx::create_dirs(&self.made.path().join(path))
    }

    fn bytes(&mut self, path: &str, bytes: &[u8]) -> anyhow::Result<()> {
        Ok(self.create(path)?.write_all(bytes)?)
    }

    fn content(&mut self, path: &str, content: &Content, digest: &Digest) -> anyhow::Result<()> {
        let mut file = self.create(path)?;
        check(content, digest, &mut |bytes| Ok(file.write_all(bytes)?))
    }

    fn made(&mut self, path: &str, _: u64, fill: &mut Fill<'_>) -> anyhow::Result<()> {
        fill(&mut self.create(path)?)
    }

    fn finish(&mut self) -> anyhow::Result<()> {
        self.made.give_name()
    }
}
