//! The rules of the specifications: digests, names, manifests, v1 image JSON. No IO.

pub mod descriptor;
pub mod digest;
pub mod go_json;
pub mod go_v1_image;
pub mod image_config;
pub mod json;
pub mod legacy;
pub mod manifest;
pub mod media_type;
pub mod mistaken;
pub mod name;
pub mod new_name;
pub mod remake;
pub mod schema1;
pub mod signature;
pub mod site_export;
pub mod source_name;
pub mod ssh_command;
pub mod v1;
mod why;
