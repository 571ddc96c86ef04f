//! What the sources offer, on its way into a site.
//! ```text
//! request   which images are asked for, and their names
//! selection --only and --exclude
//! draft     what a source says: manifests, names, and the content to take in
//! ingest    content taken in: read once, checked, compressed, put into staging
//! staging   where content goes until it gets its name
//! ```

pub mod draft;
pub mod ingest;
pub mod request;
pub mod selection;
pub mod staging;
