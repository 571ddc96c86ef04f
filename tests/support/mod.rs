//! What the tests share.

pub(crate) mod archive;
pub(crate) mod bad_server;
pub(crate) mod chance;
pub(crate) mod clients;
pub(crate) mod collections;
pub(crate) mod distribution;
pub(crate) mod expected;
pub(crate) mod files;
pub(crate) mod findings;
pub(crate) mod hand_site;
pub(crate) mod http;
pub(crate) mod judge;
pub(crate) mod layout;
pub(crate) mod place;
pub(crate) mod process;
pub(crate) mod refused;
pub(crate) mod registry;
pub(crate) mod row;
pub(crate) mod sample;
pub(crate) mod schema1;
pub(crate) mod servers;
pub(crate) mod site;
pub(crate) mod storage;
pub(crate) mod suite_data;
pub(crate) mod temp;
pub(crate) mod v1_images;
