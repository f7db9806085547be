//! The table of what idle sessions and attacks cost.
#![allow(clippy::print_stdout, reason = "the table is what it is for")]

use std::path::Path;
use std::time::Duration;

use super::{ATTACKS, Attack, Scale, carry_out, dialer};
use crate::{Kind, Memory, Mode, Result, Victim};

/// Idle sessions held at once.
const IDLE_SESSIONS: usize = 2000;

/// What the victim's allocator and the kernel count for each of `sessions` idle sessions.
#[derive(Clone, Copy, Debug)]
pub struct Idle {
    /// Bytes allocated for each.
    pub held: usize,
    /// Bytes of physical memory for each.
    pub resident: usize,
    /// Tasks for each.
    pub tasks: usize,
    /// Open files for each.
    pub files: usize,
}

/// Opens `sessions` sessions, each with one frame answered, and divides what they hold.
///
/// # Errors
///
/// When they cannot be opened.
pub async fn idle(program: &Path, kind: Kind, sessions: usize) -> Result<Idle> {
    let victim = Victim::start(program, kind, Mode::Echo, Duration::from_secs(10)).await?;
    victim.serves().await?;
    let before = victim.until("the good client's end", |memory| memory.sessions == 0).await?;
    let dialer = dialer(&victim)?;
    let mut clients = Vec::new();
    for _ in 0..sessions {
        let mut client = dialer.session().await?;
        client.echo(1).await?;
        clients.push(client);
    }
    // What the last ones still have in flight is acknowledged within a moment.
    nnrp::clock::sleep_until(Some(nnrp::clock::now() + Duration::from_secs(2))).await;
    let after = victim.memory().await?;
    // Rounded: the good client's last file or task may go in between.
    let each = |of: fn(&Memory) -> usize| (of(&after).saturating_sub(of(&before)) + sessions / 2) / sessions;
    Ok(Idle {
        held: each(|memory| memory.held),
        resident: each(|memory| memory.resident),
        tasks: each(|memory| memory.tasks),
        files: each(|memory| memory.files),
    })
}

fn kib(bytes: usize) -> String {
    format!("{:.1} KiB", bytes as f64 / 1024.0)
}

fn mib(bytes: usize) -> String {
    format!("{:.1} MiB", bytes as f64 / (1024.0 * 1024.0))
}

/// Prints the table as Markdown, for the attacks whose names contain one of `names`, or all.
///
/// # Errors
///
/// When a victim did not stand its ground, after the table.
pub async fn report(program: &Path, names: &[&str]) -> Result<()> {
    let wanted = |name: &str| names.is_empty() || names.iter().any(|part| name.contains(part));
    if wanted("idle") {
        println!("| {IDLE_SESSIONS} idle sessions | allocated, each | resident, each | tasks | files |");
        println!("| --- | --- | --- | --- | --- |");
        for kind in Kind::ALL {
            let idle = idle(program, kind, IDLE_SESSIONS).await?;
            let (held, resident) = (kib(idle.held), kib(idle.resident));
            println!("| {} | {held} | {resident} | {} | {} |", kind.name(), idle.tasks, idle.files);
        }
        println!();
    }
    println!("| attack | over | allocated at most | bound | resident at its end |");
    println!("| --- | --- | --- | --- | --- |");
    let mut fell = Vec::new();
    for attack in ATTACKS.iter().filter(|attack| wanted(attack.name)) {
        for (kind, bound) in Kind::ALL.into_iter().filter_map(|kind| Some((kind, attack.bound(kind)?))) {
            if let Err(error) = line(program, attack, kind, bound).await {
                println!("| {} | {} | **{error}** | | |", attack.name, kind.name());
                fell.push(format!("{} over {}: {error}", attack.name, kind.name()));
            }
        }
    }
    if fell.is_empty() { Ok(()) } else { Err(fell.join("\n").into()) }
}

async fn line(program: &Path, attack: &Attack, kind: Kind, bound: usize) -> Result<()> {
    let cost = carry_out(program, attack, kind, Scale::Full).await?;
    let resident = cost.during.resident.saturating_sub(cost.before.resident);
    let (peak, bound, resident) = (mib(cost.peak()), mib(bound), mib(resident));
    println!("| {} | {} | {peak} | {bound} | {resident} |", attack.name.replace('_', " "), kind.name());
    Ok(())
}
