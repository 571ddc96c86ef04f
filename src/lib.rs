//! Stillage turns local container images into a folder of plain files that any static web server
//! serves as a read-only registry.
pub mod catalogue;
pub mod cli;
pub mod content;
pub mod draft;
pub mod error;
pub mod fsx;
pub mod images;
pub mod ingest;
pub mod layer;
pub mod ops;
pub mod plan;
pub mod site;
pub mod site_files;
pub mod source;
pub mod spec;
pub mod tree;
