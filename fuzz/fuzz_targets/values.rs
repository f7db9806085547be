//! Messages and frames built from any values.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| nnrp_wire::check::values_round_trip(data));
