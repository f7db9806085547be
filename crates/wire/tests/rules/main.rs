//! Every rule of the codec with a packet that breaks it and the nearest one that does not.
//!
//! The cases of one topic stand in one file; the tests here go over the table of rules and fail for a rule without a case.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

mod bodies;
mod build;
mod control;
mod frames;
mod header;
mod objects;

use std::collections::BTreeSet;

use bytes::Bytes;
use nnrp_wire::{Answer, ErrorCode, Layer, Message, Packet, RULES, RuleId, WireError};

/// A pair of packets that differ in one thing.
pub(crate) struct Case {
    pub(crate) rule: RuleId,
    pub(crate) broken: Bytes,
    pub(crate) legal: Bytes,
}

pub(crate) fn case(rule: RuleId, broken: Bytes, legal: Bytes) -> Case {
    Case { rule, broken, legal }
}

fn cases() -> Vec<Case> {
    [header::cases(), control::cases(), frames::cases(), bodies::cases(), objects::cases()]
        .into_iter()
        .flatten()
        .collect()
}

/// Rules that say what is tolerated, each with a packet that makes use of it.
fn tolerated() -> Vec<(RuleId, Bytes)> {
    [control::tolerated(), bodies::tolerated(), objects::tolerated()].into_iter().flatten().collect()
}

fn read(raw: &Bytes) -> Result<Message, WireError> {
    Packet::decode(raw.clone())?.message()
}

#[test]
fn broken_packets_are_refused_by_their_rule() {
    for case in cases() {
        match read(&case.broken) {
            Err(error) => assert_eq!(error.rule, case.rule, "{error}"),
            Ok(message) => panic!("{} is not refused: {message:?}", case.rule),
        }
    }
}

#[test]
fn legal_neighbours_are_accepted() {
    for case in cases() {
        if let Err(error) = read(&case.legal) {
            panic!("the legal neighbour of {}: {error}", case.rule);
        }
    }
}

#[test]
fn tolerated_packets_are_accepted() {
    for (rule, raw) in tolerated() {
        if let Err(error) = read(&raw) {
            panic!("{rule}: {error}");
        }
        assert_eq!(rule.answer(None), Answer::Accept, "{rule}");
    }
}

#[test]
fn every_rule_of_the_codec_has_a_case() {
    let covered: BTreeSet<RuleId> =
        cases().iter().map(|case| case.rule).chain(tolerated().iter().map(|(rule, _)| *rule)).collect();
    let missing: Vec<&str> = RULES
        .iter()
        .filter(|rule| rule.layer == Layer::Codec && !covered.contains(&rule.rule))
        .map(|rule| rule.id)
        .collect();
    assert!(missing.is_empty(), "no case for {missing:?}");
}

#[test]
fn the_table_of_rules_is_in_order() {
    for (position, rule) in RULES.iter().enumerate() {
        assert_eq!(rule.rule as usize, position, "{}", rule.id);
        assert_eq!(rule.rule.as_str(), rule.id);
        assert!(rule.id.starts_with("R-"));
        let answered = matches!(rule.answer, Answer::Fatal | Answer::Session | Answer::Frame);
        assert!(!answered || rule.code.is_some(), "{} is answered without a code", rule.id);
    }
}

#[test]
fn one_principle_decides_the_code() {
    let code = |case: &Case| read(&case.broken).unwrap_err().code();
    for case in cases() {
        let expected = match case.rule {
            RuleId::HDR_1 | RuleId::HDR_5 => ErrorCode::MalformedHeader,
            RuleId::HDR_2 | RuleId::HDR_3 => ErrorCode::UnsupportedVersion,
            _ => continue,
        };
        assert_eq!(code(&case), expected, "{}", case.rule);
    }
}
