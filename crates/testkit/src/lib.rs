//! What the tests of this workspace share: two machines in one thread under a virtual clock ([`Pair`]),
//! packets to send them ([`packets`]), and the reference pages ([`document`]).
#![forbid(unsafe_code)]

pub mod check;
pub mod document;
pub mod packets;
mod pair;

pub use pair::{End, Pair};
