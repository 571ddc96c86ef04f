//! The operation behind each command. Nothing here prints.

pub mod base;
pub mod build;
pub mod changes;
pub mod clients;
mod commit;
pub mod config;
pub mod diff;
pub mod edit;
pub mod export;
pub mod get;
pub mod list;
pub mod missing;
pub mod prune;
#[cfg(feature = "publish")]
pub mod publish;
pub mod retention;
mod select;
mod since;
mod unused;

mod v1_layers;
pub mod verify;
mod view;
