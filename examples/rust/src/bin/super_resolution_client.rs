//! Enlarges a grey picture twofold with the super-resolution server in `examples/python/super_resolution`.
//!
//! ```text
//! PYTHONPATH=examples/python python -m super_resolution.server --certificate-out server.pem &
//! cargo run -p nnrp-examples --bin super_resolution_client -- 127.0.0.1:4433 server.pem small.pgm large.pgm
//! ```
//!
//! The picture is a binary PGM (`P5`, 8 bits), which every image tool writes. It is cut into tiles of 32 pixels with a halo of 4;
//! the server answers with what has to be added to the picture enlarged by interpolation. Frames of 32 tiles each go out through
//! a sink, as many at once as the server takes, and results are painted as they come.

use std::fs;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use nnrp::wire::{InputProfile, Section, SubmitFrame, TensorDType};
use nnrp::{ClientConfig, ClientSession, PushedResult, Reply};
use nnrp_examples::picture::{self, Picture, SCALE};
use nnrp_examples::{Arguments, Failure, fail, trust};

/// Side of a tile, and the pixels around it that the model looks at.
const TILE: u16 = 32;
const HALO: usize = 4;
/// 32 tiles are 50 KiB to send and 256 KiB to receive: enough work for a frame, small beside every limit.
const TILES_PER_FRAME: usize = 32;
/// What the sections mean to this server: luma with its halo goes there, the residual comes back.
const LUMA: u16 = 5;
const RESIDUAL: u16 = 100;
/// A hundred times what a frame needs: only a broken server takes longer.
const PATIENCE: Duration = Duration::from_secs(10);

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let mut arguments = Arguments::of("super_resolution_client ADDRESS:PORT CERTIFICATE SMALL.pgm LARGE.pgm");
    let server: SocketAddr = arguments.required()?;
    let certificate = arguments.required()?;
    let (small, large): (String, String) = (arguments.required()?, arguments.required()?);
    let small = Picture::read(&fs::read(small)?)?;
    // Session id 0 leaves the choice to the server; the default budget of a session is for games, not for photographs.
    let config = ClientConfig::new().session_id(0);
    let trust = trust(Some(&certificate))?;
    let session = ClientSession::connect_quic(server, "localhost", &trust, config).await?;
    let residual = tokio::time::timeout(PATIENCE, enlarge(&session, &small)).await??;
    session.close("done").await;
    fs::write(large, small.enlarged(&residual).write())?;
    Ok(())
}

/// The residual of the picture at its new size: one value a pixel, in luma levels.
async fn enlarge(session: &ClientSession, small: &Picture) -> Result<Vec<f32>, Failure> {
    let frames = frames(small)?;
    let mut missing = frames.iter().map(|frame| frame.tile_ids.len()).sum::<usize>();
    let mut residual = vec![0.0; small.width * small.height * SCALE * SCALE];
    let sending = futures_util::stream::iter(frames).map(Ok).forward(session.sink());
    let painting = async {
        let mut replies = session.replies();
        while missing > 0 {
            match replies.next().await {
                Some(Reply::Result(result)) => missing -= paint(&result, small, &mut residual)?,
                Some(Reply::Dropped { key, reason, .. }) => {
                    return Err(fail(format!("{key} was dropped: {reason:?}")));
                }
                Some(Reply::Failed(failed)) => return Err(fail(failed.fault.to_string())),
                _ => return Err(fail("the session ended first")),
            }
        }
        Ok(residual)
    };
    let (sent, painted) = tokio::join!(sending, painting);
    sent?;
    painted
}

/// The picture as frames, numbered from 1. Tiles are numbered row by row.
fn frames(small: &Picture) -> Result<Vec<SubmitFrame>, Failure> {
    let (width, height) = (u16::try_from(small.width)?, u16::try_from(small.height)?);
    let columns = width.div_ceil(TILE);
    let count =
        columns.checked_mul(height.div_ceil(TILE)).ok_or_else(|| fail("more tiles than there are ids"))?;
    let ids: Vec<u16> = (0..count).collect();
    let mut frames = Vec::new();
    for (number, ids) in (1..).zip(ids.chunks(TILES_PER_FRAME)) {
        let tiles = ids.iter().map(|id| {
            let (x, y) = (usize::from(id % columns * TILE), usize::from(id / columns * TILE));
            Bytes::from(small.cut(x, y, usize::from(TILE), HALO))
        });
        let section = Section::new(LUMA, TensorDType::Uint8).tiles(tiles);
        let mut frame = SubmitFrame::new(number)
            .tiles(ids.iter().copied())
            .section(section)
            .source_size(width, height)
            .tile_size(TILE, TILE);
        frame.input_profile = InputProfile::ChangedTilesLuma;
        frames.push(frame);
    }
    Ok(frames)
}

/// Puts the tiles of a result in their places; returns how many those were.
fn paint(result: &PushedResult, small: &Picture, residual: &mut [f32]) -> Result<usize, Failure> {
    let section = result.sections().next().ok_or_else(|| fail("a result without tensors"))?;
    if section.role_id() != RESIDUAL || section.desc.dtype_id != TensorDType::Fp16 {
        return Err(fail("the server sent something else"));
    }
    let columns = small.width.div_ceil(usize::from(TILE));
    let side = usize::from(TILE) * SCALE;
    for (id, tile) in result.tile_ids().zip(section.tiles()) {
        let (column, row) = (usize::from(id) % columns, usize::from(id) / columns);
        if tile.len() != side * side * 2 {
            return Err(fail(format!("tile {id} has {} bytes", tile.len())));
        }
        for (pixel, half) in tile.chunks_exact(2).enumerate() {
            let (x, y) = (column * side + pixel % side, row * side + pixel / side);
            if x < small.width * SCALE
                && let ([low, high], Some(place)) = (half, residual.get_mut(y * small.width * SCALE + x))
            {
                *place = picture::half(u16::from_le_bytes([*low, *high]));
            }
        }
    }
    Ok(result.tile_ids().len())
}
