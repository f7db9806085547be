//! What the tests of this workspace share: two machines in one thread under a virtual clock ([`Pair`]), and
//! packets to send them ([`packets`]).
#![forbid(unsafe_code)]

pub mod packets;
mod pair;

pub use pair::{End, Pair};
