//! The operation behind each command. Nothing here prints.

pub mod build;
pub mod changes;
mod commit;
pub mod config;
pub mod edit;
pub mod get;
pub mod list;
pub mod prune;
#[cfg(feature = "publish")]
pub mod publish;
pub mod retention;
mod since;
mod unused;

mod v1_layers;
pub mod verify;
mod view;
