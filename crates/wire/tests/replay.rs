//! The fuzz targets' properties over the golden packets, every prefix of them and seeded bit flips: a fuzz run that fits into
//! the ordinary test suite and needs no nightly compiler. What a longer run has found is replayed when `NNRP_CORPUS` names its
//! folder, which has a folder for each target.

#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use std::{fs, path::PathBuf};

use common::{packet_of, vectors};
use nnrp_wire::check;

/// Flips tried per packet, on top of the prefixes.
const FLIPS: usize = 48;

fn check_all(data: &[u8]) {
    check::header_round_trips(data);
    check::packet_round_trips(data);
    let after_header = data.get(40..).unwrap_or_default();
    check::metadata_round_trips(after_header);
    match data.get(6) {
        Some(0x01) => check::control_extensions(data.get(104..).unwrap_or_default()),
        Some(0x02) => check::control_extensions(data.get(120..).unwrap_or_default()),
        Some(0x10) => check::submit_body(after_header),
        Some(0x12) => check::result_body(after_header),
        _ => {}
    }
    check::tile_index(after_header);
    check::values_round_trip(after_header);
}

/// A small generator (xorshift): the same flips in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % bound as u64).unwrap()
    }
}

type Property = fn(&[u8]);

/// The fuzz targets by their names.
const TARGETS: [(&str, Property); 8] = [
    ("header", check::header_round_trips),
    ("packet", check::packet_round_trips),
    ("metadata", check::metadata_round_trips),
    ("submit_body", check::submit_body),
    ("result_body", check::result_body),
    ("control_extensions", check::control_extensions),
    ("tile_index", check::tile_index),
    ("values", check::values_round_trip),
];

#[test]
fn what_fuzzing_has_found() {
    let Some(corpus) = std::env::var_os("NNRP_CORPUS").map(PathBuf::from) else { return };
    for (target, property) in TARGETS {
        let files = fs::read_dir(corpus.join(target)).into_iter().flatten();
        files.for_each(|file| property(&fs::read(file.unwrap().path()).unwrap()));
    }
}

#[test]
fn golden_and_damaged_packets() {
    for file in ["valid.json", "invalid.json"] {
        for vector in vectors(file) {
            check_all(&packet_of(&vector));
        }
    }
}

#[test]
fn every_prefix() {
    for vector in vectors("valid.json") {
        let raw = packet_of(&vector);
        // The long ones repeat themselves.
        for length in 0..raw.len().min(400) {
            check_all(&raw[..length]);
        }
    }
}

#[test]
fn bit_flips() {
    let mut random = Random(0x9E37_79B9_7F4A_7C15);
    for vector in vectors("valid.json") {
        let raw = packet_of(&vector);
        if raw.len() > 2000 {
            continue;
        }
        for _ in 0..FLIPS {
            let mut damaged = raw.to_vec();
            for _ in 0..=random.below(3) {
                let bit = random.below(damaged.len() * 8);
                damaged[bit / 8] ^= 1 << (bit % 8);
            }
            check_all(&damaged);
        }
    }
}

#[test]
fn numbers_replaced_by_extremes() {
    for vector in vectors("valid.json") {
        let raw = packet_of(&vector);
        for offset in (40..raw.len().min(240)).step_by(2) {
            for value in [0_u32, 1, 0xFFFF, 0x7FFF_FFFF, u32::MAX] {
                let mut damaged = raw.to_vec();
                for (byte, new) in damaged[offset..].iter_mut().zip(value.to_le_bytes()) {
                    *byte = new;
                }
                check_all(&damaged);
            }
        }
    }
}
