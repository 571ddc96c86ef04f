//! The rules of the specifications, without any IO: digests, names, manifests, v1 image JSON.

pub mod descriptor;
pub mod digest;
pub mod go_v1_image;
pub mod json;
pub mod legacy;
pub mod manifest;
pub mod media_type;
pub mod name;
pub mod remake;
pub mod v1;
