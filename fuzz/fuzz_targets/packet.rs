//! Whole packets of any type.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| nnrp_wire::check::packet_round_trips(data));
