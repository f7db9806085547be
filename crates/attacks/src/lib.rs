//! Hostile peers. The server under attack ([`Victim`]) is a process of its own, so that what it holds can be told from
//! what its attackers hold; it counts its allocations and says how many files, tasks and sessions it has.
//!
//! Each attack is a function over raw sockets ([`Raw`]) in [`attacks`]. The tests run it small and the `hostile` tool
//! runs it in full and prints what it cost: `cargo run --release -p nnrp-attacks --bin hostile`.
#![deny(unsafe_code)]

pub mod attacks;
pub mod counting;
mod dial;
mod raw;
pub mod serve;
mod victim;

pub use dial::Dialer;
pub use raw::Raw;
pub use victim::{Kind, Memory, Mode, Victim};

/// What an attacker runs into when its victim does not behave as it should.
pub type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// The error that says `text`.
pub(crate) fn failed<T>(text: impl Into<String>) -> Result<T> {
    Err(text.into().into())
}
