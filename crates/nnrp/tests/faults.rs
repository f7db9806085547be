//! Real sessions over networks that misbehave, and with servers that are killed.
//!
//! The network is a relay in user space ([`nnrp_testkit::relay`]), so these tests run everywhere.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]
#![allow(clippy::print_stdout, reason = "the numbers of a long run, and what a server process says")]

mod faults {
    pub(crate) mod bad_network;
    pub(crate) mod cut;
    pub(crate) mod killed;
    pub(crate) mod rebinding;
    pub(crate) mod relayed;
    pub(crate) mod slow;
}
