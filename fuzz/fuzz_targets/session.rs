//! Sequences of operations on a client and a server.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| nnrp_testkit::check::session_survives(data));
