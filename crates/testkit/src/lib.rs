//! What the tests of this workspace share.
//!
//! | module | is |
//! | --- | --- |
//! | [`Pair`], [`packets`] | two machines in one thread under a virtual clock, and packets to send them |
//! | [`link`], [`Node`], [`World`] | the same over a network that delays, cuts, loses, reorders and breaks, from a seed |
//! | [`script`], [`story`], [`campaign`] | random scripts over such links, what must hold of them, and many of them |
//! | [`relay`] | a bad network between real sockets |
//! | [`check`] | properties for fuzz targets |
//! | [`document`] | the reference pages |
#![forbid(unsafe_code)]

pub mod campaign;
pub mod check;
pub mod document;
pub mod link;
mod node;
pub mod packets;
mod pair;
pub mod random;
pub mod relay;
pub mod script;
pub mod story;
mod world;

pub use node::Node;
pub use pair::{End, Pair};
pub use world::World;
