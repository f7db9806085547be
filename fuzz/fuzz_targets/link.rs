//! Sequences of operations of two applications, over a simulated network.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| nnrp_testkit::check::scripts_keep_every_promise(data));
