//! The reference pages that come from the tables in the code, so that they cannot disagree with it.

use std::fmt::Write;

use nnrp_session::{ConnectionState, FRAME_TRANSITIONS, Side, TRANSITIONS, permitted};
use nnrp_wire::codes::{CodeTable, ENUMS, MASKS};
use nnrp_wire::{
    Answer, BodyRule, Channel, Direction, FieldKind, FieldSpec, HeaderLayout, METADATA, MessageType, RULES,
    Reserved, Revision, StructSpec,
};

/// First line of every page.
const GENERATED: &str =
    "<!-- Written by `make docs-generated` from the tables in the code. Change those. -->\n\n";

/// Every page: file name below `docs/reference`, and text.
pub fn pages() -> Vec<(&'static str, String)> {
    vec![
        ("messages.md", messages()),
        ("layouts.md", layouts()),
        ("pictures.md", pictures()),
        ("codes.md", codes()),
        ("rules.md", rules()),
        ("states.md", states()),
    ]
}

fn messages() -> String {
    let mut page = format!("{GENERATED}# Messages\n\n");
    page += "Every packet is a header of 40 bytes, the metadata of its type, and a body. The layouts of the metadata are in\n\
             [layouts.md](layouts.md).\n\n\
             | value | message | direction | on QUIC | metadata | body |\n| --- | --- | --- | --- | --- | --- |\n";
    for spec in Revision::Current.messages() {
        let direction = match spec.direction {
            Direction::ClientToServer => "client to server",
            Direction::ServerToClient => "server to client",
            Direction::Both => "both",
        };
        let channel = match (spec.channel, spec.datagram) {
            (Channel::Control, false) => "control stream",
            (Channel::Control, true) => "control stream or datagram",
            (Channel::Submit | Channel::Result, _) => "a stream of its own",
        };
        let metadata = spec.metadata.map_or("none".to_owned(), |m| format!("{}, {} bytes", m.name, m.len));
        let body = match spec.body {
            BodyRule::None => "none",
            BodyRule::ProfilePatch => "none or 16 bytes",
            BodyRule::Handshake => "extensions, then text or token",
            BodyRule::Opaque => "bytes",
            BodyRule::Frame => "tensors and payloads",
        };
        let _ = writeln!(
            page,
            "| `{:#04x}` | {} | {direction} | {channel} | {metadata} | {body} |",
            spec.message.value(),
            spec.message
        );
    }
    page
}

fn layouts() -> String {
    let mut page = format!("{GENERATED}# Layouts\n\n");
    page += "Integers are unsigned and little-endian; fields follow each other without gaps. `mbz` is refused unless zero, `rsv`\n\
             is ignored and written back as read. A rule refuses values that are not assigned ([rules.md](rules.md)).\n";
    for layout in METADATA {
        page += &layout_table(layout);
    }
    page
}

fn layout_table(layout: &StructSpec) -> String {
    let of = layout.message.map_or(String::new(), |message| format!(", metadata of {message}"));
    let mut table = format!("\n## {}\n\n{} bytes{of}. {}\n\n", layout.name, layout.len, layout.doc.trim());
    table += "| offset | type | field | values | rule |\n| --- | --- | --- | --- | --- |\n";
    for field in layout.fields {
        let _ = writeln!(
            table,
            "| {} | u{} | `{}` | {} | {} |",
            field.offset,
            field.size * 8,
            field.name,
            values(field),
            field.rule.map_or("", |rule| rule.as_str())
        );
    }
    table
}

fn pictures() -> String {
    let mut page = format!("{GENERATED}# Layouts, drawn\n\n");
    page += "Four bytes a row, in the order of the wire; the numbers count bits from the start of the layout. What fields mean is in\n\
             [layouts.md](layouts.md), how the parts follow each other in [the protocol in pictures](../protocol.md).\n";
    for layout in [HeaderLayout::SPEC].iter().chain(METADATA) {
        let of = layout.message.map_or(String::new(), |message| format!(", metadata of {message}"));
        let _ =
            write!(page, "\n## {}\n\n{} bytes{of}.\n\n```mermaid\npacket-beta\n", layout.name, layout.len);
        for field in layout.fields {
            let (first, last) = (field.offset * 8, (field.offset + field.size) * 8 - 1);
            let _ = writeln!(page, "    {first}-{last}: \"{}\"", field.name);
        }
        page += "```\n";
    }
    page
}

fn values(field: &FieldSpec) -> String {
    match (field.reserved, field.kind) {
        (Some(Reserved::MustBeZero), _) => "mbz".into(),
        (Some(Reserved::Ignored), _) => "rsv".into(),
        (None, FieldKind::Number) => field.doc.trim().trim_end_matches('.').to_owned(),
        (None, FieldKind::Enum(table) | FieldKind::Mask(table)) => {
            format!("[{}](codes.md#{})", table.name, table.name.to_lowercase())
        }
    }
}

fn codes() -> String {
    let mut page = format!(
        "{GENERATED}# Codes\n\nEvery number with a name; the names are the same in Rust and Python.\n"
    );
    for table in ENUMS.iter().chain(MASKS) {
        page += &code_table(table);
    }
    page
}

fn code_table(table: &CodeTable) -> String {
    let kind = if table.is_mask { "Bits" } else { "Values" };
    let mut text = format!(
        "\n## {}\n\n{kind}. {}\n\n| value | name | meaning |\n| --- | --- | --- |\n",
        table.name,
        table.doc.trim()
    );
    for row in table.rows {
        let _ = writeln!(text, "| `{:#x}` | {} | {} |", row.value, row.name, row.doc.trim());
    }
    text
}

fn rules() -> String {
    let mut page = format!("{GENERATED}# Rules\n\n");
    page += "What is refused or tolerated, with which error code, and what it costs while a session is active. During the\n\
             handshake whatever would cost a frame or a request ends the connection. Errors carry these ids.\n\n\
             | answer | on the wire | what follows |\n| --- | --- | --- |\n\
             | connection | ERROR, fatal | the connection closes |\n\
             | session | ERROR | the message is dropped |\n\
             | frame | ERROR and RESULT_DROP | that frame ends |\n\
             | refuse | the acknowledgement says no | nothing else |\n\
             | local | nothing | the caller gets the error |\n\
             | ignore | nothing | discarded and counted |\n\
             | accept | nothing | the rule says how to read it |\n\n\
             | id | what | code | answer |\n| --- | --- | --- | --- |\n";
    for rule in RULES {
        let answer = match rule.answer {
            Answer::Fatal => "connection",
            Answer::Session => "session",
            Answer::Frame => "frame",
            Answer::Refuse => "refuse",
            Answer::Local => "local",
            Answer::Ignore => "ignore",
            Answer::Accept => "accept",
        };
        let code = rule.code.map_or(String::new(), |code| code.to_string());
        let _ = writeln!(page, "| {} | {} | {code} | {answer} |", rule.id, rule.summary);
    }
    page
}

fn states() -> String {
    let mut page = format!("{GENERATED}# States\n\n");
    page += "A connection carries one session, and both share these states. Ping, Pong, Close and Error may always arrive.\n\n\
             ## Connection and session\n\n```mermaid\nstateDiagram-v2\n    [*] --> Init\n";
    for row in TRANSITIONS {
        let _ = writeln!(page, "    {:?} --> {:?}: {}", row.from, row.to, row.on);
    }
    page += "    Closed --> [*]\n```\n\n| from | on | to |\n| --- | --- | --- |\n";
    for row in TRANSITIONS {
        let _ = writeln!(page, "| {:?} | {} | {:?} |", row.from, row.on, row.to);
    }
    page += "\n| message | a server takes it in | a client takes it in |\n| --- | --- | --- |\n";
    for spec in Revision::Current.messages() {
        let [server, client] = [Side::Server, Side::Client].map(|side| taken_in(side, spec.message));
        let _ = writeln!(page, "| {} | {server} | {client} |", spec.message);
    }
    page += "\n## Frames\n\nA frame is named by session, view and frame id; views never share a lifecycle. Submitted, Processing and Ready are\n\
             live. Nothing leaves Delivered, Dropped, Cancelled and Expired. A cancelled frame's credit returns with its terminal\n\
             message.\n";
    for (side, who) in [(Side::Client, "client"), (Side::Server, "server")] {
        let rows = || FRAME_TRANSITIONS.iter().filter(|row| row.side == side);
        let begin = if side == Side::Client { "Announced" } else { "Submitted" };
        let _ = write!(page, "\n### On the {who}\n\n```mermaid\nstateDiagram-v2\n    [*] --> {begin}\n");
        for row in rows() {
            let _ = writeln!(page, "    {:?} --> {:?}: {}", row.from, row.to, row.on);
        }
        let mut ends: Vec<String> =
            rows().filter(|row| row.to.is_terminal()).map(|row| format!("{:?}", row.to)).collect();
        ends.sort_unstable();
        ends.dedup();
        for end in ends {
            let _ = writeln!(page, "    {end} --> [*]");
        }
        page += "```\n\n| from | on | to |\n| --- | --- | --- |\n";
        for row in rows() {
            let _ = writeln!(page, "| {:?} | {} | {:?} |", row.from, row.on, row.to);
        }
    }
    page
}

/// The states in which `side` takes a message, in words.
fn taken_in(side: Side, message: MessageType) -> String {
    use ConnectionState as S;
    let states = [S::Init, S::Negotiating, S::Active, S::Draining];
    let taken: Vec<String> = states
        .into_iter()
        .filter(|state| permitted(side, *state, message))
        .map(|state| format!("{state:?}"))
        .collect();
    match taken.len() {
        0 => "never".into(),
        len if len == states.len() => "always".into(),
        _ => taken.join(", "),
    }
}
