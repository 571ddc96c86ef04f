//! Takes images from sources, on their way into a site.
//! ```text
//! request      which images to take from a source, and their names
//! selection    --only and --exclude
//! draft        what a source holds: manifests, names, and the content to import
//! check        what must hold for the layers of v1 images
//! duplicates   which jobs have the same content
//! ingest       imports content: reads it once, checks it, compresses it, puts it into staging
//! staging      where content is until it gets its name in the site
//! ```

pub mod check;
pub mod draft;
mod duplicates;
pub mod ingest;
pub mod request;
pub mod selection;
pub mod staging;
