//! Takes images from sources, on their way into a site.
//! ```text
//! request   which images to take from a source, and their names
//! selection --only and --exclude
//! draft     what a source holds: manifests, names, and the content to import
//! ingest    imports content: reads it once, checks it, compresses it, puts it into staging
//! staging   where content is until it gets its name in the site
//! ```

pub mod draft;
pub mod ingest;
pub mod request;
pub mod selection;
pub mod staging;
