//! What client and server agree on: the client offers, the server allows, and both see the same.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]

use nnrp_session::{Admission, Event, ServerSettings};
use nnrp_testkit::{Pair, packets};
use nnrp_wire::{
    ClientHello, ClientHelloMetadata, ControlExtension, DegradePolicy, LossTolerance,
    LossToleranceAckExtension, LossToleranceExtension, PayloadCapabilitiesAckExtension,
    PayloadCapabilitiesExtension, PayloadKind, ServerFlags, ServerHelloAck, ServerHelloAckMetadata,
    TransportId, TransportPolicy, TransportPolicyAckExtension, TransportPolicyExtension,
};

/// Opens a session with this offer and these settings; what the server says it agreed to is what the client got.
fn agreed(transport: TransportId, hello: &ClientHello, settings: ServerSettings) -> ServerHelloAck {
    let mut pair = Pair::knocking_over(transport, hello);
    pair.server.machine.set_server_settings(settings);
    let said = pair.server.machine.admit(pair.now, &Admission::default()).unwrap();
    pair.drive();
    let Some(Event::Established(established)) = pair.client.event() else { panic!("no session") };
    assert_eq!(established.ack.extensions, said.extensions);
    let mut heard = established.ack.metadata;
    heard.control_extension_bytes = 0;
    assert_eq!(heard, said.metadata, "the two sides see different terms");
    pair.client.events.clear();
    pair.echo(1);
    established.ack
}

/// One field: what the client says, what the server allows, and what comes out.
struct Row<T> {
    offered: T,
    allowed: T,
    agreed: T,
}

fn check<T: Copy + PartialEq + std::fmt::Debug>(
    field: &str,
    rows: &[Row<T>],
    offer: impl Fn(&mut ClientHelloMetadata, T),
    allow: impl Fn(&mut ServerSettings, T),
    read: impl Fn(&ServerHelloAckMetadata) -> T,
) {
    for row in rows {
        let mut hello = packets::hello();
        offer(&mut hello.metadata, row.offered);
        let mut settings = ServerSettings::default();
        allow(&mut settings, row.allowed);
        let ack = agreed(TransportId::Quic, &hello, settings);
        assert_eq!(read(&ack.metadata), row.agreed, "{field}: {:?} of {:?}", row.offered, row.allowed);
    }
}

/// Bitmaps are intersected; an empty outcome is told, not refused (R-NEG-1).
const BITMAPS: [Row<u32>; 4] = [
    Row { offered: 0b011, allowed: 0b111, agreed: 0b011 },
    Row { offered: 0b111, allowed: 0b010, agreed: 0b010 },
    Row { offered: 0b100, allowed: 0b011, agreed: 0 },
    Row { offered: u32::MAX, allowed: 0b101, agreed: 0b101 },
];

#[test]
fn codecs() {
    let (offer, allow) = (
        |h: &mut ClientHelloMetadata, v| h.supported_codec_bitmap = v,
        |s: &mut ServerSettings, v| s.codecs = v,
    );
    check("codecs", &BITMAPS, offer, allow, |ack| ack.accepted_codec_bitmap);
}

#[test]
fn compressions() {
    let (offer, allow) = (
        |h: &mut ClientHelloMetadata, v| h.supported_compression_bitmap = v,
        |s: &mut ServerSettings, v| s.compressions = v,
    );
    check("compressions", &BITMAPS, offer, allow, |ack| ack.accepted_compression_bitmap);
}

#[test]
fn dtypes() {
    let (offer, allow) = (
        |h: &mut ClientHelloMetadata, v| h.supported_dtype_bitmap = v,
        |s: &mut ServerSettings, v| s.dtypes = v,
    );
    check("dtypes", &BITMAPS, offer, allow, |ack| ack.accepted_dtype_bitmap);
}

#[test]
fn layouts() {
    let (offer, allow) = (
        |h: &mut ClientHelloMetadata, v| h.supported_layout_bitmap = v,
        |s: &mut ServerSettings, v| s.layouts = v,
    );
    check("layouts", &BITMAPS, offer, allow, |ack| ack.accepted_layout_bitmap);
}

#[test]
fn lanes() {
    let rows = [
        Row { offered: 4, allowed: 8, agreed: 4 },
        Row { offered: 8, allowed: 4, agreed: 4 },
        Row { offered: 0, allowed: 4, agreed: 1 },
        Row { offered: 3, allowed: 0, agreed: 1 },
    ];
    let (offer, allow) =
        (|h: &mut ClientHelloMetadata, v| h.max_lane_count = v, |s: &mut ServerSettings, v| s.max_lanes = v);
    check("lanes", &rows, offer, allow, |ack| ack.max_lane_count);
}

#[test]
fn limits_are_the_servers() {
    let mut settings = ServerSettings::default();
    settings.max_concurrent_frames = 7;
    settings.max_body_bytes = 123_456;
    let ack = agreed(TransportId::Quic, &packets::hello(), settings).metadata;
    assert_eq!((ack.max_concurrent_frames, ack.max_body_bytes), (7, 123_456));
}

#[test]
fn wishes_of_the_client_are_confirmed() {
    let mut hello = packets::hello();
    hello.metadata.target_cadence_x100 = 2_400;
    hello.metadata.quality_tier = 9;
    hello.metadata.degrade_policy = DegradePolicy::PreferLatency;
    let ack = agreed(TransportId::Quic, &hello, ServerSettings::default()).metadata;
    assert_eq!(
        (ack.target_cadence_x100, ack.quality_tier, ack.degrade_policy),
        (2_400, 9, DegradePolicy::PreferLatency)
    );
    // A budget belongs to each frame: nothing is promised for the session.
    assert_eq!(ack.latency_budget_ms, 0);
}

#[test]
fn a_degrade_policy_nobody_knows_counts_as_the_servers_own() {
    let mut hello = packets::hello();
    hello.metadata.degrade_policy = DegradePolicy::from(77);
    let ack = agreed(TransportId::Quic, &hello, ServerSettings::default());
    assert_eq!(ack.metadata.degrade_policy, DegradePolicy::ServerDefault);
}

#[test]
fn version_and_wire_format() {
    let mut hello = packets::hello();
    hello.metadata.max_version_major = 9;
    hello.metadata.supported_wire_format_bitmap = 0xFFFF;
    hello.metadata.supported_profile_bitmap = u32::MAX;
    let ack = agreed(TransportId::Quic, &hello, ServerSettings::default()).metadata;
    assert_eq!(
        (ack.selected_version_major, ack.selected_wire_format, ack.accepted_profile_bitmap),
        (1, 0, 1)
    );
    assert_eq!((ack.auth_status, ack.token_ttl_ms, ack.retry_after_ms), (0, 0, 0));
}

#[test]
fn the_cache() {
    let cached = |objects: u16, enabled: bool| {
        let mut hello = packets::hello();
        hello.metadata.cache_object_bitmap = objects;
        hello.metadata.cache_digest_bitmap = 1;
        let mut settings = ServerSettings::default();
        settings.enable_cache = enabled;
        settings.max_cache_entries = 5;
        settings.max_cache_bytes = 6_000;
        let ack = agreed(TransportId::Quic, &hello, settings).metadata;
        (
            ack.cache_object_bitmap,
            ack.cache_digest_bitmap,
            ack.max_cache_entries,
            ack.max_cache_bytes,
            ack.server_flags,
        )
    };
    assert_eq!(cached(0b111, true), (0b111, 1, 5, 6_000, ServerFlags::CACHE_ENABLED));
    // Kinds that do not exist are left out.
    assert_eq!(cached(0xFFFF, true).0, 0x1FF);
    let none = (0, 0, 0, 0, ServerFlags::default());
    assert_eq!(cached(0b111, false), none);
    assert_eq!(cached(0, true), none);
}

#[test]
fn payload_kinds() {
    let tensors_and_tokens = PayloadKind::TENSOR | PayloadKind::TOKEN_CHUNK;
    let agree = |declared: Option<PayloadKind>, allowed: PayloadKind| {
        let mut hello = packets::hello();
        let extension = |kinds| {
            PayloadCapabilitiesExtension { payload_kind_bitmap: kinds, ..Default::default() }.to_extension()
        };
        hello.extensions.extend(declared.map(extension));
        let mut settings = ServerSettings::default();
        settings.payload_kinds = allowed;
        let ack = agreed(TransportId::Quic, &hello, settings);
        let answered = ack.extensions.first().map(|entry| {
            PayloadCapabilitiesAckExtension::from_extension(entry).unwrap().accepted_payload_kind_bitmap
        });
        assert!(answered.is_none_or(|answered| answered == ack.metadata.accepted_payload_kind_bitmap));
        assert_eq!(answered.is_some(), declared.is_some());
        ack.metadata.accepted_payload_kind_bitmap
    };
    // R-NEG-2: what the metadata of an old hello says does not count.
    assert_eq!(agree(None, PayloadKind::KNOWN), PayloadKind::KNOWN);
    assert_eq!(agree(None, PayloadKind::TENSOR), PayloadKind::TENSOR);
    assert_eq!(agree(Some(tensors_and_tokens), PayloadKind::KNOWN), tensors_and_tokens);
    assert_eq!(agree(Some(PayloadKind::KNOWN), tensors_and_tokens), tensors_and_tokens);
    assert_eq!(agree(Some(tensors_and_tokens), PayloadKind::TENSOR), PayloadKind::TENSOR);
}

#[test]
fn loss_tolerance() {
    use LossTolerance::{BestEffort, FireAndForget, LowLatency, Strict};
    let rows = [
        (Strict, FireAndForget, Strict),
        (LowLatency, LowLatency, LowLatency),
        (FireAndForget, BestEffort, BestEffort),
        (BestEffort, Strict, Strict),
    ];
    for (asked, allowed, expected) in rows {
        let mut hello = packets::hello();
        let extension = LossToleranceExtension { session_loss_tolerance: asked, ..Default::default() };
        hello.extensions.push(extension.to_extension());
        let mut settings = ServerSettings::default();
        settings.max_loss_tolerance = allowed;
        let ack = agreed(TransportId::Quic, &hello, settings);
        let answer = LossToleranceAckExtension::from_extension(&ack.extensions[0]).unwrap();
        assert_eq!(answer.accepted_loss_tolerance, expected, "{asked} of {allowed}");
    }
}

#[test]
fn transport_policy() {
    use TransportPolicy::{Auto, ForceQuic, ForceTcp, PreferQuic, PreferTcp};
    let rows = [
        (
            TransportId::Quic,
            [(Auto, Auto), (PreferQuic, PreferQuic), (PreferTcp, Auto), (ForceQuic, ForceQuic)],
        ),
        (TransportId::Tcp, [(Auto, Auto), (PreferTcp, PreferTcp), (PreferQuic, Auto), (ForceTcp, ForceTcp)]),
    ];
    for (transport, policies) in rows {
        for (asked, honoured) in policies {
            let mut hello = packets::hello();
            let extension = TransportPolicyExtension { transport_policy: asked, ..Default::default() };
            hello.extensions.push(extension.to_extension());
            let ack = agreed(transport, &hello, ServerSettings::default());
            let answer = TransportPolicyAckExtension::from_extension(&ack.extensions[0]).unwrap();
            assert_eq!(answer.transport_policy, asked);
            assert_eq!(answer.accepted_transport_policy, honoured);
            assert_eq!(answer.active_transport_id, transport);
        }
    }
}

#[test]
fn extensions_of_the_application_travel_both_ways() {
    let of_client = ControlExtension { ext_type: 0x7001, payload: "asked".into(), ..Default::default() };
    let of_server = ControlExtension { ext_type: 0x7002, payload: "answered".into(), ..Default::default() };
    let mut hello = packets::hello();
    hello.extensions.push(of_client.clone());
    let mut pair = Pair::knocking(&hello);
    let Some(Event::Hello(received)) = pair.server.event() else { panic!() };
    assert_eq!(received.hello.extensions, [of_client]);
    let admission = Admission { extra_extensions: vec![of_server.clone()], ..Admission::default() };
    pair.server.machine.admit(pair.now, &admission).unwrap();
    pair.drive();
    let Some(Event::Established(established)) = pair.client.event() else { panic!() };
    assert_eq!(established.ack.extensions, [of_server]);
}

#[test]
fn an_answer_of_the_application_replaces_the_librarys() {
    let mut hello = packets::hello();
    hello.extensions.push(LossToleranceExtension::default().to_extension());
    let mut pair = Pair::knocking(&hello);
    let ours =
        LossToleranceAckExtension { accepted_loss_tolerance: LossTolerance::Strict, ..Default::default() };
    let admission = Admission { extra_extensions: vec![ours.to_extension()], ..Admission::default() };
    let ack = pair.server.machine.admit(pair.now, &admission).unwrap();
    assert_eq!(ack.extensions, [ours.to_extension()]);
}
