//! The fixed layouts, each over the same bytes.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| nnrp_wire::check::metadata_round_trips(data));
