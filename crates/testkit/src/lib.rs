//! What the tests of this workspace share: two machines in one thread under a virtual clock ([`Pair`]),
//! packets to send them ([`packets`]), and the reference pages ([`document`]).
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
